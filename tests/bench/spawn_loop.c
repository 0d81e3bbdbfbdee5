/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a program COUNT times, one after the other, and waits for it: a workload of which each event is known. Prints the µs that one took: CPU time of this process
 * and the programs, and by the clock.
 * usage: spawn_loop COUNT PROGRAM [ARGUMENT…]
 */
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

static double cpu_us(int whose)
{
    struct rusage usage;

    (void)getrusage(whose, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
    uint64_t start_ns = clock_boot_ns();
    double count_us;

    if (count == 0) {
        (void)fprintf(stderr, "usage: spawn_loop COUNT PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    for (unsigned long i = 0; i < count; i++) {
        int status, r;
        pid_t pid;

        r = posix_spawn(&pid, argv[2], NULL, NULL, argv + 2, environ);
        if (r != 0 || waitpid(pid, &status, 0) != pid) {
            (void)fprintf(stderr, "spawn_loop: %s cannot be started\n", argv[2]);
            return 1;
        }
    }
    count_us = (double)count;
    (void)printf("cpu_us %.2f clock_us %.2f\n", (cpu_us(RUSAGE_SELF) + cpu_us(RUSAGE_CHILDREN)) / count_us,
        (double)(clock_boot_ns() - start_ns) / 1e3 / count_us);
    return 0;
}
