/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/oracle.h"

#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <oracle.skel.h>
#include "tests/e2e/node.h"
#include "tests/e2e/tap.h"

static struct oracle_bpf *oracle;

static char counted[16]; /* the hierarchy */

/* In the running kernel's enum cgroup_subsys_id; -1: v2, or not known. */
static int controller_number(const char *hierarchy)
{
    struct btf *btf = btf__load_vmlinux_btf();
    const struct btf_type *type = NULL;
    int number = -1, id;
    char name[64];

    id = btf ? btf__find_by_name_kind(btf, "cgroup_subsys_id", BTF_KIND_ENUM) : -1;
    if (id > 0)
        type = btf__type_by_id(btf, (__u32)id);
    (void)snprintf(name, sizeof(name), "%s_cgrp_id", hierarchy);
    for (unsigned i = 0; type && i < btf_vlen(type); i++) {
        if (strcmp(btf__name_by_offset(btf, btf_enum(type)[i].name_off), name) == 0)
            number = btf_enum(type)[i].val;
    }
    btf__free(btf);
    return number;
}

static int open_oracle(void)
{
    static bool registered;
    int r;

    if (oracle && strcmp(counted, test_cgroup_hierarchy()) == 0)
        return 0;
    oracle_end();
    oracle = oracle_bpf__open();
    if (!oracle)
        return -errno;
    (void)snprintf(counted, sizeof(counted), "%s", test_cgroup_hierarchy());
    oracle->rodata->v1_controller = controller_number(counted);
    r = oracle_bpf__load(oracle);
    if (r == 0)
        r = oracle_bpf__attach(oracle);
    if (!registered)
        (void)atexit(oracle_end);
    registered = true;
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
