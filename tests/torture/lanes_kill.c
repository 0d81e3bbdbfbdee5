/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrichers with one to four lanes, one after the other on the same queue and hold store, each killed at any instruction while events come, wait for their Pod and leave. Whatever
 * the next one's number of lanes: every event is written, at least once.
 *
 *   torture-lanes_kill ENRICHER [SECONDS]
 */
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/torture/lanes_kit.h"

static pid_t start(const char *enricher, unsigned lanes)
{
    char count[8], source[128];
    const char *const words[] = {enricher, "--socket", world.socket, "--events-socket", "none", "--node-name",
        "n", "--output", world.output, "--output-rotate-size", "0", "--source", source, "--hold-timeout",
        "3s", "--hold-container-timeout", "3s", "--log-level", "error", "--lanes", count, NULL};
    pid_t pid;

    (void)snprintf(count, sizeof(count), "%u", lanes);
    (void)snprintf(source, sizeof(source), "file:%s", world.pods);
    CHECK(posix_spawn(&pid, enricher, NULL, NULL, (char **)(uintptr_t)words, environ) == 0);
    return pid;
}

static void pause_ms(unsigned ms)
{
    (void)nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static void one_life(const char *enricher)
{
    pid_t pid = start(enricher, 1 + dice(4));
    unsigned turns = 10 + dice(80);
    int status;

    for (unsigned i = 0; i < turns; i++) {
        put_some(dice(200));
        pause_ms(dice(10));
        if (dice(40) == 0)
            tell_pods(dice(3) == 0, dice(3) == 0);
    }
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status)); /* it did not end before by itself */
}

static void last_life(const char *enricher)
{
    uint64_t end = clock_boot_ns() + 30 * NS_PER_SEC;
    pid_t pid = start(enricher, 3);
    int status;

    tell_pods(true, true);
    while (!queue_is_empty() && clock_boot_ns() < end)
        pause_ms(20);
    CHECK(queue_is_empty());
    pause_ms(4500); /* and what was held, at its deadline at the latest */
    CHECK(kill(pid, SIGTERM) == 0);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv)
{
    uint64_t end = clock_boot_ns() + pattern_duration_ns(argc - 1, argv + 1, 10), lines, missing = 0,
             twice = 0;
    unsigned lives = 0;
    uint32_t *seen;

    CHECK(argc >= 2);
    world_open(clock_boot_ns());
    tell_pods(false, false);
    for (; clock_boot_ns() < end; lives++)
        one_life(argv[1]);
    last_life(argv[1]);
    seen = calloc(world.seq + 1, sizeof(*seen));
    CHECK(seen);
    lines = read_lines(seen, NULL);
    for (uint64_t seq = 1; seq <= world.seq; seq++) {
        missing += seen[seq] == 0;
        twice += seen[seq] > 1;
    }
    (void)printf("%u killed, %llu events, %llu lines, %llu events more than once, %llu missing\n", lives,
        (unsigned long long)world.seq, (unsigned long long)lines, (unsigned long long)twice,
        (unsigned long long)missing);
    CHECK(missing == 0 && world.seq > 1000 && lives > 2);
    free(seen);
    world_close();
    return 0;
}
