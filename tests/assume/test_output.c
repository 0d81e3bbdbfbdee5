/* SPDX-License-Identifier: Apache-2.0 */
/* The ring: what is refused, what is counted, when the consumer is woken. */
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/cpu_state.h"
#include "output_test.skel.h"
#include "tests/assume/observe.h"

#define RING_BYTES 65536

/* ---- through the probe --------------------------------------------------------------------------------- */

static bool is_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 50) == 1;
}

static void fork_many(int count)
{
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();

        cr_assert_geq(pid, 0);
        if (pid == 0)
            _exit(0);
        (void)waitpid(pid, NULL, 0);
    }
}

/* Sequence numbers of one CPU that were drained. */
static uint64_t drained_of(const struct observer *o, uint16_t cpu, uint64_t *ret_first, uint64_t *ret_last)
{
    uint64_t count = 0;

    for (size_t i = 0; i < o->count; i++) {
        if (o->records[i]->cpu != cpu)
            continue;
        if (count++ == 0)
            *ret_first = o->records[i]->seq;
        *ret_last = o->records[i]->seq;
    }
    return count;
}

Test(output, what_the_ring_refuses_is_counted_to_the_record)
{
    struct observer *o = observe_begin_small(4096);
    uint64_t refused[RECORD_TYPE_SLOTS], refused_count = 0, lost_count = 0;

    for (int round = 0; round < 5; round++) {
        fork_many(100);
        observe_drain(o);
    }
    observe_drain(o);
    probe_get_refused(o->probe, refused);
    for (int type = 0; type < RECORD_TYPE_SLOTS; type++)
        refused_count += refused[type];
    cr_expect_gt(refused[RECORD_FORK], 0);
    cr_expect_gt(refused[RECORD_EXIT], 0);
    for (size_t i = 0; i < o->lost_count; i++)
        for (int type = 0; type < RECORD_TYPE_SLOTS; type++)
            lost_count += o->losts[i].count[type];
    cr_expect_eq(lost_count, refused_count);
    cr_expect_eq(probe_made_count(o->probe), o->count + refused_count, "made %lu, drained %zu, refused %lu",
        (unsigned long)probe_made_count(o->probe), o->count, (unsigned long)refused_count);
    observe_end(o);
}

Test(output, every_gap_in_a_cpu_s_numbers_lies_in_a_lost_range)
{
    struct observer *o = observe_begin_small(4096);

    for (int round = 0; round < 5; round++) {
        fork_many(100);
        observe_drain(o);
    }
    cr_assert_gt(o->lost_count, 0);
    for (size_t i = 0; i < o->lost_count; i++) {
        const struct record_lost *lost = &o->losts[i];
        uint64_t total = 0, inside = 0;

        for (int type = 0; type < RECORD_TYPE_SLOTS; type++)
            total += lost->count[type];
        for (size_t j = 0; j < o->count; j++) {
            if (o->records[j]->cpu != lost->header.cpu)
                continue;
            cr_expect_neq(o->records[j]->seq, lost->first_seq);
            cr_expect_neq(o->records[j]->seq, lost->last_seq);
            inside += o->records[j]->seq > lost->first_seq && o->records[j]->seq < lost->last_seq;
        }
        cr_expect_eq(lost->last_seq - lost->first_seq + 1, total + inside);
    }
    observe_end(o);
}

Test(output, numbers_of_a_cpu_grow_by_one_when_nothing_is_refused)
{
    struct observer *o = observe_begin();
    int cpus = (int)sysconf(_SC_NPROCESSORS_CONF);

    fork_many(300);
    observe_drain(o);
    cr_expect_eq(o->lost_count, 0);
    for (int cpu = 0; cpu < cpus; cpu++) {
        uint64_t first = 0, last = 0, count = drained_of(o, (uint16_t)cpu, &first, &last);

        cr_expect(count == 0 || last - first + 1 == count, "CPU %d: %lu numbers, %lu records", cpu,
            (unsigned long)(last - first + 1), (unsigned long)count);
    }
    observe_end(o);
}

static int stop_after_three(const struct record_header *record, size_t size, void *arg)
{
    (void)record;
    (void)size;
    return ++*(int *)arg == 3 ? -EAGAIN : 0;
}

static int count_record(const struct record_header *record, size_t size, void *arg)
{
    (void)record;
    (void)size;
    ++*(int *)arg;
    return 0;
}

Test(output, a_drain_stops_at_its_budget_or_when_told_and_goes_on_from_there)
{
    struct observer *o = observe_begin();
    int count = 0, made;

    fork_many(20);
    cr_expect_eq(probe_drain(o->probe, count_record, &count, 5), 5);
    cr_expect_eq(count, 5);
    count = 0;
    cr_expect_eq(probe_drain(o->probe, stop_after_three, &count, 0), -EAGAIN);
    count = 0;
    cr_assert_geq(probe_drain(o->probe, count_record, &count, 0), 32);
    made = (int)probe_made_count(o->probe);
    cr_expect_geq(count + 8, 40);
    cr_expect_leq(count + 8, made);
    observe_end(o);
}

/* The ring is large enough that what else runs on the machine does not cross the quarter by itself. */
Test(output, wakes_once_when_a_quarter_is_full_and_again_after_a_drain)
{
    enum { RING = 256 * 1024 };
    struct observer *o = observe_begin_small(RING);

    for (int round = 0; round < 2; round++) {
        fork_many(10);
        cr_expect_not(is_readable(probe_fd(o->probe)), "records alone wake nobody");
        while (probe_used_bytes(o->probe) < RING / 4)
            fork_many(1);
        cr_expect(is_readable(probe_fd(o->probe)), "a quarter full");
        observe_drain(o);
        cr_expect_lt(probe_used_bytes(o->probe), RING / 4);
        fork_many(10);
        cr_expect_not(is_readable(probe_fd(o->probe)), "quiet after the drain, whatever has come since");
    }
    observe_end(o);
}

/* ---- output.bpf.h by itself ---------------------------------------------------------------------------- */

static struct output_test_bpf *load_output_test(void)
{
    struct output_test_bpf *skeleton;

    if (geteuid() != 0)
        cr_skip_test("needs root");
    skeleton = output_test_bpf__open();
    cr_assert_not_null(skeleton);
    skeleton->rodata->ring_bytes = RING_BYTES;
    cr_assert_eq(bpf_map__set_max_entries(skeleton->maps.ring, RING_BYTES), 0);
    cr_assert_eq(
        bpf_map__set_max_entries(skeleton->maps.cpu_states, (unsigned int)libbpf_num_possible_cpus()), 0);
    if (output_test_bpf__load(skeleton))
        cr_skip_test("needs BPF");
    return skeleton;
}

static bool emit(const struct bpf_program *program)
{
    LIBBPF_OPTS(bpf_test_run_opts, options);

    cr_assert_eq(bpf_prog_test_run_opts(bpf_program__fd(program), &options), 0);
    return options.retval == 1;
}

static uint64_t refused_of(struct output_test_bpf *skeleton, enum record_type type)
{
    uint64_t refused = 0;

    for (unsigned int cpu = 0; cpu < (unsigned int)libbpf_num_possible_cpus(); cpu++) {
        struct cpu_state state;

        cr_assert_eq(
            bpf_map__lookup_elem(skeleton->maps.cpu_states, &cpu, sizeof(cpu), &state, sizeof(state), 0), 0);
        refused += state.refused[type];
    }
    return refused;
}

Test(output, hook_records_leave_the_last_eighth_to_process_life)
{
    struct output_test_bpf *skeleton = load_output_test();
    size_t each = sizeof(struct record_cgroup) + 8; /* with the ring's own header */
    size_t hooks = 0, lives = 0;

    while (emit(skeleton->progs.emit_hook))
        hooks++;
    while (emit(skeleton->progs.emit_life))
        lives++;
    cr_expect_leq(hooks * each, RING_BYTES / 8 * 7);
    cr_expect_geq(hooks * each, RING_BYTES / 8 * 7 - 2 * each);
    cr_expect_geq((hooks + lives) * each, RING_BYTES - 2 * each);
    cr_expect_eq(refused_of(skeleton, RECORD_HOOK), 1);
    cr_expect_eq(refused_of(skeleton, RECORD_CGROUP_MKDIR), 1);
    output_test_bpf__destroy(skeleton);
}

Test(output, asks_for_exactly_one_wake_up_a_crossing)
{
    struct output_test_bpf *skeleton = load_output_test();
    size_t wakeups = 0;

    while (emit(skeleton->progs.emit_life))
        wakeups += skeleton->bss->last_flags == BPF_RB_FORCE_WAKEUP;
    cr_expect_eq(wakeups, 1);
    output_test_bpf__destroy(skeleton);
}
