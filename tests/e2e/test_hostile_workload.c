/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload that chooses what podkin reads of it: arguments, paths, folders, cgroups, its name, its Pod's names and labels. One row an attempt: the event is there, says of the
 * workload's own Pod what was chosen, byte for byte, and nothing of another's; and nothing that was chosen reaches the log, the daemons' own logs or a terminal as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "tests/e2e/hostile_text.h"
#include "tests/e2e/scene.h"
#include "tests/e2e/standin.h"

#define LONG_BYTES  (64 << 10)
#define ARGS_MAX    8192 /* of them the kernel side takes */
#define SHOWN_BYTES (8 << 20)
#define PATIENCE_MS 30000

enum { HOSTILE, VICTIM, NESTED, POD_COUNT };

static struct scene scene;
static struct standin standin;
static json_t *lines; /* all of the output, once it is whole */

/* ---- what it does ----------------------------------------------------------------------------------------------- */

enum place { ARGUMENT, BINARY, FOLDER, NAME, CGROUP, PLACE_COUNT };
static const char *const place_names[] = {"argument", "path of a binary", "working folder", "comm", "cgroup"};

struct job {
    enum place place;
    size_t text;
};

/* By it the event is found again. */
static const char *marker_of(const struct job *job)
{
    static char marker[32];

    (void)snprintf(marker, sizeof(marker), "-%d-%zu-", (int)job->place, job->text);
    return marker;
}

static const char *folder_of(const struct job *job)
{
    static char path[512];

    (void)snprintf(path, sizeof(path), "%s/out/%s", scene.node.dir, hostile_texts[job->text].bytes);
    return path;
}

static void spawn_true(const char *program, const char *marker, const char *argument)
{
    const char *argv[] = {program, "0", marker, argument, NULL};

    (void)workload_spawn(argv);
}

static void copy_true(const char *path)
{
    CLEANUP_CLOSE int in = open(workload_true(), O_RDONLY | O_CLOEXEC),
                      out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    struct stat st;

    if (fstat(in, &st) < 0 || sendfile(out, in, NULL, (size_t)st.st_size) != st.st_size)
        _exit(1);
}

static void do_job(void *arg)
{
    const struct job *job = arg;
    const char *text = hostile_texts[job->text].bytes, *path = folder_of(job), *program = workload_true();

    switch (job->place) {
    case BINARY:
        copy_true(path);
        spawn_true(path, marker_of(job), NULL);
        (void)unlink(path);
        return;
    case FOLDER:
        (void)mkdir(path, 0755);
        if (chdir(path) < 0)
            _exit(1);
        spawn_true(program, marker_of(job), NULL);
        (void)rmdir(path);
        return;
    case NAME:
        (void)prctl(PR_SET_NAME, text);
        spawn_true(program, marker_of(job), NULL);
        return;
    default:
        spawn_true(program, marker_of(job), job->place == ARGUMENT ? text : NULL);
    }
}

/* Its own cgroup, in its container's, is called as it likes; the kernel refuses newlines alone. */
static void do_in_cgroup(struct job *job, const char *name)
{
    struct test_container below = {0};
    struct test_container *container = scene_container(&scene, NESTED);
    int r = test_container_below(&below, container, container->path, name);

    if (strchr(name, '\n'))
        return (void)tap_expect(r < 0, "a cgroup with a newline can be made");
    if (!tap_expect_equal(r, 0, "making a cgroup"))
        return;
    (void)workload_run(&below, do_job, job);
    (void)close(below.cgroup_fd);
    test_cgroup_remove(below.path);
}

/* ---- what was told of it ------------------------------------------------------------------------------------------ */

static const json_t *process_of(const json_t *line)
{
    const json_t *event = json_object_iter_value(json_object_iter((json_t *)(uintptr_t)line));

    return json_object_get(event, "process");
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* The process of the exec with this argument. */
static const json_t *find(const char *marker)
{
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i), *process = process_of(line);
        const json_t *args = json_object_get(process, "args");

        if (json_object_get(line, "process_exec") &&
            strcmp(json_string_value(json_array_get(args, 1)) ?: "", marker) == 0)
            return process;
    }
    return NULL;
}

static bool expect_of(const json_t *process, unsigned pod)
{
    const json_t *said = json_object_get(process, "pod");

    return tap_expect(process != NULL, "no event") &&
           tap_expect(strcmp(text_of(said, "uid"), scene.pods[pod].uid) == 0 &&
                          strcmp(text_of(said, "name"), scene.pods[pod].name) == 0 &&
                          strncmp(text_of(process, "docker"), scene_container(&scene, pod)->id, 31) == 0,
               "it is said to be of %s, container %s", text_of(said, "name"), text_of(process, "docker"));
}

static void expect_text(const char *found, const char *head, const struct hostile_text *text)
{
    char wanted[512];

    (void)snprintf(wanted, sizeof(wanted), "%s%s", head, text->read ? text->read : text->bytes);
    tap_expect(strcmp(found, wanted) == 0, "not what was chosen");
}

static void judge_job(const struct job *job)
{
    const struct hostile_text *text = &hostile_texts[job->text];
    bool refused = job->place == CGROUP && strchr(text->bytes, '\n');
    const json_t *process = find(marker_of(job));
    char head[128], name[256];

    (void)snprintf(head, sizeof(head), "%s/out/", scene.node.dir);
    if (!refused && expect_of(process, job->place == CGROUP ? NESTED : HOSTILE)) {
        if (job->place == ARGUMENT)
            expect_text(json_string_value(json_array_get(json_object_get(process, "args"), 2)), "", text);
        if (job->place == BINARY)
            expect_text(text_of(process, "binary"), head, text);
        if (job->place == FOLDER)
            expect_text(text_of(process, "cwd"), head, text);
    }
    (void)snprintf(name, sizeof(name), "%s: %s", place_names[job->place], text->what);
    tap_report(name);
}

/* ---- the Pods, as the kubelet tells of them --------------------------------------------------------------------------- */

static const char *label_of(size_t text)
{
    static char key[32];

    (void)snprintf(key, sizeof(key), "hostile/%zu", text);
    return key;
}

/* With every text that a server can put into JSON as a label and as an annotation, values and keys. */
static void make_hostile(json_t *pod)
{
    json_t *metadata = json_object_get(pod, "metadata"), *labels = json_object_get(metadata, "labels");
    json_t *annotations = json_object();

    for (size_t i = 0; i < hostile_text_count; i++) {
        if (hostile_texts[i].read)
            continue;
        (void)json_object_set_new(labels, label_of(i), json_string(hostile_texts[i].bytes));
        (void)json_object_set_new(annotations, label_of(i), json_string(hostile_texts[i].bytes));
        (void)json_object_set_new(annotations, hostile_texts[i].bytes, json_string("key"));
    }
    (void)json_object_set_new(metadata, "annotations", annotations);
}

static bool write_pods(void)
{
    json_t *list, *items;
    bool fine;

    if (!tap_expect_equal(
            test_pods_write(scene.node.pods,
                (const struct test_pod *[]){&scene.pods[HOSTILE], &scene.pods[VICTIM], &scene.pods[NESTED]},
                POD_COUNT),
            0, "writing the Pods"))
        return false;
    list = json_load_file(scene.node.pods, 0, NULL);
    items = json_object_get(list, "items");
    make_hostile(json_array_get(items, HOSTILE));
    fine = tap_expect_equal(json_dump_file(list, scene.node.pods, 0), 0, "writing the Pods");
    json_decref(list);
    return fine;
}

static void judge_labels(void)
{
    const json_t *pod = json_object_get(find("-victimless-"), "pod");

    for (size_t i = 0; i < hostile_text_count; i++) {
        char name[256];

        if (hostile_texts[i].read)
            continue;
        tap_expect(
            strcmp(text_of(json_object_get(pod, "pod_labels"), label_of(i)), hostile_texts[i].bytes) == 0,
            "label: not what was chosen");
        tap_expect(strcmp(text_of(json_object_get(pod, "pod_annotations"), label_of(i)),
                       hostile_texts[i].bytes) == 0,
            "annotation: not what was chosen");
        tap_expect(
            strcmp(text_of(json_object_get(pod, "pod_annotations"), hostile_texts[i].bytes), "key") == 0,
            "key of an annotation: not what was chosen");
        (void)snprintf(name, sizeof(name), "label and annotation: %s", hostile_texts[i].what);
        tap_report(name);
    }
}

/* ---- arguments without end --------------------------------------------------------------------------------------------- */

static char long_argument[LONG_BYTES + 1];
#define MANY 20000
static const char *many[MANY + 4];

static void do_long(void *arg)
{
    const char *unnamed[] = {NULL};
    pid_t pid;

    (void)arg;
    spawn_true(workload_true(), "-victimless-", "x");
    spawn_true(workload_true(), "-long-", long_argument);
    (void)workload_spawn(many);
    if (posix_spawn(&pid, workload_true(), NULL, NULL, (char *const *)unnamed, environ) == 0)
        (void)waitpid(pid, NULL, 0);
}

static void fill_long(void)
{
    memset(long_argument, '\033', LONG_BYTES);
    many[0] = workload_true();
    many[1] = "0";
    many[2] = "-many-";
    for (size_t i = 3; i < MANY; i++)
        many[i] = i % 2 ? "" : "\n";
}

static void judge_long(void)
{
    const json_t *process = find("-long-");
    const char *argument = json_string_value(json_array_get(json_object_get(process, "args"), 2));

    if (expect_of(process, HOSTILE))
        tap_expect(argument && strlen(argument) > 1000 && strlen(argument) < ARGS_MAX &&
                       strspn(argument, "\033") == strlen(argument) &&
                       strstr(text_of(process, "flags"), "truncArgs"),
            "%zu bytes of it, flags %s", argument ? strlen(argument) : 0, text_of(process, "flags"));
    tap_report("argument: 64 KiB of escapes are cut and marked");
    process = find("-many-");
    if (expect_of(process, HOSTILE))
        tap_expect(
            strstr(text_of(process, "flags"), "truncArgs") != NULL, "flags %s", text_of(process, "flags"));
    tap_report("argument: twenty thousand of them are cut and marked");
}

/* ---- arguments that are written over ------------------------------------------------------------------------------------ */

/* This program's own, which a child may fill as it likes without an end anywhere: the next snapshot reads them. */
static char *own_arguments;
static size_t own_size;
static pid_t sleeper;

static void overwrite(void *arg)
{
    static const char pattern[] = {
        '\033', '[', '2', 'J', '\n', '"', (char)0xff, (char)0xe2, (char)0x80, (char)0xae};

    (void)arg;
    for (size_t i = 0; i < own_size; i++)
        own_arguments[i] = pattern[i % sizeof(pattern)];
    for (;;)
        (void)pause();
}

static void judge_sleeper(void)
{
    unsigned found = 0;

    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i), *process = process_of(line);

        if (json_object_get(line, "process_exit") &&
            json_integer_value(json_object_get(process, "pid")) == sleeper && expect_of(process, NESTED))
            found++;
    }
    tap_expect_equal(found, 1, "exits of it");
    tap_report("argument: written over before a snapshot, without an end");
}

/* ---- cgroups that claim to be another's ---------------------------------------------------------------------------------- */

static const char *const claims[] = {"the Pod's and the container's name, as systemd has them",
    "the container's name", "the Pod's name, as the kubelet's own driver has it", "both, as CRI-O has them"};
#define CLAIMS (sizeof(claims) / sizeof(claims[0]))

static void claim_name(size_t i, char *ret, size_t size)
{
    const struct test_pod *victim = &scene.pods[VICTIM];
    const char *id = victim->containers[0].id;
    char escaped[37];

    for (size_t k = 0; k < sizeof(escaped); k++)
        escaped[k] = victim->uid[k] == '-' ? '_' : victim->uid[k];
    switch (i) {
    case 0:
        (void)snprintf(ret, size, "kubepods-burstable-pod%s.slice/cri-containerd-%s.scope", escaped, id);
        return;
    case 1:
        (void)snprintf(ret, size, "cri-containerd-%s.scope", id);
        return;
    case 2:
        (void)snprintf(ret, size, "kubepods/burstable/pod%s/%s", victim->uid, id);
        return;
    default:
        (void)snprintf(ret, size, "kubepods.slice/kubepods-pod%s.slice/crio-%s.scope", escaped, id);
    }
}

static void do_claims(void)
{
    for (size_t i = 0; i < CLAIMS; i++) {
        struct job job = {PLACE_COUNT, i};
        char name[256];

        claim_name(i, name, sizeof(name));
        do_in_cgroup(&job, name);
    }
}

static void judge_claims(void)
{
    for (size_t i = 0; i < CLAIMS; i++) {
        struct job job = {PLACE_COUNT, i};
        char name[256];

        (void)expect_of(find(marker_of(&job)), NESTED);
        (void)snprintf(name, sizeof(name), "cgroup: a victim's: %s", claims[i]);
        tap_report(name);
    }
}

/* ---- the lines, all of them ------------------------------------------------------------------------------------------- */

static char *read_whole(const char *path, size_t *ret_size)
{
    CLEANUP_FILE FILE *file = fopen(path, "re");
    char *bytes = malloc(SHOWN_BYTES);

    if (!bytes)
        abort();
    *ret_size = file ? fread(bytes, 1, SHOWN_BYTES, file) : 0;
    return bytes;
}

static void load_lines(void)
{
    size_t size, bad = 0;
    CLEANUP_FREE char *bytes = read_whole(scene.node.output, &size);

    lines = json_array();
    for (char *line = bytes, *end; (end = memchr(line, '\n', size - (size_t)(line - bytes)));
         line = end + 1) {
        json_t *whole = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

        if (whole)
            (void)json_array_append_new(lines, whole);
        else
            bad++;
    }
    tap_expect_equal(bad, 0, "lines that are not JSON");
    tap_expect(
        json_array_size(lines) > hostile_text_count * PLACE_COUNT, "%zu lines", json_array_size(lines));
    tap_report("each line is JSON: jansson");
}

static void judge_by_python(void)
{
    const char *argv[] = {"/usr/bin/env", "python3", "-c",
        "import json, sys\n"
        "lines = open(sys.argv[1], 'rb').read().split(b'\\n')\n"
        "assert lines.pop() == b''\n"
        "assert len(lines) == int(sys.argv[2])\n"
        "assert all(list(json.loads(line.decode('utf-8')))[-1] for line in lines)\n",
        scene.node.output, NULL, NULL};
    char count[32], log[128];
    int status;

    (void)snprintf(count, sizeof(count), "%zu", json_array_size(lines));
    (void)snprintf(log, sizeof(log), "%s/python.log", scene.node.dir);
    argv[5] = count;
    status = node_stop(node_start(log, false, argv), 0);
    if (status == 127)
        tap_skip("no python3");
    else
        tap_expect_equal(status, 0, "its exit status");
    tap_report("each line is JSON, and they are as many: python");
}

static void judge_bytes(const char *path, const char *name)
{
    size_t size;
    CLEANUP_FREE char *bytes = read_whole(path, &size);
    size_t at = hostile_find(bytes, size, false);

    tap_expect(size > 0, "it is empty");
    tap_expect(at == size, "byte %zu is %#x", at, at < size ? (unsigned char)bytes[at] : 0);
    tap_report(name);
}

/* Every event that names the victim is of its container, and it has all of its own. */
static void judge_victim(void)
{
    size_t others = 0;

    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *process = process_of(json_array_get(lines, i));
        const json_t *pod = json_object_get(process, "pod");
        bool named = strcmp(text_of(pod, "uid"), scene.pods[VICTIM].uid) == 0 ||
                     strcmp(text_of(pod, "name"), scene.pods[VICTIM].name) == 0 ||
                     strcmp(text_of(pod, "name"), "victim") == 0;

        others += named && strncmp(text_of(process, "docker"), scene_container(&scene, VICTIM)->id, 31) != 0;
    }
    tap_expect_equal(others, 0, "events of others that name the victim");
    tap_expect_equal(scene.events.bad_lines, 0, "bad lines");
    scene_check_pod(&scene, VICTIM, PATIENCE_MS);
    scene_check_pod(&scene, HOSTILE, PATIENCE_MS);
    tap_report("the victim's events are its own, the workload's its own, each as many as the kernel counts");
}

/* ---- on a terminal ----------------------------------------------------------------------------------------------------- */

/* What podkin with these arguments writes to a terminal of its own. */
static size_t run_on_terminal(const char *const argv[], char *ret, size_t size)
{
    struct winsize window = {.ws_row = 50, .ws_col = 200};
    struct termios raw;
    int terminal = -1, status = -1;
    size_t at = 0;
    ssize_t n;
    pid_t pid;

    cfmakeraw(&raw);
    (void)fflush(stdout);
    pid = forkpty(&terminal, NULL, &raw, &window);
    if (pid == 0) {
        (void)setenv("TERM", "xterm-256color", 1);
        (void)setenv("LC_ALL", "C.UTF-8", 1);
        (void)execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    if (!tap_expect(pid > 0, "a terminal: %s", strerror(errno)))
        return 0;
    while (at < size && (n = read(terminal, ret + at, size - at)) > 0)
        at += (size_t)n;
    (void)close(terminal);
    (void)waitpid(pid, &status, 0);
    tap_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wait status %#x", status);
    return at;
}

static void judge_terminal(const char *name, bool colors, const char *const argv[])
{
    CLEANUP_FREE char *shown = malloc(SHOWN_BYTES);
    size_t size = shown ? run_on_terminal(argv, shown, SHOWN_BYTES) : 0;
    size_t at = shown ? hostile_find(shown, size, colors) : 0;

    tap_expect(size > 0, "nothing is shown");
    tap_expect(at == size, "byte %zu of %zu is %#x, after '%.*s'", at, size,
        at < size ? (unsigned char)shown[at] : 0, (int)(at < 40 ? at : 40), shown + (at < 40 ? 0 : at - 40));
    tap_report(name);
}

static void judge_terminals(void)
{
    const char *program = node_program("enricher/podkin"), *socket = scene.node.events_socket;
    char pid[16];

    (void)snprintf(pid, sizeof(pid), "%d", (int)sleeper);
    judge_terminal(
        "terminal: podkin events", true, (const char *[]){program, "events", scene.node.output, NULL});
    judge_terminal("terminal: podkin events, without colours", false,
        (const char *[]){program, "events", "--color", "never", scene.node.output, NULL});
    judge_terminal("terminal: podkin events -o json", false,
        (const char *[]){program, "events", "-o", "json", scene.node.output, NULL});
    judge_terminal("terminal: podkin events --summary", true,
        (const char *[]){program, "events", "--summary", scene.node.output, NULL});
    judge_terminal("terminal: podkin status", true,
        (const char *[]){program, "status", "--events-socket", socket, NULL});
    judge_terminal("terminal: podkin coverage", true,
        (const char *[]){program, "coverage", "--events-socket", socket, NULL});
    judge_terminal("terminal: podkin explain, of the process that wrote its arguments over", true,
        (const char *[]){program, "explain", "--events-socket", socket, pid, NULL});
}
#define TERMINALS 7

/* ------------------------------------------------------------------------------------------------------------------------- */

static bool start(void)
{
    if (!scene_make(&scene, POD_COUNT) || !write_pods())
        return false;
    sleeper = workload_start(scene_container(&scene, NESTED), overwrite, NULL);
    node_sleep_ms(100);
    if (!scene_start_collector(&scene) || !standin_start(&standin, &scene.node, NULL) ||
        !node_start_enricher(&scene.node, "--source", standin.source, "--export-annotations", "on", NULL))
        return false;
    events_open_file(&scene.events, scene.node.output);
    return true;
}

static void exec_some(void *arg)
{
    (void)arg;
    workload_exec_true(20);
}

static void work(void)
{
    for (size_t text = 0; text < hostile_text_count; text++) {
        for (enum place place = 0; place < PLACE_COUNT; place++) {
            struct job job = {place, text};

            if (place == CGROUP)
                do_in_cgroup(&job, hostile_texts[text].bytes);
            else
                (void)workload_run(scene_container(&scene, HOSTILE), do_job, &job);
        }
    }
    (void)workload_run(scene_container(&scene, HOSTILE), do_long, NULL);
    do_claims();
    (void)workload_run(scene_container(&scene, VICTIM), exec_some, NULL);
}

static size_t count_rows(void)
{
    size_t valid = 0;

    for (size_t i = 0; i < hostile_text_count; i++)
        valid += !hostile_texts[i].read;
    /* each text in each place, long ones, labels, claims, the sleeper; then lines, bytes, the victim, the end */
    return hostile_text_count * PLACE_COUNT + 2 + valid + CLAIMS + 1 + 2 + 3 + 1 + TERMINALS + 1;
}

static void judge(void)
{
    judge_victim();
    judge_terminals();
    (void)node_stop(sleeper, SIGKILL);
    node_sleep_ms(500);
    tap_expect_equal(node_stop_enricher(&scene.node, SIGTERM), 0, "enricher's exit status");
    load_lines();
    judge_by_python();
    judge_bytes(scene.node.output, "the log has no byte that a terminal obeys");
    judge_bytes(scene.node.enricher_log, "the enricher's own log neither");
    judge_bytes(scene.node.collector_log, "the collector's own log neither");
    for (size_t text = 0; text < hostile_text_count; text++) {
        for (enum place place = 0; place < PLACE_COUNT; place++)
            judge_job(&(struct job){place, text});
    }
    judge_long();
    judge_labels();
    judge_claims();
    judge_sleeper();
}

int main(int argc, char **argv)
{
    const char *missing = tap_missing();

    if (missing) {
        printf("1..0 # SKIP %s\n", missing);
        return 0;
    }
    own_arguments = argv[0];
    own_size = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) - argv[0]) + 1;
    fill_long();
    tap_plan(count_rows());
    if (start()) {
        work();
        judge();
    }
    standin_stop(&standin);
    scene_end(&scene);
    json_decref(lines);
    tap_report("both daemons end when told");
    return tap_status();
}
