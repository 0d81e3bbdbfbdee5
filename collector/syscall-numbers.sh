#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The system calls of the architecture that is built for, from the headers of its C library, as a table for policy_number.c.
# usage: syscall-numbers.sh COMPILER [ARGUMENT…]
set -eu
echo '/* SPDX-License-Identifier: Apache-2.0 */'
echo '/* Made by syscall-numbers.sh. */'
echo '#pragma once'
echo 'static const struct {'
echo '    const char *name;'
echo '    unsigned number;'
echo '} syscall_numbers[] = {'
echo '#include <sys/syscall.h>' | "$@" -E -dM -x c - | sed -n 's/^#define __NR_\([a-z0-9_]*\) \([0-9][0-9]*\)$/    {"\1", \2},/p' | sort
echo '};'
