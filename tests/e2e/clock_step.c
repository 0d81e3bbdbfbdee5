/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library for LD_PRELOAD: the wall clock that a daemon sees is off by what a file says (PODKIN_TEST_CLOCK: seconds, an int64_t, looked at each
 * time). The machine's own clock is not touched, and no other clock is.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset_s;
static int (*real)(clockid_t clock, struct timespec *ret);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("PODKIN_TEST_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*offset_s), PROT_READ, MAP_SHARED, fd, 0);

    *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    if (page != MAP_FAILED)
        offset_s = page;
    if (fd >= 0)
        (void)close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    int r;

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    r = real(clock, ret);
    if (r == 0 && offset_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        ret->tv_sec += *offset_s;
    return r;
}
