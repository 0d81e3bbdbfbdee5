/* SPDX-License-Identifier: Apache-2.0 */
/* A thousand fork+exec a second: processes that live and are quiet keep binary and Pod. PODKIN_E2E_CHURN_SECONDS (default 20) is how long; the aim is two minutes. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/e2e/scene.h"

#define QUIET 50
#define RATE  1000

static struct scene scene;

static void quiet_work(void *arg)
{
    const int *ends = arg;

    (void)dup2(ends[0], 0);
    (void)close(ends[1]);
    for (int i = 0; i < QUIET - 1; i++) {
        if (fork() == 0)
            break;
    }
    (void)execl("/bin/sh", "quiet", "-c", "read line; exit 9", (char *)NULL);
    _exit(127);
}

/* At an even pace: what is behind is caught up. */
static void churn_work(void *arg)
{
    unsigned seconds = *(unsigned *)arg, done = 0;
    uint64_t begin = node_now_ns(), now;

    while ((now = node_now_ns() - begin) < (uint64_t)seconds * 1000000000u) {
        unsigned due = (unsigned)(now / (1000000000u / RATE));

        if (done < due) {
            workload_vfork_true(1);
            done++;
        } else {
            (void)usleep(200);
        }
    }
}

static void quiet_processes(void)
{
    const char *text = getenv("PODKIN_E2E_CHURN_SECONDS");
    unsigned seconds = text ? (unsigned)strtoul(text, NULL, 10) : 20;
    size_t wrong = 0, left = 0;
    struct test_container *quiet;
    int ends[2], status;
    pid_t first, churn;

    if (!scene_start(&scene, 2) || pipe2(ends, O_CLOEXEC) < 0)
        return scene_end(&scene);
    quiet = scene_container(&scene, 0);
    scene_reveal(&scene);
    first = workload_start(quiet, quiet_work, ends);
    (void)close(ends[0]);
    churn = workload_start(scene_container(&scene, 1), churn_work, &seconds);
    while (waitpid(churn, &status, WNOHANG) == 0) {
        events_read(&scene.events);
        node_sleep_ms(50);
    }
    tap_note(
        "%llu processes in %u s", (unsigned long long)oracle_read(scene_container(&scene, 1)).execs, seconds);
    (void)close(ends[1]); /* they read the end of the file and leave */
    (void)waitpid(first, &status, 0);
    node_sleep_ms(500);
    scene_check(&scene, 10000);
    for (size_t i = 0; i < scene.events.count; i++) {
        const struct event *event = &scene.events.list[i];

        if (!event_is_of(event, quiet) || event->type != EVENT_EXIT)
            continue;
        left++;
        wrong += !strstr(event->binary, "sh") || !strstr(event->arguments, "exit 9") || event->held_ms > 0;
    }
    tap_expect_equal(left, QUIET, "exits of the quiet");
    tap_expect_equal(wrong, 0, "exits without binary and arguments, or held");
    scene_end(&scene);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"quiet processes keep binary and Pod while thousands come and go", quiet_processes},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
