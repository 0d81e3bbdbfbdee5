/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collector that is killed, under a service manager that keeps what it was given: nothing is missing, whoever else is killed.
 *
 * What happened is known from an independent count in the kernel (oracle.h). Each fork, exec and exit is of another execution, so (type, exec_id) names an event whatever its id: as many
 * of these as the kernel counted, and no line with a new id for an old event.
 *
 * PODKIN_E2E_KILLS=N, PODKIN_E2E_SEED=N: how many random kills there are and where they begin.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/e2e/scene.h"
#include "tests/support/service_manager.h"

static struct scene scene;
static const char *collector_options[4];

static void vfork_some(void *arg)
{
    workload_vfork_true(*(unsigned *)arg);
}

/* Until it is killed: a burst and a rest. */
static void vfork_for_ever(void *arg)
{
    for (;;) {
        workload_vfork_true(*(unsigned *)arg);
        node_sleep_ms(10);
    }
}

static bool start_collector(void)
{
    return node_start_collector(
        &scene.node, collector_options[0], collector_options[1], collector_options[2], NULL);
}

static bool begin(unsigned pods, const char *policy)
{
    static char path[512];

    collector_options[0] = NULL;
    if (policy) {
        (void)snprintf(path, sizeof(path), "%s", policy);
        collector_options[0] = "--policy";
        collector_options[1] = path;
        collector_options[2] = NULL;
    }
    if (!scene_make(&scene, pods) || !node_add_manager(&scene.node) || !start_collector())
        return false;
    scene_reveal(&scene);
    return scene_start_enricher(&scene, NULL);
}

/* ---- what came out -------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct event *x = *(const struct event *const *)a, *y = *(const struct event *const *)b;
    int order = (int)x->type - (int)y->type;

    if (order == 0)
        order = strcmp(x->exec_id, y->exec_id);
    return order ? order : strcmp(x->id, y->id);
}

static bool is_hook_of(const struct event *event, const struct test_container *container)
{
    return event->type == EVENT_HOOK && event->docker[0] &&
           strncmp(event->docker, container->id, strlen(event->docker)) == 0;
}

struct tally {
    size_t lines, events, ids; /* events: by type and exec_id */
    size_t hooks, hook_ids;
};

static struct tally tally_of(const struct test_container *container)
{
    const struct event **list = calloc(scene.events.count + 1, sizeof(*list));
    struct tally tally = {0};
    size_t count = 0;

    for (size_t i = 0; list && i < scene.events.count; i++) {
        const struct event *event = &scene.events.list[i];

        if (event_is_of(event, container) || is_hook_of(event, container))
            list[count++] = event;
    }
    if (count > 0)
        qsort(list, count, sizeof(*list), by_name);
    for (size_t i = 0; i < count; i++) {
        const struct event *before = i ? list[i - 1] : NULL;
        bool same = before && before->type == list[i]->type && before->exec_id == list[i]->exec_id;
        bool is_hook = list[i]->type == EVENT_HOOK;

        tally.lines++;
        *(is_hook ? &tally.hooks : &tally.events) += !same;
        *(is_hook ? &tally.hook_ids : &tally.ids) += !same || before->id != list[i]->id;
    }
    free(list);
    return tally;
}

static void expect_all(unsigned pod, bool hooks)
{
    struct test_container *container = scene_container(&scene, pod);
    struct oracle_counts counts = oracle_read(container);
    uint64_t wanted = oracle_total(container), end = node_now_ns() + UINT64_C(30000000000);
    struct tally tally;

    while (events_read(&scene.events), tally = tally_of(container),
        (tally.events < wanted || (hooks && tally.hooks < counts.execs)) && node_now_ns() < end)
        node_sleep_ms(200);
    node_sleep_ms(300);
    events_read(&scene.events);
    tally = tally_of(container);
    if (!tap_expect_equal(tally.events, wanted, "events in the output, of those that the kernel counted"))
        node_show_status(&scene.node);
    if (hooks)
        tap_expect_equal(tally.hooks, counts.execs, "events of the policy");
    /* An event in the very moment of a change may be told by both collectors (bpf/output.bpf.h). */
    tap_expect(
        tally.ids - tally.events <= 20, "%zu events came under another id again", tally.ids - tally.events);
    tap_note("%llu events, %zu lines; under another id again: %zu, of the policy %zu",
        (unsigned long long)wanted, tally.lines, tally.ids - tally.events, tally.hook_ids - tally.hooks);
    tap_expect_equal(scene.events.bad_lines, 0, "lines that are not JSON");
    workload_expect_complete(&scene.events, &scene.pods[pod], container);
}

static void expect_nothing_missing(unsigned pod, bool hooks)
{
    expect_all(pod, hooks);
    tap_expect_equal(events_lost(&scene.events), 0, "events that say that something was lost");
}

/* ---- the cases ------------------------------------------------------------------------------------------------------ */

static void killed_once(void)
{
    struct test_container *container;
    unsigned count = 1000;

    if (!begin(1, NULL))
        return scene_end(&scene);
    container = scene_container(&scene, 0);
    (void)workload_run(container, vfork_some, &count);
    tap_expect_equal(node_stop_collector(&scene.node, SIGKILL), 128 + SIGKILL, "the collector's end");
    (void)workload_run(container, vfork_some, &count); /* with nobody there */
    node_sleep_ms(300);
    if (start_collector()) {
        (void)workload_run(container, vfork_some, &count);
        expect_nothing_missing(0, false);
        tap_expect(node_log_contains(scene.node.collector_log, "goes on where an earlier collector ended"),
            "it began anew");
    }
    scene_end(&scene);
}

static void stopped_and_started(void)
{
    struct test_container *container;
    unsigned count = 500;

    if (!begin(1, NULL))
        return scene_end(&scene);
    container = scene_container(&scene, 0);
    (void)workload_run(container, vfork_some, &count);
    tap_expect_equal(node_stop_collector(&scene.node, SIGTERM), 0, "the collector's end");
    (void)workload_run(container, vfork_some, &count);
    if (start_collector()) {
        (void)workload_run(container, vfork_some, &count);
        expect_nothing_missing(0, false);
    }
    scene_end(&scene);
}

/* Load all the time; `both`: 0 the collector, 1 the enricher too, at the same moment. */
static void kill_in_turn(bool both, const char *policy)
{
    unsigned count = 9000;
    pid_t pid;

    if (!begin(1, policy))
        return scene_end(&scene);
    pid = workload_start(scene_container(&scene, 0), vfork_some, &count);
    for (unsigned i = 0; i < 5; i++) {
        node_sleep_ms(300 + 90 * i);
        (void)node_stop_collector(&scene.node, SIGKILL);
        if (both)
            (void)node_stop_enricher(&scene.node, SIGKILL);
        events_read(&scene.events); /* through the output's rotations */
        node_sleep_ms(60 * i);
        if (!start_collector() || (both && !scene_start_enricher(&scene, NULL)))
            break;
    }
    (void)waitpid(pid, NULL, 0);
    expect_nothing_missing(0, policy != NULL);
    scene_end(&scene);
}

static const char *exec_policy(void)
{
    static char path[512];
    const char *root = getenv("PODKIN_SOURCE_ROOT");

    (void)snprintf(
        path, sizeof(path), "%s/tests/fixtures/policies/exec-raw-tracepoint.yaml", root ? root : ".");
    return path;
}

static void killed_in_turn(void)
{
    kill_in_turn(false, NULL);
}

static void killed_with_enricher(void)
{
    kill_in_turn(true, NULL);
}

static void killed_with_policy(void)
{
    kill_in_turn(false, exec_policy());
}

static void killed_with_policy_and_enricher(void)
{
    kill_in_turn(true, exec_policy());
}

/* Copies the policy, under another name. */
static bool write_policy(const char *to, const char *name)
{
    CLEANUP_FILE FILE *from = fopen(exec_policy(), "re");
    CLEANUP_FILE FILE *file = fopen(to, "we");
    char line[256];

    while (from && file && fgets(line, sizeof(line), from)) {
        if (strstr(line, "name: exec-raw"))
            (void)fprintf(file, "  name: %s\n", name);
        else
            (void)fputs(line, file);
    }
    return tap_expect(from && file, "writing %s", to);
}

/* What a reload brings is kept as well, and what it takes away is not. */
static void killed_after_reload(void)
{
    struct test_container *container;
    unsigned count = 500;
    char path[128];

    if (!scene_make(&scene, 1) || !node_add_manager(&scene.node))
        return scene_end(&scene);
    (void)snprintf(path, sizeof(path), "%s/policy.yaml", scene.node.dir);
    collector_options[0] = "--policy";
    collector_options[1] = path;
    collector_options[2] = NULL;
    if (!write_policy(path, "before") || !start_collector())
        return scene_end(&scene);
    scene_reveal(&scene);
    container = scene_container(&scene, 0);
    if (scene_start_enricher(&scene, NULL)) {
        (void)workload_run(container, vfork_some, &count);
        (void)write_policy(path, "after");
        (void)kill(scene.node.collector, SIGHUP);
        tap_expect(node_wait_log(scene.node.collector_log, "1 loaded, 1 unloaded", 10000),
            "the policy was not read anew");
        tap_expect_equal(service_manager_count(scene.node.manager, "hook-"), 1, "hooks that are kept");
        (void)node_stop_collector(&scene.node, SIGKILL);
        (void)workload_run(container, vfork_some, &count);
        if (start_collector())
            expect_nothing_missing(0, true);
    }
    (void)unlink(path);
    scene_end(&scene);
}

/* The ring buffer fills while nobody reads: what it refused is told, and nothing is missing beside. */
static void ring_fills(void)
{
    unsigned count = 3000, told = 0;
    struct test_container *container;

    if (!scene_make(&scene, 1) || !node_add_manager(&scene.node))
        return scene_end(&scene);
    collector_options[0] = "--ring-size";
    collector_options[1] = "256K";
    collector_options[2] = NULL;
    scene_reveal(&scene);
    if (start_collector() && scene_start_enricher(&scene, NULL)) {
        container = scene_container(&scene, 0);
        (void)node_stop_collector(&scene.node, SIGKILL);
        (void)workload_run(container, vfork_some, &count);
        (void)start_collector();
        (void)node_stop_collector(&scene.node, SIGKILL); /* right after it has seen them */
        (void)start_collector();
        node_sleep_ms(8000); /* what is missing without an account is said after a while */
        events_read(&scene.events);
        for (size_t i = 0; i < scene.events.count; i++) {
            const struct event *event = &scene.events.list[i];

            told += event->type == EVENT_LOST;
            if (event->type == EVENT_LOST)
                tap_expect(
                    strcmp(event->reason, "unexplained") != 0, "something is missing and nobody said so");
        }
        tap_expect(told > 0, "nothing was told to be lost");
        tap_expect(events_count(&scene.events, container, -1) < oracle_total(container), "nothing was lost");
    }
    scene_end(&scene);
}

/* What was kept is not whole: one line, and all begins anew. */
static void state_missing(void)
{
    struct test_container *container;
    unsigned count = 200;

    if (!begin(1, NULL))
        return scene_end(&scene);
    container = scene_container(&scene, 0);
    (void)workload_run(container, vfork_some, &count);
    (void)node_stop_collector(&scene.node, SIGKILL);
    tap_expect(service_manager_drop(scene.node.manager, "state"), "no state was kept");
    if (start_collector()) {
        tap_expect(node_log_contains(
                       scene.node.collector_log, "what an earlier collector left cannot be gone on with"),
            "nothing was said");
        tap_expect_equal(
            service_manager_count(scene.node.manager, "links-"), 1 * 6, "attachments that are kept");
        tap_expect_equal(service_manager_count(scene.node.manager, "queue-"), 1, "queues that are kept");
        tap_expect_equal(oracle_watch(container), 0, "counting anew");
        events_read(&scene.events);
        scene.events.count = 0;
        (void)workload_run(container, vfork_some, &count);
        node_sleep_ms(1000);
        expect_all(0, false);
        tap_expect(events_lost(&scene.events) > 0, "what was in the ring buffer is not told to be lost");
    }
    scene_end(&scene);
}

/* Maps of another form: new ones, and what the old ring buffer has still comes. */
static void maps_do_not_fit(void)
{
    struct test_container *container;
    unsigned count = 500;

    if (!begin(1, exec_policy()))
        return scene_end(&scene);
    container = scene_container(&scene, 0);
    (void)workload_run(container, vfork_some, &count);
    (void)node_stop_collector(&scene.node, SIGKILL);
    tap_expect(service_manager_drop(scene.node.manager, "process-states"), "no map was kept");
    (void)workload_run(container, vfork_some, &count); /* with nobody there */
    if (start_collector()) {
        tap_expect(node_log_contains(scene.node.collector_log, "has another form"), "nothing was said");
        (void)workload_run(container, vfork_some, &count);
        expect_nothing_missing(0, true);
    }
    scene_end(&scene);
}

/* Stopped, as the unit is: the manager lets go of everything, and nothing of us is left in the kernel. */
static void unit_stopped(void)
{
    if (!begin(1, exec_policy()))
        return scene_end(&scene);
    tap_expect(service_manager_count(scene.node.manager, "") > 10, "nothing is kept");
    tap_expect(service_manager_count(scene.node.manager, "hook-") > 0, "no hook is kept");
    (void)node_stop_collector(&scene.node, SIGTERM);
    service_manager_stop(scene.node.manager);
    if (start_collector())
        tap_expect(!node_log_contains(scene.node.collector_log, "earlier collector"), "something was left");
    scene_end(&scene);
}

static unsigned number_of(const char *variable, unsigned otherwise)
{
    const char *text = getenv(variable);

    return text && *text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

/* A collector that is still starting is killed like any other. */
static void kill_at_random(unsigned *seed)
{
    unsigned who = (unsigned)rand_r(seed) % 3;

    node_sleep_ms((unsigned)rand_r(seed) % 1500);
    if (who != 1)
        (void)node_stop_collector(&scene.node, SIGKILL);
    if (who != 0)
        (void)node_stop_enricher(&scene.node, SIGKILL);
    events_read(&scene.events); /* through the output's rotations */
    node_sleep_ms((unsigned)rand_r(seed) % 400);
    if (who != 1) {
        if (rand_r(seed) % 4 == 0) { /* in the middle of taking over */
            node_begin_collector(&scene.node, collector_options[0], collector_options[1], NULL);
            node_sleep_ms((unsigned)rand_r(seed) % 400);
            (void)node_stop_collector(&scene.node, SIGKILL);
        }
        (void)start_collector();
    }
    if (who != 0)
        (void)scene_start_enricher(&scene, NULL);
}

static void killed_at_random(void)
{
    unsigned kills = number_of("PODKIN_E2E_KILLS", 20), seed = number_of("PODKIN_E2E_SEED", 1), count = 50;
    pid_t pid;

    tap_note("%u kills, seed %u", kills, seed);
    if (!begin(1, exec_policy()))
        return scene_end(&scene);
    pid = workload_start(scene_container(&scene, 0), vfork_for_ever, &count);
    for (unsigned i = 0; i < kills && !tap_failed(); i++)
        kill_at_random(&seed);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    node_sleep_ms(200);
    expect_nothing_missing(0, true);
    scene_end(&scene);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"a collector that is killed loses nothing, also of what happens before the next", killed_once},
        {"a collector that is restarted in order loses nothing", stopped_and_started},
        {"a collector killed again and again loses nothing", killed_in_turn},
        {"nor does it with a policy", killed_with_policy},
        {"collector and enricher killed at the same time lose nothing", killed_with_enricher},
        {"nor do they with a policy", killed_with_policy_and_enricher},
        {"what a reload brought goes on when the collector is killed", killed_after_reload},
        {"what the ring buffer refuses while nobody reads is told", ring_fills},
        {"what is kept and not whole is said, and everything begins anew", state_missing},
        {"maps that do not fit are made anew, and the old ring buffer is read to its end", maps_do_not_fit},
        {"a unit that is stopped leaves nothing behind", unit_stopped},
        {"whoever is killed, and whenever, nothing is lost", killed_at_random},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
