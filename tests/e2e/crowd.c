/* SPDX-License-Identifier: Apache-2.0 */
/* crowd COUNT: as many live processes that do nothing, until standard input ends. Prints how many it could make. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    long wanted = argc == 2 ? strtol(argv[1], NULL, 10) : 0, made = 0;
    pid_t *pids = calloc(wanted > 0 ? (size_t)wanted : 1, sizeof(*pids)), parent = getpid();
    char byte;

    if (!pids || wanted <= 0) {
        (void)fprintf(stderr, "usage: crowd COUNT\n");
        return 2;
    }
    for (; made < wanted; made++) {
        pids[made] = fork();
        if (pids[made] < 0)
            break;
        if (pids[made] == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (getppid() == parent)
                (void)pause();
            _exit(0);
        }
    }
    (void)printf("%ld\n", made);
    (void)fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    for (long i = 0; i < made; i++)
        (void)kill(pids[i], SIGKILL);
    while (wait(NULL) > 0)
        ;
    free(pids);
    return 0;
}
