/* SPDX-License-Identifier: Apache-2.0 */
/* /pause of the sandbox's image: the first process of the Pod's pid namespace; waits, reaps, ends when it is told to. */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

int main(void)
{
    sigset_t set;
    int number;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    while (sigwait(&set, &number) == 0 && number == SIGCHLD) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
    return 0;
}
