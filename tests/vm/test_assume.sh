# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# time-out: 900
# by default on: 6.1
# What podkin relies on the kernel for (tests/assume), with both kinds of hooks; and what the enricher's loop does, on io_uring and on epoll.
# shellcheck source=tests/vm/lib.sh
. "$PODKIN_SOURCE_ROOT/tests/vm/lib.sh"

# The kind of hooks changes the first three; snapshot and output have the same programs with both.
for program in process image cgroup; do
    for kind in tp_btf raw_tp; do
        export PODKIN_PROBE_KIND="$kind"
        tap "$program, $kind" "$build/tests/assume/assume-$program" --tap --jobs 1
    done
done
unset PODKIN_PROBE_KIND
for program in snapshot output; do
    tap "$program" "$build/tests/assume/assume-$program" --tap --jobs 1
done
for program in loop loop_uring; do
    tap "$program" "$build/tests/unit/unit-enricher-test_$program" --tap --jobs 1
done
done_testing
