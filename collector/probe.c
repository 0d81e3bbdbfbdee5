/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/probe.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "collector/bpf_message.h"
#include "collector/loss.h"
#include "collector/ring.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "process.skel.h"
#include "snapshot.skel.h"

#define BTF_PATH "/sys/kernel/btf/vmlinux"

struct probe {
    enum probe_kind kind;
    uint32_t cgroup_controller; /* as the programs have it (task.bpf.h) */
    struct process_bpf *process;
    struct snapshot_bpf *snapshot;
    struct bpf_link *iterator;
    struct ring *ring;
    int wakeup_fd; /* epoll on the ring, edge-triggered: readable on a wake-up, not on mere data */
    size_t ring_bytes;
    struct output_shared *shared; /* mapped: the gate */
    uint32_t generation;
    struct cpu_state *states; /* mapped; cpu_count of them */
    struct loss_seen *seen;
    int cpu_count;
    uint64_t refused[RECORD_TYPE_SLOTS];
};

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* One line for the user; returns `r`. */
__attribute__((format(printf, 3, 4))) static int fail(
    char error[PROBE_ERROR_MAX], int r, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(error, PROBE_ERROR_MAX, format, arguments);
    va_end(arguments);
    return r;
}

static int fail_load(char error[PROBE_ERROR_MAX], int r, const char *what, const struct bpf_message *message)
{
    if (message->verdict[0])
        return fail(error, r, "%s: the kernel's verifier refuses: %s", what, message->verdict);
    if (r == -EPERM || r == -EACCES)
        return fail(error, r, "%s: %s: CAP_BPF and CAP_PERFMON are needed", what, strerror(-r));
    return fail(error, r, "%s: %s: %s", what, strerror(-r), message->text);
}

/* ---- loading ------------------------------------------------------------------------------------------- */

/* Whether the kernel's own type of a tracepoint has this many arguments (void *data included). */
static bool tracepoint_has_arguments(const struct btf *btf, const char *name, unsigned int count)
{
    int id = btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF);
    const struct btf_type *type = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;

    type = type ? btf__type_by_id(btf, type->type) : NULL; /* pointer */
    type = type ? btf__type_by_id(btf, type->type) : NULL; /* to function */
    return type && btf_is_func_proto(type) && btf_vlen(type) == count;
}

static bool exit_tells_group_dead(void)
{
    struct btf *btf = btf__load_vmlinux_btf();
    bool tells = btf && tracepoint_has_arguments(btf, "btf_trace_sched_process_exit", 3);

    btf__free(btf);
    return tells;
}

/* The number of a v1 controller in the running kernel, plus one. 0: it has none of that name. */
static uint32_t controller_number(const char *controller)
{
    struct btf *btf = btf__load_vmlinux_btf();
    int id = btf ? btf__find_by_name_kind(btf, "cgroup_subsys_id", BTF_KIND_ENUM) : -1;
    const struct btf_type *type = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;
    uint32_t found = 0;
    char name[64];

    /* "blkio" is what v1 calls it. */
    (void)snprintf(name, sizeof(name), "%.32s_cgrp_id", strcmp(controller, "blkio") == 0 ? "io" : controller);
    for (unsigned i = 0; type && i < btf_vlen(type) && !found; i++) {
        const struct btf_enum *value = &btf_enum(type)[i];

        if (strcmp(btf__name_by_offset(btf, value->name_off), name) == 0)
            found = (uint32_t)value->val + 1;
    }
    btf__free(btf);
    return found;
}

static int find_controller(
    struct probe *probe, const struct probe_options *options, char error[PROBE_ERROR_MAX])
{
    if (!options->cgroup_controller)
        return 0;
    probe->cgroup_controller = controller_number(options->cgroup_controller);
    if (!probe->cgroup_controller)
        return fail(
            error, -ENOENT, "the kernel has no cgroup controller '%.32s'", options->cgroup_controller);
    return 0;
}

static size_t ring_size(size_t wanted)
{
    size_t size = page_bytes();

    if (!wanted)
        wanted = PROBE_RING_BYTES_DEFAULT;
    while (size < wanted && size < (UINT64_C(1) << 31))
        size *= 2;
    return size;
}

static bool name_ends(const char *name, const char *end)
{
    size_t name_size = strlen(name), end_size = strlen(end);

    return name_size >= end_size && strcmp(name + name_size - end_size, end) == 0;
}

static bool is_map(int fd, enum bpf_map_type type, uint32_t value_bytes, struct bpf_map_info *ret)
{
    uint32_t size = sizeof(*ret);

    *ret = (struct bpf_map_info){0};
    return fd >= 0 && bpf_obj_get_info_by_fd(fd, ret, &size) == 0 && ret->type == type &&
           ret->value_size == value_bytes;
}

int probe_check_kept(struct probe_kept *kept, char error[PROBE_ERROR_MAX])
{
    struct bpf_map_info info;

    if (!is_map(kept->ring, BPF_MAP_TYPE_RINGBUF, 0, &info))
        return fail(error, -EINVAL, "the ring buffer is none");
    kept->ring_bytes = info.max_entries;
    if (!is_map(kept->cpu_states, BPF_MAP_TYPE_ARRAY, sizeof(struct cpu_state), &info) ||
        info.max_entries != probe_possible_cpus())
        return fail(error, -EINVAL, "the loss counters are not this kernel's");
    if (!is_map(kept->process_states, BPF_MAP_TYPE_TASK_STORAGE, PROCESS_STATE_BYTES, &info))
        return fail(error, -EINVAL, "what is kept with processes has another form");
    if (!is_map(kept->shared, BPF_MAP_TYPE_ARRAY, sizeof(struct output_shared), &info))
        return fail(error, -EINVAL, "the gate has another form");
    return 0;
}

unsigned probe_possible_cpus(void)
{
    int count = libbpf_num_possible_cpus();

    return count > 0 ? (unsigned)count : 0;
}

static int size_maps(struct process_bpf *skeleton, const struct probe *probe)
{
    int r = bpf_map__set_max_entries(skeleton->maps.ring, (__u32)probe->ring_bytes);

    return r ? r : bpf_map__set_max_entries(skeleton->maps.cpu_states, (__u32)probe->cpu_count);
}

static int take_maps(struct process_bpf *skeleton, const struct probe_kept *kept)
{
    int r = bpf_map__reuse_fd(skeleton->maps.ring, kept->ring);

    if (!r)
        r = bpf_map__reuse_fd(skeleton->maps.cpu_states, kept->cpu_states);
    if (!r)
        r = bpf_map__reuse_fd(skeleton->maps.process_states, kept->process_states);
    return r ? r : bpf_map__reuse_fd(skeleton->maps.data_shared, kept->shared);
}

static int load_process(struct probe *probe, const struct probe_options *options, enum probe_kind kind)
{
    struct process_bpf *skeleton = process_bpf__open();
    struct bpf_program *program;
    int r;

    if (!skeleton)
        return -errno;
    bpf_object__for_each_program(program, skeleton->obj)(void) bpf_program__set_autoload(
        program, name_ends(bpf_program__name(program), kind == PROBE_KIND_TP_BTF ? "_tp_btf" : "_raw_tp"));
    skeleton->rodata->epoch_ns = options->epoch_ns;
    skeleton->rodata->generation = options->generation;
    skeleton->rodata->ring_bytes = probe->ring_bytes;
    skeleton->rodata->exit_tells_group_dead = exit_tells_group_dead();
    skeleton->rodata->cgroup_controller = probe->cgroup_controller;
    skeleton->rodata->cgroup_hierarchy_id = options->cgroup_hierarchy_id;
    r = options->kept ? take_maps(skeleton, options->kept) : size_maps(skeleton, probe);
    if (!r)
        r = process_bpf__load(skeleton);
    if (r) {
        process_bpf__destroy(skeleton);
        return r;
    }
    probe->process = skeleton;
    probe->kind = kind;
    return 0;
}

static int load_process_any(
    struct probe *probe, const struct probe_options *options, char error[PROBE_ERROR_MAX])
{
    static const enum probe_kind order[] = {PROBE_KIND_TP_BTF, PROBE_KIND_RAW_TP};
    struct bpf_message message = {0};
    int r = -EINVAL;

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (options->kind != PROBE_KIND_AUTO && options->kind != order[i])
            continue;
        bpf_message_begin(&message);
        r = load_process(probe, options, order[i]);
        bpf_message_end();
        if (!r)
            return 0;
    }
    return fail_load(error, r, "loading the process hooks", &message);
}

static int load_snapshot(struct probe *probe, bool sleepable)
{
    struct snapshot_bpf *skeleton = snapshot_bpf__open();
    struct bpf_link *link = NULL;
    struct bpf_program *program;
    int r;

    if (!skeleton)
        return -errno;
    skeleton->rodata->cgroup_controller = probe->cgroup_controller;
    (void)bpf_program__set_autoload(skeleton->progs.snapshot_processes, sleepable);
    (void)bpf_program__set_autoload(skeleton->progs.snapshot_processes_no_args, !sleepable);
    r = bpf_map__reuse_fd(skeleton->maps.process_states, bpf_map__fd(probe->process->maps.process_states));
    if (!r)
        r = snapshot_bpf__load(skeleton);
    if (!r) {
        program = sleepable ? skeleton->progs.snapshot_processes : skeleton->progs.snapshot_processes_no_args;
        link = bpf_program__attach_iter(program, NULL);
        r = link ? 0 : -errno;
    }
    if (r) {
        snapshot_bpf__destroy(skeleton);
        return r;
    }
    probe->snapshot = skeleton;
    probe->iterator = link;
    return 0;
}

static int load_snapshot_any(struct probe *probe, char error[PROBE_ERROR_MAX])
{
    struct bpf_message message;
    int r;

    bpf_message_begin(&message);
    r = load_snapshot(probe, true);
    if (r && r != -EPERM)
        r = load_snapshot(probe, false);
    bpf_message_end();
    return r ? fail_load(error, r, "loading the task iterator", &message) : 0;
}

/* Which mount namespace is the host's: as process 1 has it, whose /proc/1/ns may be closed to us. The
 * iterator begins with the lowest pid; where process 1 is hidden, kthreadd (2) comes first and lives in
 * the same. Inside a pid namespace neither is to be seen, and no binary is taken as the host's. */
static int find_host_mnt_ns(struct probe *probe, uint32_t wanted, char error[PROBE_ERROR_MAX])
{
    CLEANUP_CLOSE int fd = wanted ? -1 : probe_open_process_iterator(probe);
    struct record_process process = {0};
    ssize_t n;

    if (!wanted) {
        n = fd < 0 ? -1 : read(fd, &process, sizeof(process));
        if (n < 0)
            return fail(error, -errno, "reading the task iterator: %s", strerror(errno));
        if ((size_t)n == sizeof(process) && process.header.tgid <= 2)
            wanted = process.ns.mnt;
    }
    probe->process->bss->host_mnt_ns = wanted;
    probe->snapshot->bss->host_mnt_ns = wanted;
    return 0;
}

/* ---- the shared memory --------------------------------------------------------------------------------- */

static size_t states_bytes(const struct probe *probe)
{
    size_t page = page_bytes(), size = (size_t)probe->cpu_count * sizeof(struct cpu_state);

    return (size + page - 1) / page * page;
}

/* libbpf's own epoll is level-triggered: once woken it stays readable as long as records come, and the
 * naps between two drains would be over. */
static int open_wakeup(struct probe *probe, int ring_fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};

    probe->wakeup_fd = epoll_create1(EPOLL_CLOEXEC);
    if (probe->wakeup_fd < 0 || epoll_ctl(probe->wakeup_fd, EPOLL_CTL_ADD, ring_fd, &event))
        return -errno;
    return 0;
}

static int map_memory(struct probe *probe, char error[PROBE_ERROR_MAX])
{
    int ring_fd = bpf_map__fd(probe->process->maps.ring),
        states_fd = bpf_map__fd(probe->process->maps.cpu_states),
        shared_fd = bpf_map__fd(probe->process->maps.data_shared), r;
    void *states = mmap(NULL, states_bytes(probe), PROT_READ | PROT_WRITE, MAP_SHARED, states_fd, 0);
    void *shared = mmap(NULL, page_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);

    if (states != MAP_FAILED)
        probe->states = states;
    if (shared != MAP_FAILED)
        probe->shared = shared;
    if (!probe->states || !probe->shared)
        return fail(error, -errno, "mapping the loss counters and the gate: %s", strerror(errno));
    r = open_wakeup(probe, ring_fd);
    if (r)
        return fail(error, r, "watching the ring buffer: %s", strerror(-r));
    r = ring_open(&probe->ring, ring_fd, probe->ring_bytes);
    return r ? fail(error, r, "mapping the ring buffer: %s", strerror(-r)) : 0;
}

int probe_new(struct probe **ret, const struct probe_options *options, char error[PROBE_ERROR_MAX])
{
    struct probe *probe;
    int r;

    if (access(BTF_PATH, R_OK))
        return fail(
            error, -errno, BTF_PATH ": %s: a kernel with CONFIG_DEBUG_INFO_BTF=y is needed", strerror(errno));
    probe = calloc(1, sizeof(*probe));
    if (!probe)
        return fail(error, -ENOMEM, "out of memory");
    probe->wakeup_fd = -1;
    probe->generation = options->generation;
    probe->ring_bytes = options->kept ? options->kept->ring_bytes : ring_size(options->ring_bytes);
    probe->cpu_count = libbpf_num_possible_cpus();
    r = probe->cpu_count > 0 ? 0 : fail(error, -EINVAL, "the number of CPUs is not known");
    if (!r) {
        probe->seen = calloc((size_t)probe->cpu_count, sizeof(*probe->seen));
        r = probe->seen ? 0 : fail(error, -ENOMEM, "out of memory");
    }
    if (!r)
        r = find_controller(probe, options, error);
    if (!r)
        r = load_process_any(probe, options, error);
    if (!r)
        r = load_snapshot_any(probe, error);
    if (!r)
        r = find_host_mnt_ns(probe, options->host_mnt_ns, error);
    if (!r)
        r = map_memory(probe, error);
    if (r) {
        probe_free(probe);
        return r;
    }
    *ret = probe;
    return 0;
}

int probe_attach(struct probe *probe, char error[PROBE_ERROR_MAX])
{
    struct bpf_message message;
    int r;

    bpf_message_begin(&message);
    r = process_bpf__attach(probe->process);
    bpf_message_end();
    if (r) {
        probe_detach(probe);
        return fail_load(error, r, "attaching the process hooks", &message);
    }
    return 0;
}

void probe_detach(struct probe *probe)
{
    process_bpf__detach(probe->process);
}

struct probe *probe_free(struct probe *probe)
{
    if (!probe)
        return NULL;
    ring_close(probe->ring);
    cleanup_close_fd(&probe->wakeup_fd);
    if (probe->shared)
        (void)munmap(probe->shared, page_bytes());
    if (probe->states)
        (void)munmap(probe->states, states_bytes(probe));
    (void)bpf_link__destroy(probe->iterator);
    snapshot_bpf__destroy(probe->snapshot);
    process_bpf__destroy(probe->process);
    free(probe->seen);
    free(probe);
    return NULL;
}

const char *probe_kind_name(const struct probe *probe)
{
    return probe->kind == PROBE_KIND_TP_BTF ? "tp_btf" : "raw_tp";
}

/* ---- at work ------------------------------------------------------------------------------------------- */

int probe_fd(const struct probe *probe)
{
    return probe->wakeup_fd;
}

int probe_read(struct probe *probe, probe_record_fn fn, void *arg, size_t budget)
{
    struct epoll_event event;
    const struct record_header *record;
    size_t size;
    int count = 0;

    /* The wake-up is taken before the records: one that comes meanwhile is not lost. */
    (void)epoll_wait(probe->wakeup_fd, &event, 1, 0);
    while ((!budget || (size_t)count < budget) && (record = ring_next(probe->ring, &size))) {
        int r = size < sizeof(*record) || record->size != size ? -EBADMSG : fn(record, size, arg);

        if (r < 0)
            return r;
        count++;
    }
    return count;
}

int probe_drain(struct probe *probe, probe_record_fn fn, void *arg, size_t budget)
{
    int r = probe_read(probe, fn, arg, budget);

    probe_release(probe);
    return r;
}

void probe_release(struct probe *probe)
{
    ring_release(probe->ring);
}

uint64_t probe_position(const struct probe *probe)
{
    return ring_position(probe->ring);
}

int probe_skip_to(struct probe *probe, uint64_t position)
{
    return ring_skip_to(probe->ring, position);
}

struct loss_seen *probe_seen(struct probe *probe, unsigned cpu)
{
    return cpu < (unsigned)probe->cpu_count ? &probe->seen[cpu] : NULL;
}

unsigned probe_cpu_count(const struct probe *probe)
{
    return (unsigned)probe->cpu_count;
}

uint32_t probe_active(const struct probe *probe)
{
    return __atomic_load_n(&probe->shared->active, __ATOMIC_ACQUIRE);
}

/* Events that began before our programs were attached are over (membarrier(2) waits for an RCU grace period, and tracepoints run under RCU): from here on each
 * one passes through the older programs and ours. Then the one store. */
void probe_open_gate(struct probe *probe)
{
    (void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
    __atomic_store_n(&probe->shared->active, probe->generation, __ATOMIC_SEQ_CST);
}

void probe_each_link(const struct probe *probe, void (*fn)(void *arg, int link_fd), void *arg)
{
    struct bpf_link *const *links = (struct bpf_link *const *)&probe->process->links;

    for (size_t i = 0; i < sizeof(probe->process->links) / sizeof(*links); i++) {
        if (links[i])
            fn(arg, bpf_link__fd(links[i]));
    }
}

int probe_read_losses(struct probe *probe, probe_lost_fn fn, void *arg)
{
    uint64_t now = clock_boot_ns();
    struct record_lost lost;
    int reported = 0;

    for (int cpu = 0; cpu < probe->cpu_count; cpu++) {
        if (!loss_collect(&probe->states[cpu], &probe->seen[cpu], (uint16_t)cpu, now, &lost))
            continue;
        for (unsigned int type = 0; type < RECORD_TYPE_SLOTS; type++)
            probe->refused[type] += lost.count[type];
        fn(&lost, arg);
        reported++;
    }
    return reported;
}

void probe_get_refused(const struct probe *probe, uint64_t ret_by_type[RECORD_TYPE_SLOTS])
{
    memcpy(ret_by_type, probe->refused, sizeof(probe->refused));
}

uint64_t probe_made_count(const struct probe *probe)
{
    uint64_t made = 0;

    for (int cpu = 0; cpu < probe->cpu_count; cpu++)
        made += __atomic_load_n(&probe->states[cpu].made, __ATOMIC_RELAXED);
    return made;
}

size_t probe_ring_bytes(const struct probe *probe)
{
    return probe->ring_bytes;
}

size_t probe_used_bytes(const struct probe *probe)
{
    return ring_used_bytes(probe->ring);
}

int probe_open_process_iterator(const struct probe *probe)
{
    int fd = bpf_iter_create(bpf_link__fd(probe->iterator));

    return fd < 0 ? -errno : fd;
}

void probe_get_maps(const struct probe *probe, struct probe_maps *ret)
{
    *ret = (struct probe_maps){
        .ring = bpf_map__fd(probe->process->maps.ring),
        .cpu_states = bpf_map__fd(probe->process->maps.cpu_states),
        .process_states = bpf_map__fd(probe->process->maps.process_states),
        .shared = bpf_map__fd(probe->process->maps.data_shared),
        .generation = probe->generation,
        .epoch_ns = probe->process->rodata->epoch_ns,
        .ring_bytes = probe->ring_bytes,
        .cgroup_controller = probe->cgroup_controller,
    };
}

static void raise(__u64 *greatest, uint64_t seq)
{
    uint64_t was = __atomic_load_n((uint64_t *)greatest, __ATOMIC_RELAXED);

    while (was < seq && !__atomic_compare_exchange_n(
                            (uint64_t *)greatest, &was, seq, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

/* As the programs do it (output.bpf.h), on the first CPU. */
void probe_count_missed(struct probe *probe, uint64_t count)
{
    struct cpu_state *state = &probe->states[0];
    uint64_t first, none = 0;

    if (!count)
        return;
    first = probe->process->rodata->epoch_ns + __atomic_fetch_add(&state->made, count, __ATOMIC_RELAXED);
    (void)__atomic_compare_exchange_n(
        (uint64_t *)&state->refused_first, &none, first, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    raise(&state->refused_last, first + count - 1);
    __atomic_fetch_add((uint64_t *)&state->refused[RECORD_HOOK], count, __ATOMIC_RELEASE);
}
