/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/standin_pods.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "tests/load/standin_generate.h"

struct served_pod {
    char *uid, *text, *running;
    uint64_t appeared_ns, delay_ns;
    bool visible, announced;
};

struct pod_file {
    char *path;
    struct stat stamp;
    struct served_pod *pods;
    size_t count;
    bool present; /* in the scan under way */
};

struct standin_pods {
    struct standin_pods_options options;
    uint64_t started_ns;
    struct pod_file *files; /* in the order they were met */
    size_t count;
};

static void served_pods_free(struct served_pod *pods, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(pods[i].uid);
        free(pods[i].text);
        free(pods[i].running);
    }
    free(pods);
}

static void pod_file_deinit(struct pod_file *file)
{
    served_pods_free(file->pods, file->count);
    free(file->path);
}

/* ---- reading ---- */

static uint64_t appeared_ns(const struct stat *stamp)
{
    int64_t wall = stamp->st_ctim.tv_sec * (int64_t)NS_PER_SEC + stamp->st_ctim.tv_nsec;
    int64_t boot = wall - clock_wall_offset_ns();
    uint64_t now = clock_boot_ns();

    if (boot < 0)
        return 0;
    return (uint64_t)boot < now ? (uint64_t)boot : now;
}

/* {"metadata": name namespace uid, "spec": {"containers": [name image]}, "status": {}}, as a kubelet puts it together from its runtime. */
static char *running_text(json_t *pod)
{
    json_t *metadata = json_object_get(pod, "metadata"), *source, *container, *containers = json_array();
    json_t *cut;
    size_t index;
    char *text;

    source = json_object_get(json_object_get(pod, "spec"), "containers");
    json_array_foreach(source, index, container)(void) json_array_append_new(
        containers, json_pack("{sO? sO? s{}}", "name", json_object_get(container, "name"), "image",
                        json_object_get(container, "image"), "resources"));
    cut = json_pack("{s{sO? sO? sO?} s{so} s{}}", "metadata", "name", json_object_get(metadata, "name"),
        "namespace", json_object_get(metadata, "namespace"), "uid", json_object_get(metadata, "uid"), "spec",
        "containers", containers, "status");
    text = cut ? json_dumps(cut, JSON_COMPACT) : NULL;
    json_decref(cut);
    return text;
}

/* What was known of the same Pod of the same file stays true. */
static void inherit(struct served_pod *pod, const struct pod_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        if (strcmp(file->pods[i].uid, pod->uid) != 0)
            continue;
        pod->appeared_ns = file->pods[i].appeared_ns;
        pod->visible = file->pods[i].visible;
        pod->announced = file->pods[i].announced;
    }
}

/* False: no Pod with a UID. */
static bool served_pod_init(
    struct served_pod *ret, json_t *json, const struct standin_pods *pods, const struct pod_file *file)
{
    const char *uid = json_string_value(json_object_get(json_object_get(json, "metadata"), "uid"));

    if (!uid)
        return false;
    *ret = (struct served_pod){.uid = strdup(uid),
        .text = json_dumps(json, JSON_COMPACT),
        .running = running_text(json),
        .appeared_ns = file->path ? appeared_ns(&file->stamp) : pods->started_ns,
        .delay_ns = standin_delay_of(&pods->options.delay, pods->options.seed, uid)};
    if (!ret->uid || !ret->text || !ret->running) {
        free(ret->uid);
        free(ret->text);
        free(ret->running);
        return false;
    }
    inherit(ret, file);
    return true;
}

/* Takes `document` over. */
static void pod_file_take(struct standin_pods *pods, struct pod_file *file, json_t *document)
{
    json_t *items = json_object_get(document, "items"), *item;
    struct served_pod *list;
    size_t index, count = 0, wanted = items ? json_array_size(items) : 1;

    list = calloc(wanted + 1, sizeof(*list));
    if (list && items)
        json_array_foreach(items, index, item) count += served_pod_init(&list[count], item, pods, file);
    else if (list)
        count += served_pod_init(&list[count], document, pods, file);
    if (count < wanted)
        log_warning("%s: %zu of %zu items are no Pods with metadata.uid", file->path, wanted - count, wanted);
    json_decref(document);
    served_pods_free(file->pods, file->count);
    file->pods = list;
    file->count = list ? count : 0;
}

/* A file that cannot be read now keeps what it had. */
static void pod_file_load(struct standin_pods *pods, struct pod_file *file)
{
    json_error_t error;
    json_t *document = json_load_file(file->path, 0, &error);

    if (document)
        pod_file_take(pods, file, document);
    else
        log_warning("%s:%d: %s", file->path, error.line, error.text);
}

static bool same_stamp(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static struct pod_file *find_or_add_file(struct standin_pods *pods, const char *path)
{
    struct pod_file *files;

    for (size_t i = 0; i < pods->count; i++)
        if (strcmp(pods->files[i].path, path) == 0)
            return &pods->files[i];
    files = reallocarray(pods->files, pods->count + 1, sizeof(*files));
    if (!files)
        return NULL;
    pods->files = files;
    files[pods->count] = (struct pod_file){.path = strdup(path)};
    return files[pods->count].path ? &files[pods->count++] : NULL;
}

static void look_at_file(struct standin_pods *pods, const char *path)
{
    struct stat stamp;
    struct pod_file *file;

    if (stat(path, &stamp) < 0 || !S_ISREG(stamp.st_mode))
        return;
    file = find_or_add_file(pods, path);
    if (!file)
        return;
    file->present = true;
    if (same_stamp(&file->stamp, &stamp))
        return;
    file->stamp = stamp;
    pod_file_load(pods, file);
}

static void look_at_directory(struct standin_pods *pods, DIR *directory)
{
    struct dirent *entry;

    while ((entry = readdir(directory))) {
        CLEANUP_FREE char *path = NULL;
        size_t length = strlen(entry->d_name);

        if (entry->d_name[0] == '.' || length < 5 || strcmp(entry->d_name + length - 5, ".json") != 0)
            continue;
        if (asprintf(&path, "%s/%s", pods->options.path, entry->d_name) < 0)
            path = NULL;
        else
            look_at_file(pods, path);
    }
}

static void standin_pods_look(struct standin_pods *pods)
{
    CLEANUP_DIR DIR *directory = pods->options.path ? opendir(pods->options.path) : NULL;
    size_t kept = 0;

    if (!pods->options.path)
        return;
    for (size_t i = 0; i < pods->count; i++)
        pods->files[i].present = false;
    if (directory)
        look_at_directory(pods, directory);
    else
        look_at_file(pods, pods->options.path);
    for (size_t i = 0; i < pods->count; i++)
        if (pods->files[i].present)
            pods->files[kept++] = pods->files[i];
        else
            pod_file_deinit(&pods->files[i]);
    pods->count = kept;
}

/* ---- telling ---- */

static bool pod_is_visible(const struct standin_pods *pods, struct served_pod *pod, uint64_t now_ns)
{
    uint64_t from_ns = pods->options.delay_from_file ? pod->appeared_ns : pods->started_ns;

    pod->visible |= now_ns >= from_ns + pod->delay_ns;
    return pod->visible;
}

static void announce(const struct standin_pods *pods, struct served_pod *pod, uint64_t now_ns)
{
    if (pod->announced || !pods->options.announce)
        return;
    pod->announced = true;
    (void)fprintf(pods->options.announce, "visible %" PRIu64 " %s\n", now_ns, pod->uid);
}

void standin_pods_list(struct standin_pods *pods, bool running, struct text *out)
{
    uint64_t now_ns;
    bool first = true;

    standin_pods_look(pods);
    now_ns = clock_boot_ns();
    text_append_string(out, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
    for (size_t i = 0; i < pods->count; i++)
        for (size_t j = 0; j < pods->files[i].count; j++) {
            struct served_pod *pod = &pods->files[i].pods[j];

            if (!pod_is_visible(pods, pod, now_ns))
                continue;
            if (!first)
                text_append_char(out, ',');
            first = false;
            text_append_string(out, running ? pod->running : pod->text);
            if (!running)
                announce(pods, pod, now_ns);
        }
    text_append_string(out, "]}\n");
}

void standin_pods_each(struct standin_pods *pods, standin_pods_fn *fn, void *arg)
{
    uint64_t now_ns;

    standin_pods_look(pods);
    now_ns = clock_boot_ns();
    for (size_t i = 0; i < pods->count; i++)
        for (size_t j = 0; j < pods->files[i].count; j++) {
            struct served_pod *pod = &pods->files[i].pods[j];

            if (pod_is_visible(pods, pod, now_ns))
                fn(arg, pod->uid, pod->text);
        }
}

/* As if they stood in a file. */
static int make_up(struct standin_pods *pods)
{
    json_t *document = standin_generate(pods->options.generate, pods->options.containers);

    pods->files = document ? calloc(1, sizeof(*pods->files)) : NULL;
    if (!pods->files) {
        json_decref(document);
        return -ENOMEM;
    }
    pods->count = 1;
    pod_file_take(pods, &pods->files[0], document);
    return 0;
}

int standin_pods_new(struct standin_pods **ret, const struct standin_pods_options *options)
{
    struct standin_pods *pods;
    int r = 0;

    if (options->path && access(options->path, R_OK) < 0)
        return -errno;
    pods = calloc(1, sizeof(*pods));
    if (!pods)
        return -ENOMEM;
    pods->options = *options;
    pods->started_ns = clock_boot_ns();
    if (options->path)
        standin_pods_look(pods);
    else
        r = make_up(pods);
    if (r < 0)
        (void)standin_pods_free(pods);
    else
        *ret = pods;
    return r;
}

struct standin_pods *standin_pods_free(struct standin_pods *pods)
{
    if (!pods)
        return NULL;
    for (size_t i = 0; i < pods->count; i++)
        pod_file_deinit(&pods->files[i]);
    free(pods->files);
    free(pods);
    return NULL;
}
