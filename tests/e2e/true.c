/* SPDX-License-Identifier: Apache-2.0 */
/* true(1) that is as short-lived as a process can be. An argument: the exit status. */
#include <stdlib.h>

int main(int argc, char **argv)
{
    return argc > 1 ? atoi(argv[1]) : 0;
}
