/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/render.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/record.h"
#include "enricher/container_table.h"
#include "enricher/process_table.h"

#define STR(literal) ((char *)(literal))
#define ID           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct render_options options = {.node_name = "node1", .own_fields = true};
static struct render_context context = {.options = &options, .second = UINT64_MAX};

/* ---- time ------------------------------------------------------------------------------------------------------- */

static const char *time_of(uint64_t boot_ns)
{
    static char text[RENDER_TIME_SIZE + 1];
    char *end = render_time(&context, text, boot_ns);

    cr_assert_eq(end - text, RENDER_TIME_SIZE);
    *end = '\0';
    return text;
}

Test(render, time_has_nine_digits_whatever_came_before)
{
    context.wall_offset_ns = 1795467300LL * (int64_t)NS_PER_SEC; /* 2026-11-23T20:55:00Z */
    cr_expect_str_eq(time_of(123456789), "2026-11-23T20:55:00.123456789Z");
    cr_expect_str_eq(time_of(1), "2026-11-23T20:55:00.000000001Z");
    cr_expect_str_eq(time_of(59 * NS_PER_SEC), "2026-11-23T20:55:59.000000000Z");
    cr_expect_str_eq(time_of(0), "2026-11-23T20:55:00.000000000Z");
    context.wall_offset_ns += 3600 * (int64_t)NS_PER_SEC; /* the wall clock was set */
    cr_expect_str_eq(time_of(0), "2026-11-23T21:55:00.000000000Z");
    context.wall_offset_ns = 0;
    cr_expect_str_eq(time_of(UINT64_MAX), "2554-07-21T23:34:33.709551615Z");
}

/* ---- head ------------------------------------------------------------------------------------------------------- */

static json_t *parse(const char *data, size_t size)
{
    char *text = malloc(size + 3);
    json_error_t error;
    json_t *object;

    cr_assert(size > 0 && data[size - 1] == ',');
    text[0] = '{';
    memcpy(text + 1, data, size);
    text[size] = '}';
    text[size + 1] = '\0';
    object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(object, "%s: %s", error.text, text);
    free(text);
    return object;
}

static json_t *head_of(struct process *process, bool clone)
{
    cr_assert_eq(render_process_head(&context, process, clone), 0);
    static char head[4096];
    size_t size = (size_t)(render_put_head(head, process, process->tgid, false) - head);

    cr_assert_leq(size, process->head_size + RENDER_HEAD_OVERHEAD);
    return parse(head, size);
}

static const char *string(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

Test(render, exec_id_is_node_start_and_pid_in_base64)
{
    struct process *parent = process_new(1, 1, 1, PROCESS_UNKNOWN);
    struct process *process = process_new(4294967295u, 7, UINT64_MAX, PROCESS_FORKED);
    json_t *head;

    process_set_parent(process, parent);
    head = head_of(process, true);
    /* printf node1:18446744073709551615:4294967295 | base64 */
    cr_expect_str_eq(string(head, "exec_id"), "bm9kZTE6MTg0NDY3NDQwNzM3MDk1NTE2MTU6NDI5NDk2NzI5NQ==");
    cr_expect_str_eq(string(head, "parent_exec_id"), "bm9kZTE6MTox", "of a parent without a head");
    cr_expect_eq(json_integer_value(json_object_get(head, "pid")), UINT32_MAX);
    json_decref(head);
    json_decref(head_of(parent, false));
    head = head_of(process, true);
    cr_expect_str_eq(string(head, "parent_exec_id"), "bm9kZTE6MTox", "copied from its head");
    json_decref(head);
    process_unref(process);
    process_unref(parent);
}

Test(render, longest_node_name_fits_and_more_of_it_is_not_used)
{
    char name[600];
    struct process *parent = process_new(UINT32_MAX, 1, UINT64_MAX, PROCESS_FORKED);
    struct process *process = process_new(UINT32_MAX, 1, UINT64_MAX, PROCESS_FORKED);
    json_t *head;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    options.node_name = name;
    process_set_parent(process, parent);
    json_decref(head_of(parent, true));
    head = head_of(process, true);
    cr_expect_eq(strlen(string(head, "exec_id")), (RENDER_NODE_NAME_MAX + 32 + 2) / 3 * 4);
    json_decref(head);
    process_unref(process);
    process_unref(parent);
}

static struct image *image_with(uint32_t flags, bool cut, bool root_cwd)
{
    struct image *image = calloc(1, sizeof(*image));

    *image = (struct image){.refs = 1, .flags = flags, .cut = cut, .root_cwd = root_cwd, .auid = 1000};
    return image;
}

#define ALL_FLAGS (~(uint32_t)0)

Test(render, words_of_flags_stand_in_tetragons_order)
{
    static const struct {
        uint32_t flags;
        uint8_t origin;
        bool cut, root_cwd, clone, in_init_tree;
        const char *words;
    } cases[] = {
        {0, PROCESS_EXECED, false, false, false, false, "execve"},
        {0, PROCESS_EXECED, false, true, true, false, "execve rootcwd clone"},
        {0, PROCESS_SNAPSHOT, false, true, false, true, "procFS rootcwd inInitTree"},
        {0, PROCESS_FORKED, false, false, true, false, "clone"},
        {0, PROCESS_FORKED, false, false, false, false, ""},
        {0, PROCESS_UNKNOWN, false, false, false, false, "miss"},
        {RECORD_PROCESS_ARGS_TRUNCATED, PROCESS_EXECED, false, false, false, false, "execve truncArgs"},
        {0, PROCESS_EXECED, true, false, false, false, "execve truncArgs"},
        {RECORD_PROCESS_FILENAME_TRUNCATED, PROCESS_EXECED, false, false, false, false,
            "execve errorFilename"},
        {RECORD_PROCESS_CWD_TRUNCATED, PROCESS_EXECED, false, false, false, false, "execve errorCWD"},
        {RECORD_PROCESS_ARGS_ERROR | RECORD_PROCESS_CWD_UNREACHABLE, PROCESS_EXECED, false, false, false,
            false, "execve errorArgs nocwd"},
        {ALL_FLAGS, PROCESS_EXECED, true, true, true, true,
            "execve truncArgs errorFilename errorArgs nocwd rootcwd errorCWD clone inInitTree"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct process *process = process_new(7, 1, 1, (enum process_origin)cases[i].origin);
        json_t *head;

        process->image = image_with(cases[i].flags, cases[i].cut, cases[i].root_cwd);
        process->in_init_tree = cases[i].in_init_tree;
        head = head_of(process, cases[i].clone);
        cr_expect_str_eq(string(head, "flags"), cases[i].words);
        cr_expect_eq(json_integer_value(json_object_get(head, "auid")), 1000);
        json_decref(head);
        process_unref(process);
    }
}

/* ---- container ---------------------------------------------------------------------------------------------------- */

static struct container container;

static json_t *fragment_of(struct pod *pod)
{
    const struct container_fragment *fragment = &container.fragment;
    char *whole;
    json_t *object;
    size_t size;

    container.pod = pod;
    cr_assert_eq(render_container(&context, &container), 0);
    cr_assert_leq(fragment->split, fragment->size);
    cr_assert_leq(fragment->size, RENDER_POD_BUDGET);
    whole = malloc(fragment->size + 1);
    memcpy(whole, fragment->data, fragment->split);
    size = fragment->split;
    if (fragment->split < fragment->size) { /* where a process's number goes */
        whole[size++] = '7';
        memcpy(whole + size, fragment->data + fragment->split, fragment->size - fragment->split);
        size += fragment->size - fragment->split;
    }
    object = parse(whole, size);
    free(whole);
    return object;
}

static void identify(const char *pod_uid, const char *container_id)
{
    free(container.fragment.data);
    container = (struct container){.state = CONTAINER_PENDING};
    (void)snprintf(container.identity.pod_uid, sizeof(container.identity.pod_uid), "%s", pod_uid);
    (void)snprintf(
        container.identity.container_id, sizeof(container.identity.container_id), "%s", container_id);
}

static void end(void)
{
    free(container.fragment.data);
}

TestSuite(render_container, .fini = end);

Test(render_container, outside_pods_there_is_nothing)
{
    identify("", "");
    cr_expect_eq(render_container(&context, &container), 0);
    cr_expect_null(container.fragment.data);
    cr_expect_eq(container.fragment.size, 0);
}

Test(render_container, before_the_pod_is_known_what_the_path_says_is_there)
{
    json_t *object, *pod;

    identify("some-uid", ID);
    object = fragment_of(NULL);
    pod = json_object_get(object, "pod");
    cr_expect_eq(json_object_size(pod), 2);
    cr_expect_str_eq(string(pod, "uid"), "some-uid");
    cr_expect_str_eq(string(json_object_get(pod, "container"), "id"), ID);
    cr_expect_str_eq(string(object, "docker"), "0123456789abcdef0123456789abcde", "31 characters");
    json_decref(object);
    identify("", ID);
    object = fragment_of(NULL);
    cr_expect_null(json_object_get(object, "pod"));
    cr_expect_str_eq(string(object, "docker"), "0123456789abcdef0123456789abcde");
    json_decref(object);
    identify("some-uid", "");
    object = fragment_of(NULL);
    cr_expect_eq(json_object_size(json_object_get(object, "pod")), 1);
    cr_expect_null(json_object_get(object, "docker"));
    json_decref(object);
}

Test(render_container, pod_and_container_have_tetragons_forms)
{
    struct pod_pair label = {STR("app"), STR("w\"eb")}, annotation = {STR("note"), STR("n")};
    struct pod_container status = {.name = STR("main"),
        .id = STR(ID),
        .runtime = STR("cri-o"),
        .image = STR("img:1"),
        .image_id = STR("img@sha256:0"),
        .started_unix_ns = 1795467300 * NS_PER_SEC,
        .privileged = true};
    struct pod pod = {.uid = STR("u"),
        .namespace_ = STR("shop"),
        .name = STR("web-1"),
        .labels = &label,
        .label_count = 1,
        .annotations = &annotation,
        .annotation_count = 1,
        .containers = &status,
        .container_count = 1,
        .workload = STR("web"),
        .workload_kind = STR("Deployment")};
    json_t *object, *expected;

    identify("u", ID);
    object = fragment_of(&pod);
    expected = json_loads(
        "{\"pod\":{\"namespace\":\"shop\",\"name\":\"web-1\",\"uid\":\"u\",\"container\":{\"id\":\"cri-o:/"
        "/" ID "\",\"name\":\"main\",\"image\":{\"id\":\"img@sha256:0\",\"name\":\"img:1\"},"
        "\"start_time\":\"2026-11-23T20:55:00Z\",\"security_context\":{\"privileged\":true},\"pid\":7},"
        "\"workload\":\"web\",\"workload_kind\":\"Deployment\",\"pod_labels\":{\"app\":\"w\\\"eb\"}},"
        "\"docker\":\"0123456789abcdef0123456789abcde\"}",
        0, NULL);
    cr_assert_not_null(expected);
    cr_expect(json_equal(object, expected));
    json_decref(object);
    options.annotations = true;
    object = fragment_of(&pod);
    cr_expect_str_eq(string(json_object_get(json_object_get(object, "pod"), "pod_annotations"), "note"), "n");
    json_decref(object);
    json_decref(expected);
}

/* What a source has not told is left out, never an empty string. */
Test(render_container, fields_that_are_not_known_are_left_out)
{
    struct pod_container status = {.id = STR(ID)};
    struct pod pod = {.uid = STR("u"), .containers = &status, .container_count = 1, .name = STR("")};
    json_t *object, *inside;

    identify("u", ID);
    object = fragment_of(&pod);
    inside = json_object_get(object, "pod");
    cr_expect_eq(json_object_size(inside), 2);
    cr_expect_str_eq(string(inside, "uid"), "u");
    cr_expect_str_eq(string(json_object_get(inside, "container"), "id"), ID);
    cr_expect_eq(json_object_size(json_object_get(inside, "container")), 2);
    json_decref(object);
}

static char *fill(char c, size_t size)
{
    char *text = malloc(size + 1);

    memset(text, c, size);
    text[size] = '\0';
    return text;
}

/* A label of 1,000 ordinary bytes fits; that six times as many might have been needed does not count. */
Test(render_container, annotations_of_a_kilobyte_fit)
{
    struct pod_pair annotations[4];
    struct pod pod = {.uid = STR("u"), .annotations = annotations, .annotation_count = 4};
    json_t *object, *inside;

    for (size_t i = 0; i < 4; i++) {
        annotations[i] = (struct pod_pair){fill((char)('a' + i), 100), fill('v', 1024)};
    }
    options.annotations = true;
    identify("u", ID);
    object = fragment_of(&pod);
    inside = json_object_get(object, "pod");
    cr_expect_eq(json_object_size(json_object_get(inside, "pod_annotations")), 4);
    cr_expect_null(json_object_get(inside, "pod_annotations_truncated"));
    json_decref(object);
    for (size_t i = 0; i < 4; i++) {
        free(annotations[i].key);
        free(annotations[i].value);
    }
}

Test(render_container, what_is_too_long_is_cut_within_the_budget)
{
    static const char units[] = {'\x01', '"', '\xff', 'a'};

    for (size_t i = 0; i < sizeof(units); i++) {
        char *name = fill(units[i], 253), *image = fill(units[i], 1024);
        struct pod_pair pairs[200] = {{STR("first"), STR("label")}};
        struct pod_container status = {
            .name = name, .id = STR(ID), .runtime = name, .image = image, .image_id = image};
        struct pod pod = {.uid = name,
            .namespace_ = name,
            .name = name,
            .labels = pairs,
            .label_count = 200,
            .annotations = pairs,
            .annotation_count = 200,
            .containers = &status,
            .container_count = 1,
            .workload = name,
            .workload_kind = name};
        char keys[200][8];
        json_t *object, *inside;

        for (size_t j = 1; j < 200; j++) {
            (void)snprintf(keys[j], sizeof(keys[j]), "k%zu", j);
            pairs[j] = (struct pod_pair){keys[j], name};
        }
        for (unsigned both = 0; both < 4; both++) {
            options.own_fields = both & 1;
            options.annotations = both & 2;
            identify("u", ID);
            object = fragment_of(&pod);
            inside = json_object_get(object, "pod");
            cr_expect_str_eq(string(json_object_get(inside, "pod_labels"), "first"), "label");
            cr_expect_lt(json_object_size(json_object_get(inside, "pod_labels")), 200);
            cr_expect_eq(json_object_get(inside, "pod_labels_truncated") != NULL, (both & 1) != 0);
            cr_expect_eq(json_object_get(inside, "pod_annotations_truncated") != NULL, both == 3);
            json_decref(object);
        }
        free(name);
        free(image);
    }
}
