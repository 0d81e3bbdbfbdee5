/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/cgroup_path.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * One walk over the components, outermost first:
 *
 *   Pod        pod<UID>                                  cgroupfs driver: below "kubepods", or a path's start
 *              [ROOT-]kubepods[-QOS]-pod<UID>.slice      systemd driver
 *   container  <ID>  PREFIX-<ID>  PREFIX-<ID>.scope      below a Pod any prefix, elsewhere a known one
 *   both       SLICE:PREFIX:<ID>                         a systemd-style path that runc took literally
 *
 * The first Pod and, below it, the first container end the walk: what is deeper was made by the workload. A
 * container above any Pod may be a node in a container (kind, minikube), so the walk goes on, but not below a
 * CRI container: that is in a Pod already, and whoever names a Pod there is an impostor.
 */
struct name {
    const char *data;
    size_t size;
};

struct walk {
    struct cgroup_identity *found;
    struct cgroup_shape shape;
    bool below_kubepods;
    bool at_start;    /* nothing but ".." and QoS names so far */
    bool only_dotdot; /* nothing but "..", and at least one */
    bool in_pod;      /* also below a Pod component whose UID cannot be one */
    bool slice_pod;   /* the Pod was a systemd slice */
    bool has_colon;   /* somewhere in the path */
    bool done;
};

enum prefix_kind { PREFIX_UNKNOWN, PREFIX_ENGINE, PREFIX_CRI, PREFIX_MONITOR };

static const struct known_prefix {
    const char *text;
    enum prefix_kind kind;
    const char *runtime;
} known_prefixes[] = {
    {"cri-containerd", PREFIX_CRI, "containerd"},
    {"crio", PREFIX_CRI, "cri-o"},
    {"crio-conmon", PREFIX_MONITOR, "cri-o"},
    {"docker", PREFIX_ENGINE, "docker"},
    {"libpod", PREFIX_ENGINE, "podman"},
    {"libpod-conmon", PREFIX_MONITOR, "podman"},
    {"libpod-payload", PREFIX_ENGINE, "podman"}, /* podman --cgroups=split */
    {"nerdctl", PREFIX_ENGINE, "containerd"},
};

static bool name_is(struct name name, const char *text)
{
    return name.size == strlen(text) && memcmp(name.data, text, name.size) == 0;
}

static bool name_starts(struct name name, const char *text)
{
    return name.size >= strlen(text) && memcmp(name.data, text, strlen(text)) == 0;
}

static bool name_ends(struct name name, const char *text)
{
    size_t size = strlen(text);

    return name.size >= size && memcmp(name.data + name.size - size, text, size) == 0;
}

static bool cut_start(struct name *name, const char *text)
{
    if (!name_starts(*name, text))
        return false;
    name->data += strlen(text);
    name->size -= strlen(text);
    return true;
}

static bool cut_end(struct name *name, const char *text)
{
    if (!name_ends(*name, text))
        return false;
    name->size -= strlen(text);
    return true;
}

enum { HEX = 1, SEPARATOR = 2, WORD = 4 };

/* clang-format off */
static const uint8_t char_class[256] = {
    ['0' ... '9'] = HEX | WORD, ['a' ... 'f'] = HEX | WORD, ['A' ... 'F'] = HEX | WORD,
    ['g' ... 'z'] = WORD,       ['G' ... 'Z'] = WORD,       ['.'] = WORD,
    ['-'] = SEPARATOR | WORD,   ['_'] = SEPARATOR | WORD,
};
/* clang-format on */

static uint8_t class_of(char c)
{
    return char_class[(uint8_t)c];
}

/* Exactly so many lower-case hex digits; without a branch, so that it is done in vectors. */
static bool is_container_id(const char *data)
{
    uint8_t bad = 0;

    for (size_t i = 0; i < CONTAINER_ID_MAX; i++) {
        uint8_t digit = (uint8_t)(data[i] - '0'), letter = (uint8_t)(data[i] - 'a');
        bad |= (uint8_t)((digit > 9) & (letter > 5));
    }
    return !bad;
}

/* 8-4-4-4-12, with the dashes that a slice name has as underscores. */
static bool is_uuid(struct name uid)
{
    static const uint8_t shape[36] = {[0 ... 7] = HEX,
        SEPARATOR,
        [9 ... 12] = HEX,
        SEPARATOR,
        [14 ... 17] = HEX,
        SEPARATOR,
        [19 ... 22] = HEX,
        SEPARATOR,
        [24 ... 35] = HEX};

    if (uid.size != sizeof(shape))
        return false;
    for (size_t i = 0; i < sizeof(shape); i++) {
        if (!(class_of(uid.data[i]) & shape[i]))
            return false;
    }
    return true;
}

/* The hash of a static Pod's manifest: 32 hex digits. */
static bool is_config_hash(struct name uid)
{
    for (size_t i = 0; i < uid.size; i++) {
        if (!(class_of(uid.data[i]) & HEX))
            return false;
    }
    return uid.size == 32;
}

/* A UID that the API server would take: it may be any word in a static Pod's manifest. */
static bool is_word(struct name uid)
{
    if (uid.size == 0 || uid.size > POD_UID_MAX)
        return false;
    for (size_t i = 0; i < uid.size; i++) {
        if (!(class_of(uid.data[i]) & WORD))
            return false;
    }
    return true;
}

static void enter_pod(struct walk *walk, struct name uid)
{
    struct cgroup_identity *found = walk->found;

    walk->in_pod = true;
    found->role = CGROUP_ROLE_NONE;
    memset(found->container_id, 0, sizeof(found->container_id)); /* of a node in a container */
    walk->shape.runtime = NULL;
    if (is_uuid(uid)) {
        memcpy(found->pod_uid, uid.data, uid.size);
        found->pod_uid[8] = found->pod_uid[13] = found->pod_uid[18] = found->pod_uid[23] = '-';
    } else if (is_word(uid)) {
        memcpy(found->pod_uid, uid.data, uid.size);
    } else {
        return;
    }
    found->role = CGROUP_ROLE_POD;
}

/* "[ROOT-]kubepods[-QOS]-pod<UID>" without ".slice". */
static bool take_pod_slice(struct walk *walk, struct name name)
{
    for (;;) {
        struct name rest = name;
        const char *dash;

        if (cut_start(&rest, "kubepods-")) {
            if (!cut_start(&rest, "burstable-"))
                (void)cut_start(&rest, "besteffort-");
            if (cut_start(&rest, "pod") && rest.size > 0) {
                walk->slice_pod = true;
                walk->shape.driver = "systemd";
                enter_pod(walk, rest);
                return true;
            }
        }
        dash = memchr(name.data, '-', name.size);
        if (!dash)
            return false;
        name.size -= (size_t)(dash + 1 - name.data);
        name.data = dash + 1;
    }
}

/* "pod<UID>" */
static bool take_pod_folder(struct walk *walk, struct name name)
{
    if (!cut_start(&name, "pod") || name.size == 0)
        return false;
    if (!walk->below_kubepods && !(walk->at_start && (is_uuid(name) || is_config_hash(name))))
        return false;
    walk->shape.driver = "cgroupfs";
    enter_pod(walk, name);
    return true;
}

static struct known_prefix find_prefix(struct name prefix)
{
    for (size_t i = 0; i < sizeof(known_prefixes) / sizeof(known_prefixes[0]); i++) {
        if (name_is(prefix, known_prefixes[i].text))
            return known_prefixes[i];
    }
    if (name_is(prefix, "conmon") || name_ends(prefix, "-conmon"))
        return (struct known_prefix){.kind = PREFIX_MONITOR};
    return (struct known_prefix){.kind = PREFIX_UNKNOWN};
}

static void enter_container(struct walk *walk, struct name prefix, const char *id, bool scope)
{
    struct cgroup_identity *found = walk->found;
    struct known_prefix known = find_prefix(prefix);
    enum prefix_kind kind = known.kind;

    if (kind == PREFIX_UNKNOWN && !walk->in_pod && !(prefix.size == 0 && walk->only_dotdot))
        return;
    walk->done = walk->in_pod || kind == PREFIX_CRI || kind == PREFIX_MONITOR;
    if (found->container_id[0])
        return; /* engine in engine: the outer one stands */
    memcpy(found->container_id, id, CONTAINER_ID_MAX);
    walk->shape.runtime = known.runtime;
    if (kind == PREFIX_MONITOR)
        found->role = CGROUP_ROLE_MONITOR;
    else if (walk->slice_pod && !scope && name_is(prefix, "crio"))
        found->role = CGROUP_ROLE_SANDBOX; /* CRI-O with systemd: only containers have scopes */
    else
        found->role = CGROUP_ROLE_CONTAINER;
}

/* "<ID>", "PREFIX-<ID>", "PREFIX-<ID>.scope" */
static void take_container(struct walk *walk, struct name name)
{
    bool scope = cut_end(&name, ".scope");
    struct name prefix = {name.data, name.size - CONTAINER_ID_MAX};

    if (name.size < CONTAINER_ID_MAX || !is_container_id(name.data + prefix.size))
        return;
    if (prefix.size > 0 && (!cut_end(&prefix, "-") || prefix.size == 0))
        return;
    enter_container(walk, prefix, name.data + name.size - CONTAINER_ID_MAX, scope);
}

/* "SLICE:PREFIX:<ID>" */
static void take_triple(struct walk *walk, struct name name, const char *colon)
{
    struct name slice = {name.data, (size_t)(colon - name.data)};
    struct name rest = {colon + 1, name.size - slice.size - 1};
    const char *second = memchr(rest.data, ':', rest.size);
    struct name prefix, id;

    if (!second)
        return;
    prefix = (struct name){rest.data, (size_t)(second - rest.data)};
    id = (struct name){second + 1, rest.size - prefix.size - 1};
    if (!walk->in_pod && cut_end(&slice, ".slice") && take_pod_slice(walk, slice))
        walk->shape.driver = "cgroupfs"; /* a systemd driver would have made a slice and a scope of it */
    if (id.size == CONTAINER_ID_MAX && is_container_id(id.data))
        enter_container(walk, prefix, id.data, true);
}

static void take_component(struct walk *walk, struct name name)
{
    const char *colon = walk->has_colon ? memchr(name.data, ':', name.size) : NULL;
    struct name slice = name;

    if (colon) {
        take_triple(walk, name, colon);
        return;
    }
    if (!walk->in_pod) {
        if (cut_end(&slice, ".slice")) {
            if (name_is(slice, "kubepods") || name_ends(slice, "-kubepods"))
                walk->below_kubepods = true;
            else
                (void)take_pod_slice(walk, slice);
            return;
        }
        if (take_pod_folder(walk, name))
            return;
        if (name_is(name, "kubepods"))
            walk->below_kubepods = true;
    }
    take_container(walk, name);
}

static struct cgroup_shape walk_path(const char *path, size_t size, struct cgroup_identity *ret)
{
    struct walk walk = {.found = ret, .at_start = true, .has_colon = size > 0 && memchr(path, ':', size)};
    const char *at = path, *end = path + size;

    *ret = (struct cgroup_identity){0};
    while (at < end && !walk.done) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        struct name name = {at, (size_t)((slash ? slash : end) - at)};

        at = slash ? slash + 1 : end;
        if (name.size == 0)
            continue;
        if (walk.at_start && name_is(name, "..")) {
            walk.only_dotdot = true;
            continue;
        }
        take_component(&walk, name);
        walk.at_start = walk.at_start && (name_is(name, "burstable") || name_is(name, "besteffort"));
        walk.only_dotdot = false;
    }
    return walk.shape;
}

void cgroup_path_parse(const char *path, size_t size, struct cgroup_identity *ret)
{
    (void)walk_path(path, size, ret);
}

struct cgroup_shape cgroup_path_shape(const char *path, size_t size)
{
    struct cgroup_identity identity;

    return walk_path(path, size, &identity);
}

const char *cgroup_role_name(enum cgroup_role role)
{
    switch (role) {
    case CGROUP_ROLE_NONE:
        return "none";
    case CGROUP_ROLE_POD:
        return "pod";
    case CGROUP_ROLE_CONTAINER:
        return "container";
    case CGROUP_ROLE_SANDBOX:
        return "sandbox";
    case CGROUP_ROLE_MONITOR:
        return "monitor";
    }
    return "none";
}
