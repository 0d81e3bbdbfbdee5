/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/enricher/pipeline_kit.h"

#include <stdlib.h>

#include "common/utf8.h"

struct kit kit;

/* ---- the output -------------------------------------------------------------------------------------------- */

#define CANARY 64

static char block[OUTPUT_LINE_MAX + CANARY];
static size_t reserved;

char *output_reserve(struct output *output, size_t max)
{
    (void)output;
    cr_assert_leq(max, OUTPUT_LINE_MAX);
    reserved = max;
    memset(block + max, 'c', CANARY);
    if (kit.refuse_after > 0 && --kit.refuse_after == 0) {
        kit.refused = true;
        return NULL;
    }
    return kit.room > 0 ? block : NULL;
}

enum output_section output_section_due(const struct output *output)
{
    (void)output;
    return kit.section_due;
}

int output_begin_section(struct output *output)
{
    (void)output;
    kit.section_due = OUTPUT_SECTION_NONE;
    return 0;
}

void output_note(struct output *output, uint64_t time_ns)
{
    (void)output;
    (void)time_ns;
}

/* The full line, without its newline; NULL: the line is none by itself. */
static char *expand(size_t size)
{
    char *line;

    if (!kit.normalised)
        return strndup(block, size - 1);
    line = kit_expander_read(kit.expander, block, size - 1);
    if (!line)
        *(strncmp(block, "{\"podkin_section", 16) == 0 ? &kit.sections : &kit.definitions) += 1;
    return line;
}

void output_commit(struct output *output, size_t size)
{
    char *line;

    (void)output;
    cr_assert_eq(block[size - 1], '\n');
    cr_assert_leq(size, reserved);
    for (size_t i = 0; i < CANARY; i++)
        cr_assert_eq(block[reserved + i], 'c', "written behind what was reserved");
    cr_assert_lt(kit.line_count, KIT_LINES_MAX);
    cr_assert_null(memchr(block, '\0', size));
    line = expand(size);
    if (!line)
        return;
    if (strncmp(block, "{\"pod_update\"", 13) == 0) {
        cr_assert_lt(kit.update_count, KIT_LINES_MAX);
        kit.update_behind[kit.update_count] = kit.line_count;
        kit.updates[kit.update_count++] = line;
    } else {
        kit.lines[kit.line_count++] = line;
    }
    kit.room--;
}

/* ---- start and stop ------------------------------------------------------------------------------------------ */

static void on_ask(void *arg)
{
    (void)arg;
    kit.asks++;
}

static void on_changed(void *arg, struct pod *pod)
{
    (void)arg;
    pipeline_pod_changed(&kit.pipeline, pod, kit.now);
}

void kit_start(void)
{
    const struct pod_table_limits pod_limits = {.max_pods = 100, .max_bytes = 1 << 20, .grace_ns = 300 * SEC};

    kit.now = 1000 * SEC;
    kit.asks = 0;
    kit.line_count = kit.update_count = 0;
    kit.room = SIZE_MAX;
    cr_assert_eq(pod_table_new(&kit.pods, &pod_limits, on_changed, NULL), 0);
    cr_assert_eq(hold_new(&kit.hold, -1, &kit.limits), 0);
    cr_assert_eq(emit_init(&kit.emit, &kit.render, NULL, "01234567-89ab-cdef-0123-456789abcdef"), 0);
    kit.sections = kit.definitions = kit.refuse_after = 0;
    kit.refused = false;
    kit.section_due = OUTPUT_SECTION_NONE;
    kit.expander = kit_expander_new();
    if (kit.normalised)
        cr_assert_eq(emit_normalise(&kit.emit), 0);
    kit.pipeline = (struct pipeline){.options = &kit.options,
        .lane = kit.lane,
        .pods = kit.pods,
        .hold = kit.hold,
        .emit = &kit.emit,
        .ask = on_ask};
    cr_assert_eq(pipeline_init(&kit.pipeline, kit.now), 0);
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, CG_HOST, NONE, kit.now, "/"));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, CG_A, NONE, kit.now, PATH_A));
    kit_feed(make_cgroup(&kit.record, RECORD_CGROUP_MKDIR, CG_B, NONE, kit.now, PATH_B));
}

void kit_setup(void)
{
    const char *format = getenv("KIT_FORMAT");

    kit.normalised = format && strcmp(format, "normalised") == 0;
    kit.limits = (struct hold_limits){.max_events = 10000, .max_bytes = 16 << 20};
    kit.options = (struct pipeline_options){.hold_timeout_ns = 30 * SEC,
        .container_timeout_ns = 5 * SEC,
        .process_grace_ns = 5 * SEC,
        .max_exited = 16384,
        .cgroup_grace_ns = 300 * SEC,
        .max_cgroups = 1000,
        .retry = {200 * NS_PER_MS, 5 * SEC},
        .owed = {.container_max = 4096, .total_max = 65536},
        .own_events = true};
    kit.render =
        (struct render_options){.node_name = "node1", .own_fields = true, .image = {.own_fields = true}};
    kit_start();
}

void kit_stop(void)
{
    pipeline_deinit(&kit.pipeline);
    emit_deinit(&kit.emit);
    kit.expander = kit_expander_free(kit.expander);
    kit.pods = pod_table_free(kit.pods);
    kit.hold = hold_free(kit.hold);
    while (kit.line_count > 0)
        free(kit.lines[--kit.line_count]);
    while (kit.update_count > 0)
        free(kit.updates[--kit.update_count]);
}

void kit_teardown(void)
{
    kit_stop();
}

/* ---- what comes in ----------------------------------------------------------------------------------------- */

int kit_try(const struct record_header *record)
{
    return pipeline_record(&kit.pipeline, record, kit.now);
}

void kit_feed(const struct record_header *record)
{
    cr_assert_eq(kit_try(record), 0);
}

void kit_pass(uint64_t ns)
{
    kit.now += ns;
    pipeline_turn(&kit.pipeline, kit.now);
}

void kit_tell_pod(const char *uid, const char *name, const char *container_id)
{
    struct pod_pair label = {STR("app"), STR("web")};
    struct pod_container container = {
        .name = STR("main"), .id = (char *)container_id, .runtime = STR("containerd"), .image = STR("img:1")};
    struct pod pod = {.uid = (char *)uid,
        .namespace_ = STR("shop"),
        .name = (char *)name,
        .labels = &label,
        .label_count = 1,
        .containers = &container,
        .container_count = container_id ? 1 : 0,
        .workload = STR("web"),
        .workload_kind = STR("Deployment")};

    cr_assert_eq(pod_table_merge(kit.pods, POD_SOURCE_KUBELET, &pod, kit.now), 0);
    pipeline_turn(&kit.pipeline, kit.now);
}

/* ---- what went out ------------------------------------------------------------------------------------------ */

static void expect_utf8(const char *line)
{
    size_t size = strlen(line);

    for (size_t at = 0; at < size;) {
        struct utf8_char c = utf8_decode((const uint8_t *)line + at, size - at);

        cr_assert(c.valid, "byte %zu of: %s", at, line);
        cr_assert(c.code >= 0x20 && c.code != 0x7f, "control character in: %s", line);
        at += c.size;
    }
}

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *line;

    expect_utf8(text);
    line = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    cr_assert_not_null(line, "%s: %s", error.text, text);
    return line;
}

json_t *kit_parse(size_t index)
{
    cr_assert_lt(index, kit.line_count, "line %zu of %zu", index, kit.line_count);
    return parse(kit.lines[index]);
}

json_t *kit_parse_update(size_t index)
{
    cr_assert_lt(index, kit.update_count, "pod_update %zu of %zu", index, kit.update_count);
    return parse(kit.updates[index]);
}

json_t *kit_at(json_t *line, const char *a, const char *b, const char *c)
{
    json_t *at = json_object_get(line, a);

    if (b)
        at = json_object_get(at, b);
    return c ? json_object_get(at, c) : at;
}

const char *kit_string(json_t *line, const char *a, const char *b, const char *c)
{
    const char *string = json_string_value(kit_at(line, a, b, c));

    return string ? string : "";
}

void kit_expect_state(size_t index, const char *event, const char *state, const char *pod)
{
    json_t *line = kit_parse(index), *process = kit_at(line, event, "process", NULL);

    cr_assert_not_null(process, "line %zu is no %s: %s", index, event, kit.lines[index]);
    cr_expect_str_eq(kit_string(process, "pod_state", NULL, NULL), state);
    cr_expect_str_eq(kit_string(process, "pod", "name", NULL), pod);
    json_decref(line);
}

static void add_coverage(void *arg, struct container *container)
{
    coverage_add_container(arg, container);
}

void kit_sum_coverage(struct coverage_tally *ret)
{
    const struct coverage_book *book = &kit.pipeline.coverage;

    *ret = (struct coverage_tally){0};
    container_table_for_each(&kit.pipeline.containers, add_coverage, ret);
    for (const struct coverage_pod *pod = book->pods; pod; pod = pod->next)
        coverage_add(ret, &pod->tally);
    for (const struct coverage_namespace *row = book->namespaces; row; row = row->next)
        coverage_add(ret, &row->tally);
    coverage_add(ret, &book->host);
    coverage_add(ret, &book->rest);
}

static void expect_coverage(const struct counters *counters)
{
    struct coverage_tally sum;

    kit_sum_coverage(&sum);
    for (unsigned type = RECORD_FORK; type <= RECORD_HOOK; type++) {
        uint64_t events = 0, incomplete = 0;

        for (int outcome = 0; outcome < COVERAGE_OUTCOMES; outcome++) {
            events += sum.count[type - RECORD_FORK][outcome];
            incomplete += outcome > COVERAGE_WAITED ? sum.count[type - RECORD_FORK][outcome] : 0;
        }
        cr_expect_eq(events, counters->emitted[type], "type %u", type); /* V1 */
        cr_expect_leq(sum.corrected[type - RECORD_FORK], incomplete);   /* V2 */
    }
}

void kit_expect_balanced(void)
{
    const struct counters *counters = &kit.pipeline.counters;
    uint64_t received = 0, gone = 0;

    for (unsigned type = 0; type < RECORD_TYPE_SLOTS; type++) {
        if (type == RECORD_FORK || type == RECORD_EXEC || type == RECORD_EXIT || type == RECORD_HOOK ||
            type == RECORD_LOST)
            received += counters->received[type];
        gone += counters->emitted[type] + counters->dropped[type];
    }
    cr_expect_eq(received, gone + pipeline_held(&kit.pipeline)); /* E3 */
    expect_coverage(counters);
}
