/* SPDX-License-Identifier: Apache-2.0 */
/* The first process of a container: starts two others, then stays until it is killed. Static, so that its root needs nothing else. */
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    for (int i = 0; i < 2; i++) {
        if (fork() == 0) {
            (void)execl("/bin/e2e-true", "e2e-true", (char *)NULL);
            _exit(127);
        }
        (void)wait(NULL);
    }
    for (;;)
        (void)pause();
}
