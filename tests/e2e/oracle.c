/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/oracle.h"

#include <errno.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <oracle.skel.h>
#include "tests/e2e/node.h"
#include "tests/e2e/tap.h"

static struct oracle_bpf *oracle;

static int open_oracle(void)
{
    int r;

    if (oracle)
        return 0;
    oracle = oracle_bpf__open_and_load();
    if (!oracle)
        return -errno;
    r = oracle_bpf__attach(oracle);
    if (r == 0)
        (void)atexit(oracle_end);
    return r;
}

int oracle_watch(const struct test_container *container)
{
    struct oracle_counts zero = {0};
    int r = open_oracle();

    if (r < 0)
        return r;
    return bpf_map_update_elem(bpf_map__fd(oracle->maps.counts), &container->cgroup_id, &zero, BPF_ANY) < 0
               ? -errno
               : 0;
}

struct oracle_counts oracle_read(const struct test_container *container)
{
    struct oracle_counts counts = {0};

    (void)bpf_map_lookup_elem(bpf_map__fd(oracle->maps.counts), &container->cgroup_id, &counts);
    return counts;
}

uint64_t oracle_total(const struct test_container *container)
{
    struct oracle_counts counts = oracle_read(container);

    return counts.forks + counts.execs + counts.exits;
}

void oracle_end(void)
{
    oracle_bpf__destroy(oracle);
    oracle = NULL;
}

bool oracle_expect_equal(struct events *events, const struct test_container *container, unsigned timeout_ms)
{
    struct oracle_counts counts = oracle_read(container);
    bool came = events_wait(events, container, oracle_total(container), timeout_ms);

    if (!came)
        tap_note("waited %u ms for all events of %.12s", timeout_ms, container->id);
    node_sleep_ms(50);
    events_read(events);
    came = tap_expect_equal(events_count(events, container, EVENT_FORK), counts.forks, "forks in the output");
    came &=
        tap_expect_equal(events_count(events, container, EVENT_EXEC), counts.execs, "execs in the output");
    came &=
        tap_expect_equal(events_count(events, container, EVENT_EXIT), counts.exits, "exits in the output");
    return came;
}
