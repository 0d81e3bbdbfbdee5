/* SPDX-License-Identifier: Apache-2.0 */
/* vm-file-reads FILE: counts reads of FILE that the kernel asks permission for, by cgroup. Prints "ready", waits for SIGTERM, prints a line for each cgroup: ID COUNT. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <file_reads.skel.h>

static void print_counts(int map)
{
    __u64 id = 0, count;

    for (int r = bpf_map_get_next_key(map, NULL, &id); r == 0; r = bpf_map_get_next_key(map, &id, &id)) {
        if (bpf_map_lookup_elem(map, &id, &count) == 0)
            printf("%llu %llu\n", id, count);
    }
}

int main(int argc, char **argv)
{
    struct file_reads_bpf *oracle = file_reads_bpf__open();
    struct stat status;
    sigset_t set;
    int number;

    if (argc != 2 || stat(argv[1], &status) < 0) {
        (void)fprintf(stderr, "vm-file-reads: expected a file that is there\n");
        return 2;
    }
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    if (oracle) {
        oracle->rodata->wanted_ino = status.st_ino;
        oracle->rodata->wanted_dev = major(status.st_dev) << 20 | minor(status.st_dev);
    }
    if (!oracle || file_reads_bpf__load(oracle) < 0 || file_reads_bpf__attach(oracle) < 0) {
        (void)fprintf(stderr, "vm-file-reads: %s\n", strerror(errno));
        file_reads_bpf__destroy(oracle);
        return EXIT_FAILURE;
    }
    puts("ready");
    (void)fflush(stdout);
    (void)sigwait(&set, &number);
    print_counts(bpf_map__fd(oracle->maps.counts));
    file_reads_bpf__destroy(oracle);
    return EXIT_SUCCESS;
}
