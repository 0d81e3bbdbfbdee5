# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# time-out: 900
# by default on: none
# What a policy adds to a call, by fentry, kprobe, LSM and tracepoints: notes, not judged; under emulation only their ratios say something.
# shellcheck source=tests/vm/lib.sh
. "$PODKIN_SOURCE_ROOT/tests/vm/lib.sh"

check 'the cost of hooked calls was measured' sh -c "'$build/tests/bench/bench-hook_cost' 3 20000 >'$results/cost.txt'"
note "$(cat "$results/cost.txt")"
done_testing
