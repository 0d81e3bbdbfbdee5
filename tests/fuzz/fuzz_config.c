/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file with options of every kind. */
#include "common/options.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/neutral.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"

static const char *const loops[] = {"auto", "uring", "epoll", NULL};

struct values {
    char *config, *socket;
    struct option_list source;
    uint64_t timeout, bytes, events;
    bool own, check;
    int loop;
};

static void check_line(const char *error)
{
    size_t size = strlen(error);

    FUZZ_CHECK(size > 0 && size < OPTIONS_ERROR_MAX);
    for (size_t at = 0; at < size;) {
        struct utf8_char c = utf8_decode((const uint8_t *)error + at, size - at);

        /* A character that was cut at the end of the buffer is the one thing that may be broken. */
        FUZZ_CHECK(c.valid ? !neutral_is_unsafe(c.code) : size == OPTIONS_ERROR_MAX - 1 && at + 4 > size);
        at += c.size;
    }
}

static void check_values(const struct values *values)
{
    FUZZ_CHECK(values->timeout <= 1000000000 && values->loop >= 0 && values->loop < 3 && !values->check);
    FUZZ_CHECK(!values->socket || strlen(values->socket) > 0);
    for (size_t i = 0; i < values->source.count; i++)
        FUZZ_CHECK(strlen(values->source.items[i]) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct values values = {0};
    const struct option_spec specs[] = {
        {"config", OPTION_STRING, &values.config, "FILE", "", NULL, 0, 0},
        {"socket", OPTION_STRING, &values.socket, "PATH", "", NULL, 0, 0},
        {"source", OPTION_STRINGS, &values.source, "KIND:WHERE", "", NULL, 0, 0},
        {"hold-timeout", OPTION_DURATION, &values.timeout, "DURATION", "", NULL, 0, 1000000000},
        {"hold-max-bytes", OPTION_SIZE, &values.bytes, "BYTES", "", NULL, 65536, 0},
        {"hold-max-events", OPTION_COUNT, &values.events, "N", "", NULL, 1, 1000},
        {"export-own-events", OPTION_BOOL, &values.own, NULL, "", NULL, 0, 0},
        {"check", OPTION_FLAG, &values.check, NULL, "", NULL, 0, 0},
        {"loop", OPTION_CHOICE, &values.loop, NULL, "", loops, 0, 0},
    };
    CLEANUP_CLOSE int fd = memfd_create("conf", MFD_CLOEXEC);
    char program[] = "fuzz", option[64], error[OPTIONS_ERROR_MAX];
    char *argv[] = {program, option, NULL};
    int rest, r;

    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)snprintf(option, sizeof(option), "--config=/proc/self/fd/%d", fd);
    r = options_parse(specs, sizeof(specs) / sizeof(specs[0]), 2, argv, &rest, error);
    if (r < 0)
        check_line(error);
    else
        check_values(&values);
    free(values.config);
    free(values.socket);
    option_list_deinit(&values.source);
    return 0;
}
