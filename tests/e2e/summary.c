/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the enricher's output from stdin until its end and sums up what came from the given containers, against what the kernel itself counted there meanwhile. For ./run.
 *
 *   e2e-summary --ready FILE --arrived FILE CONTAINER-ID=CGROUP-FOLDER …
 *
 * FILE of --ready is made when counting has begun. FILE of --arrived is what the kubelet stand-in printed. Exit status 1 when an event is
 * missing, lost, or without its Pod.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "tests/e2e/events.h"
#include "tests/e2e/node.h"
#include "tests/e2e/oracle.h"

#define CONTAINERS_MAX 16

static struct test_container containers[CONTAINERS_MAX];
static size_t container_count;

struct sums {
    uint64_t by_type[3], counted[3];
    uint64_t without_pod, held, released, lost;
    double *delays_ms; /* of the released, after the metadata came */
};

static int add_container(const char *text)
{
    struct test_container *c = &containers[container_count];
    const char *equals = strchr(text, '=');
    struct stat st;

    if (!equals || equals - text != 64 || container_count == CONTAINERS_MAX || stat(equals + 1, &st) < 0)
        return -EINVAL;
    memcpy(c->id, text, 64);
    c->cgroup_id = st.st_ino;
    container_count++;
    return oracle_watch(c);
}

/* The kubelet stand-in's "visible BOOT_NS UID", the first. */
static uint64_t read_arrival(const char *path)
{
    CLEANUP_FILE FILE *file = path ? fopen(path, "re") : NULL;
    char line[256];

    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "visible ", 8) == 0)
            return strtoull(line + 8, NULL, 10);
    }
    return 0;
}

static bool is_ours(const struct event *event)
{
    for (size_t i = 0; i < container_count; i++) {
        if (event_is_of(event, &containers[i]))
            return true;
    }
    return false;
}

static void add_event(struct sums *sums, const struct event *event, uint64_t arrival_ns)
{
    if (event->type == EVENT_LOST)
        sums->lost++;
    if (event->type > EVENT_EXIT || !is_ours(event))
        return;
    sums->by_type[event->type]++;
    if (strcmp(event->state, "complete") != 0 || !event->pod[0] || !event->container[0])
        sums->without_pod++;
    if (event->held_ms == 0)
        return;
    sums->held++;
    /* One that is held later, for a moment, is none of those that waited for the metadata. */
    if (arrival_ns && event->stamp_ns >= arrival_ns &&
        event->stamp_ns - event->held_ms * 1000000 < arrival_ns && strcmp(event->state, "complete") == 0)
        sums->delays_ms[sums->released++] = (double)(event->stamp_ns - arrival_ns) / 1e6;
}

static int compare_delays(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_counts(const char *title, const uint64_t counts[3], const char *rest)
{
    printf("  %-20s exec %-6llu fork %-6llu exit %-6llu%s\n", title, (unsigned long long)counts[EVENT_EXEC],
        (unsigned long long)counts[EVENT_FORK], (unsigned long long)counts[EVENT_EXIT], rest);
}

static int print_sums(struct sums *sums)
{
    bool whole = memcmp(sums->by_type, sums->counted, sizeof(sums->counted)) == 0;
    bool bad = !whole || sums->lost || sums->without_pod;

    qsort(sums->delays_ms, sums->released, sizeof(*sums->delays_ms), compare_delays);
    printf("\nsummary of the containers\n");
    print_counts("the kernel counted", sums->counted, "");
    print_counts("in the stream", sums->by_type, whole ? "none is missing" : "NOT THE SAME");
    printf("  %-20s %llu\n", "held", (unsigned long long)sums->held);
    printf("  %-20s %llu", "released on arrival", (unsigned long long)sums->released);
    if (sums->released)
        printf(", %.1f ms after the metadata came (median; last %.1f ms)",
            sums->delays_ms[sums->released / 2], sums->delays_ms[sums->released - 1]);
    printf("\n  %-20s %llu\n", "without Pod", (unsigned long long)sums->without_pod);
    printf("  %-20s %llu\n", "loss reports", (unsigned long long)sums->lost);
    return bad ? 1 : 0;
}

/* The stream has ended when its writer has: wait for that, then take what is left. */
static void read_all(struct events *events)
{
    while (!events_at_end(events)) {
        events_read(events);
        node_sleep_ms(20);
    }
    events_read(events);
}

int main(int argc, char **argv)
{
    const char *ready = NULL, *arrived = NULL;
    struct events events;
    struct sums sums = {0};
    uint64_t arrival_ns;
    int status;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--ready") == 0 && i + 1 < argc) {
            ready = argv[++i];
        } else if (strcmp(argv[i], "--arrived") == 0 && i + 1 < argc) {
            arrived = argv[++i];
        } else if (add_container(argv[i]) < 0) {
            (void)fprintf(stderr, "e2e-summary: %s: %s\n", argv[i], strerror(errno));
            return 2;
        }
    }
    (void)signal(SIGINT, SIG_IGN); /* the script ends us by ending the stream */
    if (ready)
        (void)close(open(ready, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    events_open_pipe(&events, STDIN_FILENO);
    read_all(&events);
    arrival_ns = read_arrival(arrived);
    sums.delays_ms = calloc(events.count + 1, sizeof(*sums.delays_ms));
    if (!sums.delays_ms)
        return 1;
    for (size_t i = 0; i < events.count; i++)
        add_event(&sums, &events.list[i], arrival_ns);
    for (size_t i = 0; i < container_count; i++) {
        struct oracle_counts counts = oracle_read(&containers[i]);

        sums.counted[EVENT_FORK] += counts.forks;
        sums.counted[EVENT_EXEC] += counts.execs;
        sums.counted[EVENT_EXIT] += counts.exits;
    }
    status = print_sums(&sums);
    free(sums.delays_ms);
    events_close(&events);
    oracle_end();
    return status;
}
