/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/events.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include "common/cleanup.h"
#include "tests/e2e/node.h"

#define LINE_MAX_BYTES 65536
#define ROTATIONS_MAX  10

struct stamp {
    size_t offset; /* bytes before it were there at `ns` */
    uint64_t ns;
};

struct events_private {
    char path[256];
    int fd;
    char *bytes; /* not parsed yet */
    size_t size, capacity;
    size_t taken; /* bytes parsed before `bytes` */
    struct stamp *stamps;
    size_t stamp_count, stamp_capacity, stamp_next;
    bool threaded;
    _Atomic bool at_end;
    pthread_t thread;
    pthread_mutex_t lock;
    const char **strings; /* the set of interned strings */
    size_t string_count, string_slots;
};

/* ---- interned strings ----------------------------------------------------------------------------------- */

static size_t hash_string(const char *text)
{
    size_t hash = 1469598103934665603u;

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

static const char **find_slot(const char **slots, size_t count, const char *text)
{
    size_t at = hash_string(text) & (count - 1);

    while (slots[at] && strcmp(slots[at], text) != 0)
        at = (at + 1) & (count - 1);
    return &slots[at];
}

static const char *intern(struct events_private *p, const char *text)
{
    const char **slot;

    if (!text || !*text)
        return "";
    if (p->string_count * 2 >= p->string_slots) {
        size_t slots = p->string_slots ? p->string_slots * 2 : 4096;
        const char **grown = calloc(slots, sizeof(*grown));

        if (!grown)
            abort();
        for (size_t i = 0; i < p->string_slots; i++) {
            if (p->strings[i])
                *find_slot(grown, slots, p->strings[i]) = p->strings[i];
        }
        free(p->strings);
        p->strings = grown;
        p->string_slots = slots;
    }
    slot = find_slot(p->strings, p->string_slots, text);
    if (!*slot) {
        *slot = strdup(text);
        p->string_count++;
    }
    return *slot;
}

/* ---- a line --------------------------------------------------------------------------------------------- */

static const char *get(struct events_private *p, const json_t *object, const char *key)
{
    return intern(p, json_string_value(json_object_get(object, key)));
}

/* 64-bit numbers are strings in the export format, smaller ones numbers. */
static uint64_t get_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_string(value) ? strtoull(json_string_value(value), NULL, 10)
                                 : (uint64_t)json_integer_value(value);
}

static void take_process(struct events_private *p, struct event *event, const json_t *process)
{
    const json_t *pod = json_object_get(process, "pod");

    event->exec_id = get(p, process, "exec_id");
    event->parent_exec_id = get(p, process, "parent_exec_id");
    event->docker = get(p, process, "docker");
    event->state = get(p, process, "pod_state");
    event->reason = get(p, process, "pod_state_reason");
    event->source = get(p, process, "pod_source");
    event->role = get(p, process, "role");
    event->binary = get(p, process, "binary");
    event->arguments = get(p, process, "arguments");
    event->pid = (uint32_t)get_number(process, "pid");
    event->namespace_ = get(p, pod, "namespace");
    event->pod = get(p, pod, "name");
    event->uid = get(p, pod, "uid");
    event->workload = get(p, pod, "workload");
    event->container = get(p, json_object_get(pod, "container"), "name");
    event->app = get(p, json_object_get(pod, "pod_labels"), "app");
}

static void take_parent(struct events_private *p, struct event *event, const json_t *parent)
{
    event->parent_binary = get(p, parent, "binary");
    event->parent_state = get(p, parent, "pod_state");
    event->parent_docker = get(p, parent, "docker");
    event->parent_id = get(p, parent, "exec_id");
    event->parent_pod = get(p, json_object_get(parent, "pod"), "name");
}

static void take_line(struct events *events, const char *line, size_t size, uint64_t stamp_ns)
{
    static const char *const keys[] = {[EVENT_FORK] = "process_fork",
        [EVENT_EXEC] = "process_exec",
        [EVENT_EXIT] = "process_exit",
        [EVENT_LOST] = "lost",
        [EVENT_POD_UPDATE] = "pod_update",
        [EVENT_HOOK] = "process_tracepoint"};
    struct events_private *p = events->private;
    json_t *whole = size <= LINE_MAX_BYTES ? json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const json_t *body = NULL;
    struct event *event;

    if (!whole) {
        events->bad_lines++;
        return;
    }
    if (events->count == events->capacity) {
        events->capacity = events->capacity ? events->capacity * 2 : 1024;
        events->list = realloc(events->list, events->capacity * sizeof(*events->list));
        if (!events->list)
            abort();
    }
    event = &events->list[events->count++];
    *event = (struct event){.type = EVENT_OTHER, .stamp_ns = stamp_ns};
    for (enum event_type type = EVENT_FORK; type < EVENT_OTHER && !body; type++) {
        body = json_object_get(whole, keys[type]);
        event->type = body ? type : EVENT_OTHER;
    }
    event->id = get(p, whole, "id");
    event->held_ms = get_number(whole, "held_ms");
    event->signal = get(p, body, "signal");
    event->status = (uint32_t)get_number(body, "status");
    take_process(p, event, event->type == EVENT_POD_UPDATE ? body : json_object_get(body, "process"));
    if (event->type == EVENT_LOST)
        event->reason = get(p, body, "where");
    event->corrected = (uint32_t)get_number(body, "events");
    take_parent(p, event, json_object_get(body, "parent"));
    json_decref(whole);
}

/* ---- bytes ---------------------------------------------------------------------------------------------- */

/* One read(2); the number of bytes, 0 at the end, negative when there is nothing now. */
static ssize_t take_bytes(struct events_private *p, int fd)
{
    char buffer[1 << 16];
    ssize_t n = read(fd, buffer, sizeof(buffer));

    if (n > 0) {
        (void)pthread_mutex_lock(&p->lock);
        if (p->size + (size_t)n > p->capacity) {
            p->capacity = (p->size + (size_t)n) * 2;
            p->bytes = realloc(p->bytes, p->capacity);
        }
        if (p->stamp_count == p->stamp_capacity) {
            p->stamp_capacity = p->stamp_capacity ? p->stamp_capacity * 2 : 1024;
            p->stamps = realloc(p->stamps, p->stamp_capacity * sizeof(*p->stamps));
        }
        if (!p->bytes || !p->stamps)
            abort();
        memcpy(p->bytes + p->size, buffer, (size_t)n);
        p->size += (size_t)n;
        p->stamps[p->stamp_count++] = (struct stamp){.offset = p->taken + p->size, .ns = node_now_ns()};
        (void)pthread_mutex_unlock(&p->lock);
    }
    return n;
}

static void *read_pipe(void *arg)
{
    struct events_private *p = arg;

    while (take_bytes(p, p->fd) > 0)
        ;
    p->at_end = true;
    return NULL;
}

bool events_at_end(const struct events *events)
{
    return events->private->at_end;
}

/* At the end of a file that was rotated away: the one that follows it, -1 when it is still the newest. */
static int next_file(const struct events_private *p)
{
    char path[300], newer[300];
    struct stat mine, other;

    if (fstat(p->fd, &mine) < 0)
        return -1;
    (void)snprintf(newer, sizeof(newer), "%s", p->path);
    if (stat(newer, &other) < 0 || other.st_ino == mine.st_ino)
        return -1;
    for (unsigned i = 1; i < ROTATIONS_MAX; i++) {
        (void)snprintf(path, sizeof(path), "%s.%u", p->path, i);
        if (stat(path, &other) == 0 && other.st_ino == mine.st_ino)
            break;
        (void)snprintf(newer, sizeof(newer), "%s", path);
        if (i == ROTATIONS_MAX - 1)
            return -1;
    }
    return open(newer, O_RDONLY | O_CLOEXEC);
}

static void take_file(struct events_private *p)
{
    if (p->fd < 0)
        p->fd = open(p->path, O_RDONLY | O_CLOEXEC);
    while (p->fd >= 0) {
        int next;

        while (take_bytes(p, p->fd) > 0)
            ;
        next = next_file(p);
        if (next < 0)
            return;
        while (take_bytes(p, p->fd) > 0) /* what came between the end and the rotation */
            ;
        (void)close(p->fd);
        p->fd = next;
    }
}

/* When the byte at `offset` was there. */
static uint64_t stamp_at(struct events_private *p, size_t offset)
{
    while (p->stamp_next + 1 < p->stamp_count && p->stamps[p->stamp_next].offset <= offset)
        p->stamp_next++;
    return p->stamp_count ? p->stamps[p->stamp_next].ns : 0;
}

void events_read(struct events *events)
{
    struct events_private *p = events->private;
    size_t done = 0;
    char *end;

    if (!p->threaded)
        take_file(p);
    (void)pthread_mutex_lock(&p->lock);
    while (p->size > done && (end = memchr(p->bytes + done, '\n', p->size - done))) {
        size_t size = (size_t)(end - p->bytes) - done;

        take_line(events, p->bytes + done, size, stamp_at(p, p->taken + done + size));
        done += size + 1;
    }
    if (done) {
        memmove(p->bytes, p->bytes + done, p->size - done);
        p->size -= done;
        p->taken += done;
    }
    (void)pthread_mutex_unlock(&p->lock);
}

static void open_any(struct events *events, const char *path, int fd)
{
    struct events_private *p = calloc(1, sizeof(*p));

    if (!p)
        abort();
    *events = (struct events){.private = p};
    p->fd = fd;
    (void)snprintf(p->path, sizeof(p->path), "%s", path);
    (void)pthread_mutex_init(&p->lock, NULL);
    p->threaded = fd >= 0;
    if (p->threaded && pthread_create(&p->thread, NULL, read_pipe, p) != 0)
        abort();
}

void events_open_file(struct events *events, const char *path)
{
    open_any(events, path, -1);
}

void events_open_pipe(struct events *events, int fd)
{
    open_any(events, "", fd);
}

void events_close(struct events *events)
{
    struct events_private *p = events->private;

    if (!p)
        return;
    if (p->threaded) {
        (void)pthread_cancel(p->thread); /* a reader that waits in read(2) */
        (void)pthread_join(p->thread, NULL);
    } else if (p->fd >= 0) {
        (void)close(p->fd);
    }
    for (size_t i = 0; i < p->string_slots; i++)
        free((void *)p->strings[i]);
    free(p->strings);
    free(p->bytes);
    free(p->stamps);
    free(p);
    free(events->list);
    *events = (struct events){0};
}

/* ---- questions ------------------------------------------------------------------------------------------ */

bool event_is_of(const struct event *event, const struct test_container *container)
{
    return event->type <= EVENT_EXIT && strncmp(event->docker, container->id, 31) == 0 &&
           strlen(event->docker) == 31;
}

size_t events_count(const struct events *events, const struct test_container *container, int type)
{
    size_t count = 0;

    for (size_t i = 0; i < events->count; i++) {
        const struct event *event = &events->list[i];

        if ((type < 0 || (int)event->type == type) && event_is_of(event, container))
            count++;
    }
    return count;
}

bool events_wait(
    struct events *events, const struct test_container *container, size_t wanted, unsigned timeout_ms)
{
    uint64_t end = node_now_ns() + (uint64_t)timeout_ms * 1000000;
    size_t seen = 0, counted = 0;

    for (;;) {
        events_read(events);
        for (; seen < events->count; seen++)
            counted += event_is_of(&events->list[seen], container);
        if (counted >= wanted || node_now_ns() > end)
            return counted >= wanted;
        node_sleep_ms(2);
    }
}

size_t events_lost(const struct events *events)
{
    size_t count = 0;

    for (size_t i = 0; i < events->count; i++)
        count += events->list[i].type == EVENT_LOST;
    return count;
}

static int compare_pointers(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (void *const *)a, y = (uintptr_t) * (void *const *)b;

    return (x > y) - (x < y);
}

size_t events_distinct(const struct events *events, const struct test_container *container)
{
    CLEANUP_FREE const char **ids = calloc(events->count + 1, sizeof(*ids));
    size_t count = 0, distinct = 0;

    if (!ids)
        abort();
    for (size_t i = 0; i < events->count; i++) {
        if (event_is_of(&events->list[i], container))
            ids[count++] = events->list[i].id;
    }
    qsort(ids, count, sizeof(*ids), compare_pointers);
    for (size_t i = 0; i < count; i++)
        distinct += i == 0 || ids[i] != ids[i - 1];
    return distinct;
}

const char *event_type_name(enum event_type type)
{
    static const char *const names[] = {"fork", "exec", "exit", "lost", "pod_update", "hook", "other"};

    return names[type];
}
