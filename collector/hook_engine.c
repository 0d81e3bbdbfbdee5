/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hook_engine.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "bpf/cpu_state.h"
#include "collector/bpf_message.h"
#include "common/cleanup.h"
#include "common/fd.h"
#include "hook.skel.h"

/* Those up to SHARED_COUNT are loaded once, their attachments carry cookies; the others once for each attachment. */
enum program_kind {
    PROGRAM_RAW_TP,
    PROGRAM_RAW_SYSCALL,
    PROGRAM_TRACEPOINT,
    PROGRAM_PROBE,
    PROGRAM_PROBE_CALL,
    PROGRAM_PROBE_RETURN,
    PROGRAM_MULTI,
    PROGRAM_MULTI_CALL,
    PROGRAM_MULTI_RETURN,
    SHARED_COUNT,
    PROGRAM_FENTRY = SHARED_COUNT,
    PROGRAM_FEXIT,
    PROGRAM_FMOD_RET,
    PROGRAM_LSM,
    PROGRAM_COUNT,
};

static const char *const program_names[PROGRAM_COUNT] = {
    [PROGRAM_RAW_TP] = "hook_raw_tp",
    [PROGRAM_RAW_SYSCALL] = "hook_raw_syscall",
    [PROGRAM_TRACEPOINT] = "hook_tracepoint",
    [PROGRAM_PROBE] = "hook_kprobe",
    [PROGRAM_PROBE_CALL] = "hook_kprobe_call",
    [PROGRAM_PROBE_RETURN] = "hook_kprobe_return",
    [PROGRAM_MULTI] = "hook_multi",
    [PROGRAM_MULTI_CALL] = "hook_multi_call",
    [PROGRAM_MULTI_RETURN] = "hook_multi_return",
    [PROGRAM_FENTRY] = "hook_fentry",
    [PROGRAM_FEXIT] = "hook_fexit",
    [PROGRAM_FMOD_RET] = "hook_fmod_ret",
    [PROGRAM_LSM] = "hook_lsm",
};

struct hook_engine {
    struct probe_maps shared;
    struct hook_bpf *maps;                   /* the maps' owner; loaded without a program */
    struct hook_bpf *programs[SHARED_COUNT]; /* NULL: not loaded yet */
    uint64_t missed[SHARED_COUNT];
    bool raw_tp_has_no_cookie;
    struct hook_bpf *processes; /* those that keep processes' sets; NULL: not needed yet */
    struct bpf_link *process_links[3];
};

__attribute__((format(printf, 3, 4))) static int fail(
    char error[HOOK_ERROR_MAX], int r, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(error, HOOK_ERROR_MAX, format, arguments);
    va_end(arguments);
    return r;
}

static int fail_load(char error[HOOK_ERROR_MAX], int r, const char *what, const struct bpf_message *message)
{
    if (message->verdict[0])
        return fail(error, r, "%s: the kernel's verifier refuses: %.250s", what, message->verdict);
    if (r == -EPERM || r == -EACCES)
        return fail(error, r, "%s: %s: CAP_BPF and CAP_PERFMON are needed", what, strerror(-r));
    return fail(error, r, "%s: %s%s%.250s", what, strerror(-r), message->text[0] ? ": " : "", message->text);
}

/* ---- loading -------------------------------------------------------------------------------------------------------- */

/* A skeleton without programs, on the probe's maps. */
static int open_skeleton(struct hook_bpf **ret, const struct probe_maps *shared, uint64_t cookie)
{
    struct hook_bpf *skeleton = hook_bpf__open();
    struct bpf_program *program;
    int r;

    if (!skeleton)
        return errno ? -errno : -ENOMEM;
    bpf_object__for_each_program(program, skeleton->obj)(void) bpf_program__set_autoload(program, false);
    skeleton->rodata->epoch_ns = shared->epoch_ns;
    skeleton->rodata->ring_bytes = shared->ring_bytes;
    skeleton->rodata->cgroup_controller = shared->cgroup_controller;
    skeleton->rodata->generation = shared->generation;
    skeleton->rodata->hook_cookie = cookie;
    r = bpf_map__reuse_fd(skeleton->maps.ring, shared->ring);
    if (!r)
        r = bpf_map__reuse_fd(skeleton->maps.cpu_states, shared->cpu_states);
    if (!r)
        r = bpf_map__reuse_fd(skeleton->maps.data_shared, shared->shared);
    if (r) {
        hook_bpf__destroy(skeleton);
        return r;
    }
    *ret = skeleton;
    return 0;
}

/* What is in the programs themselves (.rodata) is each load's own. */
static int reuse_maps(struct hook_bpf *skeleton, const struct hook_bpf *owner)
{
    struct bpf_map *map;

    bpf_object__for_each_map(map, skeleton->obj)
    {
        const struct bpf_map *shared = bpf_object__find_map_by_name(owner->obj, bpf_map__name(map));
        int r = 0;

        if (map != skeleton->maps.rodata && shared && bpf_map__fd(map) < 0)
            r = bpf_map__reuse_fd(map, bpf_map__fd(shared));
        if (r)
            return r;
    }
    return 0;
}

static struct bpf_program *program_of(const struct hook_bpf *skeleton, enum program_kind kind)
{
    return bpf_object__find_program_by_name(skeleton->obj, program_names[kind]);
}

/* One program, in a skeleton of its own; owned by the caller. `function`: what a trampoline is put on. */
static int load_program(struct hook_engine *engine, enum program_kind kind, uint64_t cookie,
    const char *function, struct hook_bpf **ret, char error[HOOK_ERROR_MAX])
{
    struct hook_bpf *skeleton = NULL;
    struct bpf_message message;
    int r = open_skeleton(&skeleton, &engine->shared, cookie);

    if (r < 0 || !skeleton)
        return fail(error, r < 0 ? r : -ENOMEM, "opening the programs: %s", strerror(r < 0 ? -r : ENOMEM));
    bpf_message_begin(&message);
    (void)bpf_program__set_autoload(program_of(skeleton, kind), true);
    r = function ? bpf_program__set_attach_target(program_of(skeleton, kind), 0, function) : 0;
    if (!r)
        r = reuse_maps(skeleton, engine->maps);
    if (!r)
        r = hook_bpf__load(skeleton);
    bpf_message_end();
    if (r) {
        hook_bpf__destroy(skeleton);
        return fail_load(error, r, "loading", &message);
    }
    *ret = skeleton;
    return 0;
}

static struct bpf_program *shared_program(
    struct hook_engine *engine, enum program_kind kind, char error[HOOK_ERROR_MAX])
{
    int r = 0;

    if (!engine->programs[kind])
        r = load_program(engine, kind, 0, NULL, &engine->programs[kind], error);
    errno = -r;
    return r < 0 || !engine->programs[kind] ? NULL : program_of(engine->programs[kind], kind);
}

int hook_engine_new(struct hook_engine **ret, struct probe *probe, char error[HOOK_ERROR_MAX])
{
    struct hook_engine *engine = calloc(1, sizeof(*engine));
    struct bpf_message message = {0};
    int r;

    if (!engine)
        return fail(error, -ENOMEM, "out of memory");
    probe_get_maps(probe, &engine->shared);
    bpf_message_begin(&message);
    r = open_skeleton(&engine->maps, &engine->shared, 0);
    if (!r)
        r = hook_bpf__load(engine->maps);
    bpf_message_end();
    if (r) {
        hook_engine_free(engine);
        return fail_load(error, r, "making the hooks' maps", &message);
    }
    *ret = engine;
    return 0;
}

static void unwatch_processes(struct hook_engine *engine)
{
    for (size_t i = 0; i < 3; i++) {
        (void)bpf_link__destroy(engine->process_links[i]);
        engine->process_links[i] = NULL;
    }
    hook_bpf__destroy(engine->processes);
    engine->processes = NULL;
}

struct hook_engine *hook_engine_free(struct hook_engine *engine)
{
    if (!engine)
        return NULL;
    unwatch_processes(engine);
    for (size_t i = 0; i < SHARED_COUNT; i++)
        hook_bpf__destroy(engine->programs[i]);
    hook_bpf__destroy(engine->maps);
    free(engine);
    return NULL;
}

/* ---- maps ----------------------------------------------------------------------------------------------------------- */

int hook_engine_put_config(struct hook_engine *engine, uint32_t number, const struct hook_config *config)
{
    return bpf_map_update_elem(bpf_map__fd(engine->maps->maps.hook_configs), &number, config, BPF_ANY);
}

static int removed(int r)
{
    return r == -ENOENT ? 0 : r;
}

int hook_engine_remove_config(struct hook_engine *engine, uint32_t number)
{
    return removed(bpf_map_delete_elem(bpf_map__fd(engine->maps->maps.hook_configs), &number));
}

static int table_fd(const struct hook_engine *engine, enum hook_table table)
{
    switch (table) {
    case HOOK_TABLE_NUMBERS:
        return bpf_map__fd(engine->maps->maps.hook_numbers);
    case HOOK_TABLE_TEXTS:
        return bpf_map__fd(engine->maps->maps.hook_texts);
    case HOOK_TABLE_PREFIXES:
        return bpf_map__fd(engine->maps->maps.hook_prefixes);
    case HOOK_TABLE_POSTFIXES:
        return bpf_map__fd(engine->maps->maps.hook_postfixes);
    case HOOK_TABLE_NETWORKS:
        return bpf_map__fd(engine->maps->maps.hook_networks);
    }
    return -EINVAL;
}

int hook_engine_put_entry(struct hook_engine *engine, const struct hook_entry *entry)
{
    const uint8_t present = 1;

    return bpf_map_update_elem(table_fd(engine, entry->table), &entry->key, &present, BPF_ANY);
}

int hook_engine_remove_entry(struct hook_engine *engine, const struct hook_entry *entry)
{
    return removed(bpf_map_delete_elem(table_fd(engine, entry->table), &entry->key));
}

/* ---- processes ------------------------------------------------------------------------------------------------------ */

int hook_engine_put_bits(struct hook_engine *engine, enum hook_bits_table table, const void *key,
    const struct hook_process_bits *bits)
{
    const struct bpf_map *const maps[] = {
        [HOOK_BITS_BINARIES] = engine->maps->maps.hook_binaries,
        [HOOK_BITS_PREFIXES] = engine->maps->maps.hook_binary_prefixes,
        [HOOK_BITS_POSTFIXES] = engine->maps->maps.hook_binary_postfixes,
        [HOOK_BITS_PIDS] = engine->maps->maps.hook_pids,
    };
    int fd = bpf_map__fd(maps[table]);

    return bits ? bpf_map_update_elem(fd, key, bits, BPF_ANY) : removed(bpf_map_delete_elem(fd, key));
}

static int load_processes(struct hook_engine *engine)
{
    struct hook_bpf *skeleton = NULL;
    int r = open_skeleton(&skeleton, &engine->shared, 0);

    if (r < 0)
        return r;
    (void)bpf_program__set_autoload(skeleton->progs.hook_on_fork, true);
    (void)bpf_program__set_autoload(skeleton->progs.hook_on_exec, true);
    (void)bpf_program__set_autoload(skeleton->progs.hook_on_task, true);
    r = reuse_maps(skeleton, engine->maps);
    if (!r)
        r = hook_bpf__load(skeleton);
    if (r) {
        hook_bpf__destroy(skeleton);
        return r;
    }
    engine->processes = skeleton;
    return 0;
}

int hook_engine_watch_processes(struct hook_engine *engine, char error[HOOK_ERROR_MAX])
{
    struct bpf_message message;
    int r;

    if (engine->processes)
        return 0;
    bpf_message_begin(&message);
    r = load_processes(engine);
    if (!r) {
        engine->process_links[0] = bpf_program__attach(engine->processes->progs.hook_on_fork);
        engine->process_links[1] = bpf_program__attach(engine->processes->progs.hook_on_exec);
        engine->process_links[2] = bpf_program__attach_iter(engine->processes->progs.hook_on_task, NULL);
        if (!engine->process_links[0] || !engine->process_links[1] || !engine->process_links[2])
            r = -errno;
    }
    bpf_message_end();
    if (!r)
        return 0;
    unwatch_processes(engine);
    return fail_load(error, r, "keeping sets of processes", &message);
}

static int read_sets(struct hook_engine *engine, struct hook_sets *ret)
{
    const uint32_t zero = 0;

    return bpf_map_lookup_elem(bpf_map__fd(engine->maps->maps.hook_sets), &zero, ret);
}

int hook_engine_go_over_processes(struct hook_engine *engine, const struct hook_process_bits *follow,
    const struct hook_process_bits *clear, uint64_t *ret_changed)
{
    const uint32_t zero = 0;
    struct hook_sets sets;
    CLEANUP_CLOSE int fd = -1;
    char nothing[64];
    ssize_t n;
    int r = read_sets(engine, &sets);

    if (r < 0)
        return r;
    sets.follow = *follow;
    sets.clear = *clear;
    sets.changed = 0;
    r = bpf_map_update_elem(bpf_map__fd(engine->maps->maps.hook_sets), &zero, &sets, BPF_ANY);
    if (r < 0)
        return r;
    fd = bpf_iter_create(bpf_link__fd(engine->process_links[2]));
    if (fd < 0)
        return -errno;
    do
        n = read(fd, nothing, sizeof(nothing)); /* the program writes nothing: one read goes over all */
    while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
    if (n < 0)
        return -errno;
    r = read_sets(engine, &sets);
    *ret_changed = sets.changed;
    return r;
}

uint64_t hook_engine_failed_execs(struct hook_engine *engine)
{
    struct hook_sets sets;

    return read_sets(engine, &sets) < 0 ? 0 : sets.failed;
}

/* ---- attaching ------------------------------------------------------------------------------------------------------ */

/* union bpf_attr of BPF_RAW_TRACEPOINT_OPEN as of 6.10, which has the cookie. */
struct raw_tracepoint_open {
    uint64_t name;
    uint32_t program_fd;
    uint32_t padding;
    uint64_t cookie;
};

static int open_raw_tp(const char *name, int program, uint64_t cookie)
{
    struct raw_tracepoint_open attr = {
        .name = (uint64_t)(uintptr_t)name, .program_fd = (uint32_t)program, .cookie = cookie};
    size_t size = cookie ? sizeof(attr) : offsetof(struct raw_tracepoint_open, cookie);
    int fd = (int)syscall(SYS_bpf, BPF_RAW_TRACEPOINT_OPEN, &attr, size);

    return fd < 0 ? -errno : fd;
}

static int fail_attach(char error[HOOK_ERROR_MAX], int r, const struct hook_target *target)
{
    if (r == -EPERM || r == -EACCES)
        return fail(error, r, "attaching to %s: %s", target->name, strerror(-r));
    if (r == -ENOENT || r == -ESRCH)
        return fail(
            error, r, "this kernel has no %s named %s", hook_attach_name(target->attach), target->name);
    return fail(error, r, "attaching to %s: %s", target->name, strerror(-r));
}

static const char *raw_tp_name(const struct hook_target *target)
{
    if (target->attach == HOOK_ATTACH_RAW_SYSCALL)
        return target->is_exit ? "sys_exit" : "sys_enter";
    return target->name;
}

/* The program's own load, and its fd; the skeleton is not needed any more. */
static int load_own(struct hook_engine *engine, enum program_kind kind, uint64_t cookie, const char *function,
    int *ret_fd, char error[HOOK_ERROR_MAX])
{
    struct hook_bpf *skeleton = NULL;
    int r = load_program(engine, kind, cookie, function, &skeleton, error);

    if (r || !skeleton)
        return r ? r : -ENOMEM;
    *ret_fd = fcntl(bpf_program__fd(program_of(skeleton, kind)), F_DUPFD_CLOEXEC, 0);
    r = *ret_fd < 0 ? fail(error, -errno, "loading: %s", strerror(errno)) : 0;
    hook_bpf__destroy(skeleton);
    return r;
}

static int attach_raw_tp(struct hook_engine *engine, const struct hook_target *target, uint64_t cookie,
    struct hook_attachment *ret, char error[HOOK_ERROR_MAX])
{
    enum program_kind kind = target->attach == HOOK_ATTACH_RAW_TP ? PROGRAM_RAW_TP : PROGRAM_RAW_SYSCALL;
    int link, r;

    if (!engine->raw_tp_has_no_cookie) {
        const struct bpf_program *program = shared_program(engine, kind, error);

        link = program ? open_raw_tp(raw_tp_name(target), bpf_program__fd(program), cookie) : -errno;
        if (link >= 0) {
            ret->links[0] = link;
            return 0;
        }
        if (program && link == -ENOENT)
            return fail_attach(error, link, target);
        engine->raw_tp_has_no_cookie = true;
    }
    r = load_own(engine, kind, cookie, NULL, &ret->programs[0], error);
    if (r)
        return r;
    link = open_raw_tp(raw_tp_name(target), ret->programs[0], 0);
    if (link < 0)
        return fail_attach(error, link, target);
    ret->links[0] = link;
    return 0;
}

/* fentry, fexit, fmod_ret, LSM. */
static int attach_trampoline(struct hook_engine *engine, const struct hook_target *target, uint64_t cookie,
    struct hook_attachment *ret, char error[HOOK_ERROR_MAX])
{
    static const struct {
        enum program_kind kind;
        enum bpf_attach_type type;
    } ways[HOOK_ATTACH_COUNT] = {
        [HOOK_ATTACH_FENTRY] = {PROGRAM_FENTRY, BPF_TRACE_FENTRY},
        [HOOK_ATTACH_FEXIT] = {PROGRAM_FEXIT, BPF_TRACE_FEXIT},
        [HOOK_ATTACH_FMOD_RET] = {PROGRAM_FMOD_RET, BPF_MODIFY_RETURN},
        [HOOK_ATTACH_LSM] = {PROGRAM_LSM, BPF_LSM_MAC},
    };
    int r = load_own(engine, ways[target->attach].kind, cookie, target->name, &ret->programs[0], error);

    if (r)
        return r;
    ret->links[0] = bpf_link_create(ret->programs[0], 0, ways[target->attach].type, NULL);
    return ret->links[0] < 0 ? fail_attach(error, -errno, target) : 0;
}

static int take_link(struct bpf_link *link, struct bpf_link **ret, const struct hook_target *target,
    char error[HOOK_ERROR_MAX])
{
    if (!link)
        return fail_attach(error, -errno, target);
    *ret = link;
    return 0;
}

/* A tracepoint takes a program once: the second hook on the same one gets a load of its own. */
static int attach_tracepoint(struct hook_engine *engine, const struct hook_target *target, uint64_t cookie,
    struct hook_attachment *ret, char error[HOOK_ERROR_MAX])
{
    const struct bpf_tracepoint_opts options = {.sz = sizeof(options), .bpf_cookie = cookie};
    const struct bpf_program *program = shared_program(engine, PROGRAM_TRACEPOINT, error);
    int r;

    if (!program)
        return -errno;
    ret->handles[0] = bpf_program__attach_tracepoint_opts(program, target->subsystem, target->name, &options);
    if (ret->handles[0])
        return 0;
    if (errno != EEXIST)
        return fail_attach(error, -errno, target);
    r = load_program(engine, PROGRAM_TRACEPOINT, cookie, NULL, &ret->own, error);
    if (r || !ret->own)
        return r ? r : -ENOMEM;
    program = program_of(ret->own, PROGRAM_TRACEPOINT);
    return take_link(bpf_program__attach_tracepoint_opts(program, target->subsystem, target->name, NULL),
        &ret->handles[0], target, error);
}

static int attach_kprobe(struct hook_engine *engine, const struct hook_target *target, enum program_kind kind,
    uint64_t cookie, struct bpf_link **ret, char error[HOOK_ERROR_MAX])
{
    const struct bpf_kprobe_opts options = {
        .sz = sizeof(options), .bpf_cookie = cookie, .retprobe = kind == PROGRAM_PROBE_RETURN};
    const struct bpf_program *program = shared_program(engine, kind, error);

    if (!program)
        return -errno;
    return take_link(bpf_program__attach_kprobe_opts(program, target->name, &options), ret, target, error);
}

static int attach_multi(struct hook_engine *engine, const struct hook_target *target, enum program_kind kind,
    uint64_t cookie, struct bpf_link **ret, char error[HOOK_ERROR_MAX])
{
    const char *name = target->name;
    const __u64 cookies[] = {cookie};
    const struct bpf_kprobe_multi_opts options = {.sz = sizeof(options),
        .syms = &name,
        .cookies = cookies,
        .cnt = 1,
        .retprobe = kind == PROGRAM_MULTI_RETURN};
    const struct bpf_program *program = shared_program(engine, kind, error);

    if (!program)
        return -errno;
    return take_link(bpf_program__attach_kprobe_multi_opts(program, NULL, &options), ret, target, error);
}

static int attach_uprobe(struct hook_engine *engine, const struct hook_target *target, enum program_kind kind,
    uint64_t cookie, struct bpf_link **ret, char error[HOOK_ERROR_MAX])
{
    const struct bpf_uprobe_opts options = {.sz = sizeof(options),
        .bpf_cookie = cookie,
        .retprobe = kind == PROGRAM_PROBE_RETURN,
        .func_name = target->name[0] ? target->name : NULL};
    const struct bpf_program *program = shared_program(engine, kind, error);

    if (!program)
        return -errno;
    return take_link(
        bpf_program__attach_uprobe_opts(program, -1, target->subsystem, target->offset, &options), ret,
        target, error);
}

typedef int (*attach_one_fn)(struct hook_engine *engine, const struct hook_target *target,
    enum program_kind kind, uint64_t cookie, struct bpf_link **ret, char error[HOOK_ERROR_MAX]);

/* The return first: a call that it does not know is no harm, a call whose return nobody sees is. */
static int attach_both(struct hook_engine *engine, const struct hook_target *target, attach_one_fn attach,
    enum program_kind call, uint64_t cookie, struct hook_attachment *ret, char error[HOOK_ERROR_MAX])
{
    int r = attach(engine, target, call + 1, cookie, &ret->handles[1], error);

    return r ? r : attach(engine, target, call, cookie, &ret->handles[0], error);
}

static int attach(struct hook_engine *engine, const struct hook_target *target, uint64_t cookie,
    struct hook_attachment *ret, char error[HOOK_ERROR_MAX])
{
    switch (target->attach) {
    case HOOK_ATTACH_RAW_TP:
    case HOOK_ATTACH_RAW_SYSCALL:
        return attach_raw_tp(engine, target, cookie, ret, error);
    case HOOK_ATTACH_TRACEPOINT:
        return attach_tracepoint(engine, target, cookie, ret, error);
    case HOOK_ATTACH_FENTRY:
    case HOOK_ATTACH_FEXIT:
    case HOOK_ATTACH_FMOD_RET:
    case HOOK_ATTACH_LSM:
        return attach_trampoline(engine, target, cookie, ret, error);
    case HOOK_ATTACH_KPROBE:
        return attach_kprobe(engine, target, PROGRAM_PROBE, cookie, &ret->handles[0], error);
    case HOOK_ATTACH_KRETPROBE:
        return attach_both(engine, target, attach_kprobe, PROGRAM_PROBE_CALL, cookie, ret, error);
    case HOOK_ATTACH_KPROBE_MULTI:
        return attach_multi(engine, target, PROGRAM_MULTI, cookie, &ret->handles[0], error);
    case HOOK_ATTACH_KRETPROBE_MULTI:
        return attach_both(engine, target, attach_multi, PROGRAM_MULTI_CALL, cookie, ret, error);
    case HOOK_ATTACH_UPROBE:
        return attach_uprobe(engine, target, PROGRAM_PROBE, cookie, &ret->handles[0], error);
    case HOOK_ATTACH_URETPROBE:
        return attach_both(engine, target, attach_uprobe, PROGRAM_PROBE_CALL, cookie, ret, error);
    case HOOK_ATTACH_COUNT:
        break;
    }
    return fail(error, -EINVAL, "no such kind of hook");
}

int hook_engine_attach(struct hook_engine *engine, const struct hook_target *target, uint64_t cookie,
    struct hook_attachment *ret, char error[HOOK_ERROR_MAX])
{
    struct bpf_message message;
    int r;

    *ret = HOOK_ATTACHMENT_EMPTY;
    bpf_message_begin(&message); /* loading has its own; what libbpf says of attaching is in our own words */
    r = attach(engine, target, cookie, ret, error);
    bpf_message_end();
    if (r)
        hook_engine_detach(engine, ret);
    return r;
}

size_t hook_engine_get_links(const struct hook_attachment *attachment, int ret_fds[2])
{
    size_t count = 0;

    for (int i = 0; i < 2; i++) {
        if (attachment->handles[i])
            ret_fds[count++] = bpf_link__fd(attachment->handles[i]);
        else if (attachment->links[i] >= 0)
            ret_fds[count++] = attachment->links[i];
    }
    return count;
}

/* Fork and exec; the iterator runs when it is asked to only. */
size_t hook_engine_get_process_links(const struct hook_engine *engine, int *ret_fds, size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < 2 && count < max; i++) {
        if (engine->process_links[i])
            ret_fds[count++] = bpf_link__fd(engine->process_links[i]);
    }
    return count;
}

void hook_engine_detach(struct hook_engine *engine, struct hook_attachment *attachment)
{
    (void)engine;
    for (int i = 0; i < 2; i++) {
        (void)bpf_link__destroy(attachment->handles[i]);
        attachment->handles[i] = NULL;
        fd_close(&attachment->links[i]);
        fd_close(&attachment->programs[i]);
    }
    hook_bpf__destroy(attachment->own);
    attachment->own = NULL;
}

/* membarrier(2), MEMBARRIER_CMD_GLOBAL: returns when every CPU has passed through a state in which no program of ours can be: the kernel
 * implements it as synchronize_rcu(), and the programs run under rcu_read_lock(). */
void hook_engine_settle(struct hook_engine *engine)
{
    (void)engine;
    (void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

static uint64_t read_missed(int program, uint64_t *seen)
{
    struct bpf_prog_info info = {0};
    uint32_t size = sizeof(info);
    uint64_t fresh;

    if (program < 0 || bpf_obj_get_info_by_fd(program, &info, &size))
        return 0;
    fresh = info.recursion_misses - *seen;
    *seen = info.recursion_misses;
    return fresh;
}

uint64_t hook_engine_missed(struct hook_engine *engine, struct hook_attachment *attachment)
{
    int own = attachment->own ? bpf_program__fd(program_of(attachment->own, PROGRAM_TRACEPOINT))
                              : attachment->programs[0];

    (void)engine;
    return read_missed(own, &attachment->missed[0]) +
           read_missed(attachment->programs[1], &attachment->missed[1]);
}

uint64_t hook_engine_shared_missed(struct hook_engine *engine)
{
    uint64_t missed = 0;

    for (size_t i = 0; i < SHARED_COUNT; i++) {
        if (engine->programs[i])
            missed += read_missed(bpf_program__fd(program_of(engine->programs[i], i)), &engine->missed[i]);
    }
    return missed;
}
