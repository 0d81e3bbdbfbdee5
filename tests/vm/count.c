/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle for containers that a real runtime makes: counts births, execs and deaths of processes in every cgroup from the first moment on, as its id is only known
 * later. Prints "ready", waits for SIGTERM, prints a line for each cgroup: ID FORKS EXECS EXITS.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <oracle.skel.h>
#include "tests/e2e/oracle_counts.h"

static void print_counts(int map)
{
    struct oracle_counts counts;
    __u64 id = 0;

    for (int r = bpf_map_get_next_key(map, NULL, &id); r == 0; r = bpf_map_get_next_key(map, &id, &id)) {
        if (bpf_map_lookup_elem(map, &id, &counts) == 0)
            printf("%llu %llu %llu %llu\n", id, counts.forks, counts.execs, counts.exits);
    }
}

int main(void)
{
    struct oracle_bpf *oracle = oracle_bpf__open();
    sigset_t set;
    int number;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    if (oracle)
        oracle->rodata->every_cgroup = true;
    if (!oracle || oracle_bpf__load(oracle) < 0 || oracle_bpf__attach(oracle) < 0) {
        (void)fprintf(stderr, "vm-count: %s\n", strerror(errno));
        oracle_bpf__destroy(oracle);
        return EXIT_FAILURE;
    }
    puts("ready");
    (void)fflush(stdout);
    (void)sigwait(&set, &number);
    print_counts(bpf_map__fd(oracle->maps.counts));
    oracle_bpf__destroy(oracle);
    return EXIT_SUCCESS;
}
