/* SPDX-License-Identifier: Apache-2.0 */
/* The collector's sandbox, from the inside. */
#include "collector/confine.h"

#include "common/log.h"
#include "common/sandbox.h"
#include "common/unix_socket.h"
#include "tests/support/attempts.h"

static int confine(void)
{
    log_init("test", LOG_LEVEL_ERROR);
    return sandbox_filters_calls() ? confine_collector(false) : 1;
}

static int confine_with_policies(void)
{
    log_init("test", LOG_LEVEL_ERROR);
    return confine_collector(true);
}

static long try_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long try_inet(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static long try_connect(void)
{
    return connect(0, NULL, 0);
}

static long try_read_file(void)
{
    return open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
}

static long try_memfd(void)
{
    return memfd_create("snapshot", MFD_CLOEXEC);
}

static long try_pair(void)
{
    int pair[2];

    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static long try_iterate(void)
{
    union bpf_attr attributes = {.iter_create = {.link_fd = 0}};
    long r = syscall(SYS_bpf, BPF_ITER_CREATE, &attributes, sizeof(attributes));

    return r < 0 && errno == EPERM ? -1 : 0; /* no such link: but it was asked */
}

static long count_capabilities(void)
{
    errno = E2BIG;
    return sandbox_get_capabilities() ? -1 : 0;
}

static const struct attempt attempts[] = {
    ATTEMPTS_OF_BOTH,
    {"keep a capability", count_capabilities, 0},
    {"a unix socket", try_socket, EPERM},
    {"a network socket", try_inet, EPERM},
    {"connect", try_connect, EPERM},
    {"write a file", try_write_file, EPERM},
    /* what its work needs */
    {"read a file", try_read_file, 0},
    {"make a memfd", try_memfd, 0},
    {"make a doorbell", try_pair, 0},
    {"make an iterator", try_iterate, 0},
};

/* Before Linux 6.5 the peer's process is opened by its number: the one thing that is allowed more there. */
static bool is_expected(const struct attempt *attempt)
{
    return unix_has_peer_pidfd() || strcmp(attempt->name, "open a process") != 0;
}

Test(confine, collector_can_do_its_work_and_nothing_else, .timeout = 60)
{
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        if (is_expected(&attempts[i]))
            attempt_all(confine, &attempts[i], 1);
    }
}

static long count_kept(void)
{
    errno = E2BIG;
    return __builtin_popcountll(sandbox_get_capabilities()) > 2 ? -1 : 0;
}

Test(confine, with_policies_two_capabilities_stay_at_most)
{
    const struct attempt attempt = {"keep two capabilities", count_kept, 0};

    cr_expect_eq(attempt_run(confine_with_policies, &attempt), 0);
}
