/* SPDX-License-Identifier: Apache-2.0 */
/* What left without its Pod is corrected when the metadata comes, each process once; and what became of every event is told as it stands in the stream. */
#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "tests/e2e/scene.h"
#include "tests/e2e/standin.h"

#define EXECUTIONS_MAX 1000

static struct scene scene;

/* What a reader of the stream keeps of an execution that stood in an incomplete line. */
struct execution {
    const char *exec_id;
    unsigned own;      /* events that left incomplete */
    unsigned pod_only; /* updates */
    unsigned complete;
    unsigned corrected; /* events that the last update counts */
    bool too_early;     /* an update stood before the line */
};

static struct execution executions[EXECUTIONS_MAX];
static size_t execution_count;

static struct execution *execution_of(const char *exec_id)
{
    for (size_t i = 0; i < execution_count; i++) {
        if (executions[i].exec_id == exec_id)
            return &executions[i];
    }
    if (execution_count == EXECUTIONS_MAX)
        abort();
    executions[execution_count] = (struct execution){.exec_id = exec_id};
    return &executions[execution_count++];
}

static bool is_incomplete(const char *state)
{
    return strcmp(state, "pending_expired") == 0 || strcmp(state, "pod_only") == 0;
}

static bool of_container(const char *docker, const struct test_container *container)
{
    return strlen(docker) == 31 && strncmp(docker, container->id, 31) == 0;
}

static void take_update(const struct event *event)
{
    struct execution *execution = execution_of(event->exec_id);

    execution->too_early |= execution->own == 0 && execution->pod_only + execution->complete == 0;
    execution->pod_only += strcmp(event->state, "pod_only") == 0;
    execution->complete += strcmp(event->state, "complete") == 0;
    execution->corrected = event->corrected;
}

/* Reads what is there, in its order. */
static void take_stream(const struct test_container *container)
{
    execution_count = 0;
    for (size_t i = 0; i < scene.events.count; i++) {
        const struct event *event = &scene.events.list[i];

        if (event->type == EVENT_POD_UPDATE && of_container(event->docker, container))
            take_update(event);
        if (event->type > EVENT_EXIT)
            continue;
        if (of_container(event->docker, container) && is_incomplete(event->state))
            execution_of(event->exec_id)->own++;
        if (of_container(event->parent_docker, container) && is_incomplete(event->parent_state))
            (void)execution_of(event->parent_id);
    }
}

static size_t count_complete(const struct test_container *container)
{
    size_t count = 0;

    take_stream(container);
    for (size_t i = 0; i < execution_count; i++)
        count += executions[i].complete > 0;
    return count;
}

static bool wait_for_updates(const struct test_container *container, unsigned timeout_ms)
{
    for (unsigned waited = 0; waited < timeout_ms; waited += 20) {
        events_read(&scene.events);
        if (count_complete(container) == execution_count && execution_count > 0)
            break;
        node_sleep_ms(20);
    }
    node_sleep_ms(300); /* and nothing more */
    events_read(&scene.events);
    take_stream(container);
    return tap_expect(execution_count > 0, "nothing left incomplete");
}

static void expect_each_once(unsigned pod_only_max)
{
    size_t not_once = 0, many = 0, wrong_count = 0, early = 0;

    for (size_t i = 0; i < execution_count; i++) {
        const struct execution *execution = &executions[i];

        not_once += execution->complete != 1;
        many += execution->pod_only > pod_only_max;
        wrong_count += execution->corrected != execution->own;
        early += execution->too_early && execution->own > 0;
    }
    tap_note("%zu executions stood in incomplete lines", execution_count);
    tap_expect_equal(not_once, 0, "executions that did not get exactly one complete pod_update");
    tap_expect_equal(many, 0, "executions with too many pod_only updates");
    tap_expect_equal(wrong_count, 0, "executions whose update counts other than their incomplete events");
    tap_expect_equal(early, 0, "updates before their line");
}

static void expect_updates_name(const struct test_pod *pod, const struct test_container *container)
{
    size_t wrong = 0;

    for (size_t i = 0; i < scene.events.count; i++) {
        const struct event *event = &scene.events.list[i];

        if (event->type != EVENT_POD_UPDATE || !of_container(event->docker, container) ||
            strcmp(event->state, "complete") != 0)
            continue;
        wrong += strcmp(event->pod, pod->name) != 0 || strcmp(event->namespace_, pod->namespace_) != 0 ||
                 strcmp(event->container, container->name) != 0 || strcmp(event->app, pod->app) != 0 ||
                 strcmp(event->workload, pod->workload) != 0;
    }
    tap_expect_equal(wrong, 0, "updates without namespace, Pod, container, label or workload");
}

/* ---- coverage -------------------------------------------------------------------------------------------- */

/* Runs podkin coverage with this option (NULL: none). The exit status; *ret is its JSON. */
static int ask_coverage(json_t **ret, const char *option, const char *value)
{
    const char *argv[] = {node_program("enricher/podkin"), "coverage", "-o", "json", "--events-socket",
        scene.node.events_socket, option, value, NULL};
    char path[128];
    pid_t pid;
    int status;

    (void)snprintf(path, sizeof(path), "%s/coverage.log", scene.node.dir);
    (void)unlink(path);
    pid = node_start(path, false, argv);
    for (unsigned i = 0; i < 1000 && node_is_running(pid); i++)
        node_sleep_ms(5);
    status = node_stop(pid, SIGTERM);
    *ret = json_load_file(path, 0, NULL);
    (void)unlink(path);
    return status;
}

static const json_t *find(const json_t *array, const char *key, const char *value)
{
    size_t i;
    json_t *item;

    json_array_foreach(array, i, item)
    {
        const char *found = json_string_value(json_object_get(item, key));

        if (found && strcmp(found, value) == 0)
            return item;
    }
    return NULL;
}

static const json_t *find_pod(const json_t *root, const struct test_pod *pod)
{
    const json_t *row = find(json_object_get(root, "namespaces"), "namespace", pod->namespace_);

    return find(json_object_get(row, "pods"), "uid", pod->uid);
}

static json_int_t number(const json_t *row, const char *a, const char *b, const char *c)
{
    const json_t *at = json_object_get(row, a);

    if (b)
        at = json_object_get(at, b);
    return json_integer_value(c ? json_object_get(at, c) : at);
}

/* Event by event, by type: what the row says is what stands in the stream. */
static void expect_row_is_the_stream(const json_t *row, const struct test_container *container)
{
    for (enum event_type type = EVENT_FORK; type <= EVENT_EXIT; type++) {
        const char *name = event_type_name(type);
        size_t complete = 0, without = 0, pod_only = 0;

        for (size_t i = 0; i < scene.events.count; i++) {
            const struct event *event = &scene.events.list[i];

            if (event->type != type || !event_is_of(event, container))
                continue;
            complete += strcmp(event->state, "complete") == 0;
            without += strcmp(event->state, "pending_expired") == 0;
            pod_only += strcmp(event->state, "pod_only") == 0;
        }
        tap_expect_equal(number(row, "by_type", name, "events"), complete + without + pod_only, "events");
        tap_expect_equal(number(row, "by_type", name, "incomplete"), without + pod_only, "incomplete");
        tap_expect_equal(number(row, "by_type", name, "corrected"), without + pod_only, "corrected");
        tap_expect_equal(number(row, "by_type", name, "at_once") + number(row, "by_type", name, "waited"),
            complete, "complete");
    }
}

static void expect_fail_below(const struct test_pod *pod)
{
    json_t *root;

    tap_expect_equal(ask_coverage(&root, "--fail-below", "100"), 1, "exit status with --fail-below 100");
    json_decref(root);
    tap_expect_equal(ask_coverage(&root, "--fail-below", "0"), 0, "exit status with --fail-below 0");
    json_decref(root);
    tap_expect_equal(ask_coverage(&root, "--namespace", "no-such"), 0, "exit status");
    tap_expect_equal(json_array_size(json_object_get(root, "namespaces")), 0, "namespaces");
    json_decref(root);
    tap_expect_equal(ask_coverage(&root, "--pod", pod->name), 0, "exit status");
    tap_expect(find_pod(root, pod) != NULL, "--pod %s does not show it", pod->name);
    json_decref(root);
}

/* ---- scenes ---------------------------------------------------------------------------------------------- */

#define MIXED_EVENTS (20 * 3 + 4)

/* Forks and execs that end, one that stays, and one that stays after an exec. */
static void mixed(void *arg)
{
    (void)arg;
    workload_exec_true(20);
    for (unsigned i = 0; i < 2; i++) {
        if (fork() == 0) {
            if (i)
                (void)execl("/bin/sleep", "sleep", "60", (char *)NULL);
            (void)pause();
            _exit(0);
        }
    }
    (void)pause();
}

static void exec_some(void *arg)
{
    workload_exec_true(*(unsigned *)arg);
}

static void end(pid_t pid)
{
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
    scene_end(&scene);
}

static void late(void)
{
    struct test_container *container;
    unsigned few = 5;
    json_t *root;
    pid_t pid;

    if (!scene_make(&scene, 2) || !scene_start_collector(&scene) ||
        !scene_start_enricher(&scene, "--hold-timeout", "1500ms", NULL))
        return scene_end(&scene);
    container = scene_container(&scene, 0);
    pid = workload_start(container, mixed, NULL);
    tap_expect(events_wait(&scene.events, container, MIXED_EVENTS, 10000), "the events do not come");
    node_sleep_ms(6000); /* longer than the table remembers who has exited */
    scene_reveal(&scene);
    if (wait_for_updates(container, 10000)) {
        expect_each_once(1);
        expect_updates_name(&scene.pods[0], container);
    }
    (void)workload_run(container, exec_some, &few);
    oracle_expect_equal(&scene.events, container, 10000);
    tap_expect_equal(ask_coverage(&root, NULL, NULL), 0, "exit status of podkin coverage");
    if (tap_expect(find_pod(root, &scene.pods[0]) != NULL, "the Pod is not in the coverage"))
        expect_row_is_the_stream(find_pod(root, &scene.pods[0]), container);
    tap_expect(number(root, "host", "events", NULL) > 0, "no host events");
    json_decref(root);
    expect_fail_below(&scene.pods[0]);
    workload_expect_clean(&scene.events, container);
    end(pid);
}

/* ---- the log directory alone --------------------------------------------------------------------------------- */

#define OUTAGE_PODS 3

static struct standin standin;
static char log_source[200], dead_kubelet[64], dead_apiserver[200], port_to_come[32];

/* A port where nobody listens: the kubelet's, once it is back. */
static bool choose_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (!tap_expect(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
                        getsockname(fd, (struct sockaddr *)&address, &size) == 0,
            "no free port"))
        return false;
    (void)snprintf(port_to_come, sizeof(port_to_come), "127.0.0.1:%u", ntohs(address.sin_port));
    (void)snprintf(dead_kubelet, sizeof(dead_kubelet), "kubelet:http://%s", port_to_come);
    return true;
}

/* An API server that refuses connections, and stays away. */
static bool write_kubeconfig(void)
{
    char path[128];
    CLEANUP_FILE FILE *file = NULL;

    (void)snprintf(path, sizeof(path), "%s/kubeconfig", scene.node.dir);
    (void)snprintf(dead_apiserver, sizeof(dead_apiserver), "apiserver:%s", path);
    file = fopen(path, "we");
    return tap_expect(file &&
                          fputs("clusters:\n- name: k\n  cluster:\n    server: https://127.0.0.1:1\n"
                                "users:\n- name: u\n  user:\n    token: t\n"
                                "contexts:\n- name: c\n  context:\n    cluster: k\n    user: u\n"
                                "current-context: c\n",
                              file) >= 0 &&
                          fchmod(fileno(file), 0644) == 0,
        "writing the kubeconfig");
}

static bool start_in_outage(void)
{
    if (!scene_make(&scene, 0) || !choose_port() || !write_kubeconfig())
        return false;
    (void)snprintf(log_source, sizeof(log_source), "logdir:%s/log", scene.node.dir);
    tap_expect_equal(test_pod_log(log_source + strlen("logdir:"), NULL), 0, "making the log folder");
    if (!scene_start_collector(&scene) ||
        !node_start_enricher(&scene.node, "--source", log_source, "--source", dead_kubelet, "--source",
            dead_apiserver, "--hold-timeout", "20s", "--hold-container-timeout", "500ms", NULL))
        return false;
    events_open_file(&scene.events, scene.node.output);
    return true;
}

/* As the kubelet does: the log folders, then the container's processes. */
static pid_t start_pod(unsigned i)
{
    static const char *const apps[OUTAGE_PODS] = {"cart", "web", "db"};
    struct test_pod *pod = &scene.pods[i];

    scene.pod_count++;
    if (!tap_expect_equal(test_pod_make(pod, (enum pod_shape)(i % 3), "shop", apps[i], 1), 0, "a Pod") ||
        !tap_expect_equal(oracle_watch(&pod->containers[0]), 0, "counting in the kernel") ||
        !tap_expect_equal(test_pod_log(log_source + strlen("logdir:"), pod), 0, "making the log folders"))
        return -1;
    return workload_start(&pod->containers[0], mixed, NULL);
}

static void expect_names_only(const struct test_pod *pod)
{
    const struct test_container *container = &pod->containers[0];
    size_t wrong = 0, count = 0;

    tap_expect(events_wait(&scene.events, container, MIXED_EVENTS, 20000), "the events do not come");
    oracle_expect_equal(&scene.events, container, 10000);
    for (size_t i = 0; i < scene.events.count; i++) {
        const struct event *event = &scene.events.list[i];

        if (event->type > EVENT_EXIT || !event_is_of(event, container))
            continue;
        count++;
        wrong += strcmp(event->state, "pod_only") != 0 || strcmp(event->source, "logdir") != 0 ||
                 strcmp(event->namespace_, pod->namespace_) != 0 || strcmp(event->pod, pod->name) != 0 ||
                 strcmp(event->container, container->name) != 0 || *event->app || *event->workload;
    }
    tap_expect_equal(count, oracle_total(container), "events");
    tap_expect_equal(wrong, 0, "events that are not pod_only with the log directory's names");
}

static void expect_corrected(const struct test_pod *pod)
{
    const struct test_container *container = &pod->containers[0];
    json_t *root;

    if (wait_for_updates(container, 40000)) {
        expect_each_once(0);
        expect_updates_name(pod, container);
    }
    oracle_expect_equal(&scene.events, container, 10000); /* nothing leaves twice */
    tap_expect_equal(ask_coverage(&root, "--pod", pod->name), 0, "exit status of podkin coverage");
    if (tap_expect(find_pod(root, pod) != NULL, "the Pod is not in the coverage"))
        expect_row_is_the_stream(find_pod(root, pod), container);
    json_decref(root);
    workload_expect_clean(&scene.events, container);
}

static void remove_log_folder(void)
{
    char command[256];

    (void)snprintf(command, sizeof(command), "rm -rf %s/log", scene.node.dir);
    (void)!system(command); /* NOLINT(cert-env33-c,bugprone-command-processor): our own temporary folder */
}

static void outage(void)
{
    pid_t pids[OUTAGE_PODS] = {0};

    if (start_in_outage()) {
        for (unsigned i = 0; i < OUTAGE_PODS; i++)
            pids[i] = start_pod(i);
        for (unsigned i = 0; i < OUTAGE_PODS; i++)
            expect_names_only(&scene.pods[i]);
        scene_reveal(&scene);
        if (standin_start(&standin, &scene.node, "--listen", port_to_come, NULL)) {
            for (unsigned i = 0; i < OUTAGE_PODS; i++)
                expect_corrected(&scene.pods[i]);
        }
        standin_stop(&standin);
    }
    for (unsigned i = 1; i < OUTAGE_PODS; i++) {
        if (pids[i] > 0 && kill(pids[i], SIGKILL) == 0)
            (void)waitpid(pids[i], NULL, 0);
    }
    remove_log_folder();
    end(pids[0]);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"metadata after the deadline corrects each process once, and coverage says what the stream says",
            late},
        {"with API server and kubelet away all leave with the log directory's names, and the kubelet's "
         "return "
         "corrects each process once",
            outage},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
