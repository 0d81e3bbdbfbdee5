/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/standin_changes.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_VERSION UINT64_C(1000)

struct known {
    char *uid, *source, *text; /* source: without the version */
    uint64_t version;
    bool present; /* in the look under way */
};

struct change {
    enum standin_change change;
    char *text;
};

struct standin_changes {
    struct standin_pods *pods;
    struct known *known;
    size_t count, room, next; /* next: where the following Pod most likely is */
    struct change *history;   /* of version v at v % history_room */
    size_t history_room;
    uint64_t version, oldest; /* oldest: that is kept */
};

/* With kind, version and all, as it goes out. NULL: no memory, or no JSON. */
static char *stamp(const char *source, uint64_t version)
{
    json_t *pod = json_loads(source, 0, NULL), *metadata = json_object_get(pod, "metadata");
    char number[24], *text;

    (void)snprintf(number, sizeof(number), "%" PRIu64, version);
    (void)json_object_set_new(pod, "kind", json_string("Pod"));
    (void)json_object_set_new(pod, "apiVersion", json_string("v1"));
    (void)json_object_set_new(metadata, "resourceVersion", json_string(number));
    text = pod ? json_dumps(pod, JSON_COMPACT) : NULL;
    json_decref(pod);
    return text;
}

static void note(struct standin_changes *c, enum standin_change change, const char *text)
{
    struct change *place = &c->history[c->version % c->history_room];

    free(place->text);
    *place = (struct change){change, text ? strdup(text) : NULL};
    if (c->version - c->oldest >= c->history_room)
        c->oldest = c->version - c->history_room + 1;
}

static struct known *find(struct standin_changes *c, const char *uid)
{
    for (size_t i = 0; i < c->count; i++) {
        struct known *known = &c->known[(c->next + i) % c->count];

        if (strcmp(known->uid, uid) == 0)
            return known;
    }
    return NULL;
}

static struct known *add(struct standin_changes *c, const char *uid)
{
    if (c->count == c->room) {
        size_t room = c->room ? c->room * 2 : 64;
        struct known *known = reallocarray(c->known, room, sizeof(*known));

        if (!known)
            return NULL;
        c->known = known;
        c->room = room;
    }
    c->known[c->count] = (struct known){.uid = strdup(uid)};
    return c->known[c->count].uid ? &c->known[c->count++] : NULL;
}

static void meet(void *arg, const char *uid, const char *source)
{
    struct standin_changes *c = arg;
    struct known *known = find(c, uid);
    bool is_new = !known;

    if (is_new)
        known = add(c, uid);
    if (!known)
        return;
    c->next = (size_t)(known - c->known) + 1;
    known->present = true;
    if (known->source && strcmp(known->source, source) == 0)
        return;
    free(known->source);
    free(known->text);
    known->version = ++c->version;
    known->source = strdup(source);
    known->text = stamp(source, known->version);
    note(c, is_new ? STANDIN_ADDED : STANDIN_MODIFIED, known->text);
}

static void known_deinit(struct known *known)
{
    free(known->uid);
    free(known->source);
    free(known->text);
}

static void forget_absent(struct standin_changes *c)
{
    size_t kept = 0;

    for (size_t i = 0; i < c->count; i++) {
        struct known *known = &c->known[i];

        if (known->present) {
            c->known[kept++] = *known;
            continue;
        }
        c->version++;
        free(known->text);
        known->text = stamp(known->source ? known->source : "{}", c->version);
        note(c, STANDIN_DELETED, known->text);
        known_deinit(known);
    }
    c->count = kept;
}

uint64_t standin_changes_look(struct standin_changes *c)
{
    for (size_t i = 0; i < c->count; i++)
        c->known[i].present = false;
    c->next = 0;
    standin_pods_each(c->pods, meet, c);
    forget_absent(c);
    return c->version;
}

void standin_changes_list(const struct standin_changes *c, standin_change_fn *fn, void *arg)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->known[i].text)
            fn(arg, STANDIN_ADDED, c->known[i].version, c->known[i].text);
}

int standin_changes_read(const struct standin_changes *c, uint64_t version, standin_change_fn *fn, void *arg)
{
    if (version + 1 < c->oldest || version > c->version)
        return -ESTALE;
    while (++version <= c->version) {
        const struct change *change = &c->history[version % c->history_room];

        if (change->text)
            fn(arg, change->change, version, change->text);
    }
    return 0;
}

int standin_changes_new(struct standin_changes **ret, const struct standin_pods_options *pods, size_t history)
{
    struct standin_changes *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->version = FIRST_VERSION;
    c->oldest = FIRST_VERSION + 1;
    c->history_room = history;
    c->history = calloc(history, sizeof(*c->history));
    r = c->history ? standin_pods_new(&c->pods, pods) : -ENOMEM;
    if (r < 0)
        (void)standin_changes_free(c);
    else
        *ret = c;
    return r;
}

struct standin_changes *standin_changes_free(struct standin_changes *c)
{
    if (!c)
        return NULL;
    for (size_t i = 0; i < c->count; i++)
        known_deinit(&c->known[i]);
    for (size_t i = 0; c->history && i < c->history_room; i++)
        free(c->history[i].text);
    free(c->known);
    free(c->history);
    standin_pods_free(c->pods);
    free(c);
    return NULL;
}
