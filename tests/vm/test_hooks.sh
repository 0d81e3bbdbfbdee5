# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# time-out: 900
# Policy hooks on each kernel: the verifier takes every program, and what the tests of tests/assume/test_hook*.c say holds, kprobe, fentry and LSM included.
# shellcheck source=tests/vm/lib.sh
. "$PODKIN_SOURCE_ROOT/tests/vm/lib.sh"

for program in "$build"/tests/assume/assume-hook*; do
    [ -f "$program" ] || continue
    tap "${program##*/assume-}" "$program" --tap --jobs 1
done
done_testing
