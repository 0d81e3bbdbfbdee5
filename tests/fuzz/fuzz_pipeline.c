/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A history of a small node: a byte names a step, those behind it say who and how. Ten processes whose pids are used again, eight cgroups in two Pods, a
 * container without metadata, outside, and unheard of; hooks of policies that come, go, select, and are another collector's; Pods that come, change and go; an output that is full at times; a hold store for 40 events.
 * Whatever the history: the books balance, each event leaves exactly once, those of one process in order, each as one JSON line. Every history runs twice, full and normalised;
 * what the normalised lines expand to is held to the same.
 */
#include "enricher/pipeline.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "common/clock.h"
#include "common/record_check.h"
#include "enricher/output.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_expand.h"
#include "tests/unit/make_record.h"

#define UID_A "11111111-1111-4111-8111-111111111111"
#define UID_B "22222222-2222-4222-8222-222222222222"
#define UID_C "33333333-3333-4333-8333-333333333333"
#define ID_A  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ID_C  "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

#define EVENTS_MAX 2000
#define TGIDS      10

static const char *const cgroup_paths[8] = {"/kubepods/pod" UID_A "/" ID_A,
    "/kubepods/pod" UID_A "/" ID_A "/leaf", "/kubepods/burstable/pod" UID_B "/" ID_B,
    "/kubepods/pod" UID_C "/" ID_C, "/kubepods/pod" UID_B, "/system.slice/sshd.service",
    "/kubepods/pod" UID_A "/crio-conmon-" ID_C, "/"};

/* What one run has: static, since output_reserve() and output_commit() below have no other way to it. */
static struct {
    struct pipeline_options options;
    struct emit emit;
    struct pipeline pipeline;
    struct pod_table *pods;
    struct hold *hold;
    uint64_t now, first_seq;
    size_t room; /* lines that the output still takes */
    bool check_lines;
    struct fuzz_expander *expander;  /* NULL: lines are full */
    unsigned turns;                  /* counts what a section may begin with */
    bool left[EVENTS_MAX];           /* by number of the event: its line is out */
    uint32_t process_of[EVENTS_MAX]; /* the process that it is of, numbered by their starts */
    uint64_t last_left[EVENTS_MAX];  /* by process: number + 1 of its last event that left */
    uint32_t process_count, current[TGIDS];
    bool exited[EVENTS_MAX];
} run;

static struct make_record buffer;
static char block[4 * OUTPUT_LINE_MAX];

/* ---- the output ---- */

char *output_reserve(struct output *output, size_t max)
{
    (void)output;
    FUZZ_CHECK(max <= OUTPUT_LINE_MAX);
    return run.room > 0 ? block : NULL;
}

static void check_line(size_t size)
{
    json_t *line;

    if (!run.check_lines)
        return;
    line = json_loadb(block, size, JSON_REJECT_DUPLICATES, NULL);
    FUZZ_CHECK(json_is_object(line));
    json_decref(line);
}

/* The number of the event that the line is of: the end of its id. */
static uint64_t number_of_line(void)
{
    static const char name[] = "\"id\":\"0123456789abcdef"; /* with the boot: containers have ids as well */
    const char *id = strstr(block, name), *end;

    FUZZ_CHECK(id != NULL);
    end = strchr(id + strlen(name), '"');
    FUZZ_CHECK(end != NULL);
    while (end[-1] >= '0' && end[-1] <= '9')
        end--;
    return strtoull(end, NULL, 10) - run.first_seq - 1;
}

enum output_section output_section_due(const struct output *output)
{
    (void)output;
    return run.expander && ++run.turns % 64 == 0 ? OUTPUT_SECTION_FILE : OUTPUT_SECTION_NONE;
}

int output_begin_section(struct output *output)
{
    (void)output;
    return 0;
}

void output_note(struct output *output, uint64_t time_ns)
{
    (void)output;
    (void)time_ns;
}

void output_commit(struct output *output, size_t size)
{
    uint64_t number, *last;

    (void)output;
    FUZZ_CHECK(
        size > 0 && size <= OUTPUT_LINE_MAX && block[size - 1] == '\n' && !memchr(block, '\n', size - 1));
    if (run.expander) {
        size = fuzz_expander_read(run.expander, block, size, sizeof(block) - 1);
        if (!size)
            return;
    }
    run.room--;
    FUZZ_CHECK(size <= OUTPUT_LINE_MAX);
    block[size] = '\0';
    check_line(size);
    if (strncmp(block, "{\"pod_update\"", 13) == 0) /* no event: test_update.c has its rules */
        return;
    number = number_of_line();
    FUZZ_CHECK(number < EVENTS_MAX && !run.left[number]);
    run.left[number] = true;
    last = &run.last_left[run.process_of[number]];
    FUZZ_CHECK(*last <= number); /* E1 */
    *last = number + 1;
}

/* ---- the node ---- */

static void on_ask(void *arg)
{
    (void)arg;
}

static void on_changed(void *arg, struct pod *pod)
{
    (void)arg;
    pipeline_pod_changed(&run.pipeline, pod, run.now);
}

static void check_books(void)
{
    const struct counters *counters = &run.pipeline.counters;
    uint64_t received = 0, gone = 0;

    for (unsigned t = 0; t < RECORD_TYPE_SLOTS; t++) {
        if (t == RECORD_FORK || t == RECORD_EXEC || t == RECORD_EXIT || t == RECORD_HOOK)
            received += counters->received[t];
        gone += counters->emitted[t] + counters->dropped[t];
    }
    FUZZ_CHECK(received == gone + pipeline_held(&run.pipeline)); /* E3 */
}

static void feed(const struct record_header *record)
{
    FUZZ_CHECK(record_check(record, record->size) == 0);
    while (pipeline_record(&run.pipeline, record, run.now) == -EAGAIN)
        run.room += 3; /* as when a block was written */
    check_books();
}

static struct make_key key_of(uint8_t byte)
{
    return (struct make_key){1000 + byte % TGIDS, 1 + run.current[byte % TGIDS]};
}

/* As the kernel may say it: a fork begins a process that never was (the exit of the one before it may be lost), and nothing comes behind an exit. */
static void feed_event(uint8_t kind, uint8_t who, uint8_t where)
{
    uint64_t number = make_seq_ - run.first_seq, cgroup = 1 + where % 8;
    uint32_t *current = &run.current[who % TGIDS];
    struct make_key parent = key_of((uint8_t)(where / 8 + who + 1));

    if (number >= EVENTS_MAX || run.process_count + 1 >= EVENTS_MAX || (kind != 0 && run.exited[*current]))
        return;
    if (kind == 0)
        *current = run.process_count++;
    run.process_of[number] = *current;
    run.exited[*current] = kind == 2;
    if (kind == 0)
        feed(make_fork(&buffer, key_of(who), parent, cgroup, run.now));
    else if (kind == 1)
        feed(make_exec(&buffer, key_of(who), parent, cgroup, run.now, "/usr/bin/thing"));
    else
        feed(make_exit(&buffer, key_of(who), cgroup, run.now, where));
}

static void feed_cgroup(uint8_t who, uint8_t where)
{
    static const uint8_t types[] = {
        RECORD_CGROUP_MKDIR, RECORD_CGROUP_MKDIR, RECORD_CGROUP_RMDIR, RECORD_CGROUP_ATTACH};
    uint64_t number = make_seq_ - run.first_seq;

    if (number >= EVENTS_MAX)
        return;
    feed(make_cgroup(
        &buffer, types[where / 8 % 4], 1 + where % 8, key_of(who), run.now, cgroup_paths[where % 8]));
}

static void feed_hook(uint8_t who, uint8_t where)
{
    uint64_t number = make_seq_ - run.first_seq;
    uint32_t current = run.current[who % TGIDS];
    struct record_hook *hook;

    if (number >= EVENTS_MAX || run.exited[current])
        return;
    run.process_of[number] = current;
    hook = make_hook(&buffer, key_of(who), 1 + where % 8, run.now, where / 8 % 4);
    hook->header.tid += who / TGIDS;
    make_arg_bytes(&buffer, 0, RECORD_ARG_STRING, "a\"\n\xff", 4, where);
    feed(&hook->header);
}

static const struct record_header *policy_of(uint8_t id, uint8_t how)
{
    static const struct {
        const char *words;
        size_t size;
    } selectors[] = {{"", 0}, {"pod\0app\0In\0001\0web", 16}, {"pod\0app\0NotIn\0001\0web", 19},
        {"pod\0app", 7}, {"container\0name\0In\0001\0main", 24}};
    const struct make_policy policy = {.hook_id = id % 4,
        .kind = (uint8_t)(1 + how % 4),
        .flags = (uint8_t)((how & 64 ? RECORD_POLICY_GONE : 0) | (how & 128 ? RECORD_POLICY_NAMESPACED : 0)),
        .name = "p",
        .name_space = how & 32 ? "shop" : "other",
        .function = "f",
        .selector = selectors[how / 4 % 5].words,
        .selector_size = selectors[how / 4 % 5].size};

    return make_policy(&buffer, &policy, run.now);
}

static void change_collector(uint8_t id, uint8_t how)
{
    pipeline_collector_changed(&run.pipeline);
    pipeline_snapshot_begin(&run.pipeline);
    pipeline_snapshot(&run.pipeline, policy_of(id, how), PIPELINE_SNAPSHOT_TABLES);
    if (how & 2) /* of the whole snapshot only this: it has no processes, and here they live on */
        policy_table_mark_unseen(&run.pipeline.policies, run.pipeline.snapshot_generation, run.now);
}

static void step_hook(const uint8_t data[3])
{
    uint64_t number = make_seq_ - run.first_seq;

    if (number >= EVENTS_MAX)
        return;
    if (data[0] % 8 < 4)
        feed_hook(data[1], data[2]);
    else if (data[0] % 8 < 7)
        feed(policy_of(data[1], data[2]));
    else
        change_collector(data[1], data[2]);
}

#define STR(literal) ((char *)(uintptr_t)(literal))

static void tell_pod(uint8_t which, uint8_t how)
{
    static const char *const uids[] = {UID_A, UID_B, UID_C}, *const ids[] = {ID_A, ID_B, ID_C};
    struct pod_pair label = {STR("app"), how & 8 ? STR("web") : STR("db\"\n")};
    struct pod_container container = {.name = STR("main"), .id = how & 1 ? STR(ids[which % 3]) : NULL};
    struct pod pod = {.uid = STR(uids[which % 3]),
        .namespace_ = STR("shop"),
        .name = STR("web-1"),
        .labels = &label,
        .label_count = 1,
        .containers = how & 2 ? &container : NULL,
        .container_count = how & 2 ? 1 : 0};

    if (how & 4)
        pod_table_remove(run.pods, POD_SOURCE_KUBELET, pod.uid, run.now);
    else
        FUZZ_CHECK(
            pod_table_merge(run.pods, how & 16 ? POD_SOURCE_LOGDIR : POD_SOURCE_KUBELET, &pod, run.now) == 0);
}

static void pass(uint64_t ns)
{
    run.now += ns;
    pipeline_turn(&run.pipeline, run.now);
    pod_table_expire(run.pods, run.now);
    check_books();
}

static void step(const uint8_t data[3])
{
    if (data[0] >= 0xc0) {
        step_hook(data);
        return;
    }
    switch (data[0] % 8) {
    case 0:
    case 1:
    case 2:
        feed_event(data[0] % 8, data[1], data[2]);
        break;
    case 3:
        feed_cgroup(data[1], data[2]);
        break;
    case 4:
    case 5:
        tell_pod(data[1], data[2]);
        pass(0);
        break;
    case 6:
        pass((uint64_t)(data[1] << 8 | data[2]) * NS_PER_MS);
        break;
    default:
        run.room = data[1] % 16;
        break;
    }
}

static void start(bool normalised)
{
    static const struct render_options render = {
        .node_name = "n", .own_fields = true, .image = {.own_fields = true}};
    const struct pod_table_limits pod_limits = {
        .max_pods = 3, .max_bytes = 1 << 20, .grace_ns = 10 * NS_PER_SEC};
    const struct hold_limits hold_limits = {.max_events = 40, .max_bytes = 16384};

    memset(&run, 0, sizeof(run));
    run.now = 1000 * NS_PER_SEC;
    run.first_seq = make_seq_;
    run.room = SIZE_MAX / 2;
    run.process_count = TGIDS;
    for (uint32_t i = 0; i < TGIDS; i++)
        run.current[i] = i; /* these were never seen to start */
    run.options = (struct pipeline_options){.hold_timeout_ns = 30 * NS_PER_SEC,
        .container_timeout_ns = 5 * NS_PER_SEC,
        .process_grace_ns = 5 * NS_PER_SEC,
        .max_exited = 16384,
        .cgroup_grace_ns = 20 * NS_PER_SEC,
        .max_cgroups = 6,
        .retry = {200 * NS_PER_MS, 5 * NS_PER_SEC},
        .owed = {.container_max = 8, .total_max = 20},
        .own_events = true};
    FUZZ_CHECK(pod_table_new(&run.pods, &pod_limits, on_changed, NULL) == 0);
    FUZZ_CHECK(hold_new(&run.hold, -1, &hold_limits) == 0);
    FUZZ_CHECK(emit_init(&run.emit, &render, NULL, "01234567-89ab-cdef-0123-456789abcdef") == 0);
    if (normalised) {
        run.expander = fuzz_expander_new();
        FUZZ_CHECK(run.expander && emit_normalise(&run.emit) == 0);
    }
    run.pipeline = (struct pipeline){
        .options = &run.options, .pods = run.pods, .hold = run.hold, .emit = &run.emit, .ask = on_ask};
    FUZZ_CHECK(pipeline_init(&run.pipeline, run.now) == 0);
}

/* After every deadline nothing is held. */
static void end(void)
{
    run.room = SIZE_MAX / 2;
    pass(0);
    for (int i = 0; i < 80; i++)
        pass(NS_PER_SEC);
    FUZZ_CHECK(hold_count(run.hold) == 0);
    pipeline_deinit(&run.pipeline);
    emit_deinit(&run.emit);
    run.expander = fuzz_expander_free(run.expander);
    run.pods = pod_table_free(run.pods);
    run.hold = hold_free(run.hold);
}

static void history(const uint8_t *data, size_t size, bool normalised)
{
    start(normalised);
    run.check_lines = size < 300; /* parsing each line is most of the time */
    for (; size >= 3 && make_seq_ - run.first_seq < EVENTS_MAX; data += 3, size -= 3)
        step(data);
    end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    history(data, size, false);
    history(data, size, true);
    return 0;
}
