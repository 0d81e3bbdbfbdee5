/* SPDX-License-Identifier: Apache-2.0 */
/* The enricher's sandbox, from the inside. */
#include "enricher/confine.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/sandbox.h"
#include "enricher/conf.h"
#include "tests/support/attempts.h"

static char folder[64], pods[96], output[96];

static void setup(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/podkin-confine-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(pods, sizeof(pods), "%s/pods", folder);
    (void)snprintf(output, sizeof(output), "%s/output", folder);
    cr_assert_eq(mkdir(pods, 0700), 0);
    cr_assert_eq(mkdir(output, 0700), 0);
}

static void teardown(void)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c) */
}

TestSuite(confine, .init = setup, .fini = teardown, .timeout = 60);

static int confine_files(void)
{
    char source[128], path[128], error[OPTIONS_ERROR_MAX] = "";
    char *argv[] = {(char *)"podkin-enricher", (char *)"--events-socket=none", (char *)"--source", source,
        (char *)"--output", path, NULL};
    struct conf conf;

    log_init("test", LOG_LEVEL_ERROR);
    (void)snprintf(source, sizeof(source), "file:%s/list.json", pods);
    (void)snprintf(path, sizeof(path), "%s/log", output);
    if (conf_init(&conf, 6, argv, error) < 0) {
        (void)fprintf(stderr, "# %s\n", error);
        return -EINVAL;
    }
    return confine_enricher(&conf);
}

static int confine(void)
{
    return sandbox_filters_calls() ? confine_files() : 1;
}

static long open_in(const char *where, const char *name, int flags)
{
    char path[160];

    (void)snprintf(path, sizeof(path), "%s/%s", where, name);
    return open(path, flags | O_CLOEXEC, 0600);
}

static long try_write_source(void)
{
    return open_in(pods, "list.json", O_WRONLY | O_CREAT);
}

static long try_list_source(void)
{
    return open(pods, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static long try_write_output(void)
{
    return open_in(output, "log", O_WRONLY | O_CREAT);
}

static long try_rotate_output(void)
{
    char from[128], to[128];

    if (open_in(output, "log", O_WRONLY | O_CREAT) < 0)
        return -1;
    (void)snprintf(from, sizeof(from), "%s/log", output);
    (void)snprintf(to, sizeof(to), "%s/log.1", output);
    return rename(from, to);
}

static long try_passwords(void)
{
    return open("/etc/shadow", O_RDONLY | O_CLOEXEC);
}

static long try_users(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static long try_root(void)
{
    return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static long try_boot_id(void)
{
    return open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
}

static long try_inet(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long try_unix(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static long count_capabilities(void)
{
    errno = E2BIG;
    return sandbox_get_capabilities() ? -1 : 0;
}

static const struct attempt files[] = {
    {"read the passwords", try_passwords, EACCES},
    {"read the users", try_users, EACCES},
    {"list the root", try_root, EACCES},
    {"write a source", try_write_source, EACCES},
    {"write elsewhere", try_write_file, EACCES},
    {"execute a program", try_execve, EACCES},
    {"keep a capability", count_capabilities, 0},
    /* what its work needs */
    {"list a source", try_list_source, 0},
    {"write its output", try_write_output, 0},
    {"rotate its output", try_rotate_output, 0},
    {"read the boot id", try_boot_id, 0},
};

static const struct attempt attempts[] = {
    ATTEMPTS_OF_BOTH,
    /* what its work needs */
    {"a network socket", try_inet, 0},
    {"a unix socket", try_unix, 0},
    {"write its output", try_write_output, 0},
};

Test(confine, enricher_makes_no_call_that_its_work_does_not_need)
{
    attempt_all(confine, attempts, sizeof(attempts) / sizeof(attempts[0]));
}

/* Landlock works in every build; where calls are filtered too, an execve does not get as far as to a path. */
Test(confine, enricher_opens_no_file_that_its_work_does_not_need)
{
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct attempt attempt = files[i];

        if (sandbox_filters_calls() && attempt.fn == try_execve)
            attempt.expected = ATTEMPT_KILLED;
        attempt_all(confine_files, &attempt, 1);
    }
}
