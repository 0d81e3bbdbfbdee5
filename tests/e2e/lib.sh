# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034 # names for those that source this
# What the tests in shell share: where the programs are, what must be there, lines of TAP, waiting.
build=${PODKIN_BUILD_ROOT:-build}
collector=$build/collector/podkin-collector enricher=$build/enricher/podkin-enricher cli=$build/enricher/podkin load=$build/tests/load/podkin-load
number=0

# skip_all WHY: ends the test.
skip_all() {
    echo "1..0 # SKIP $1"
    exit 0
}

# needs PROGRAM…: those built, root, and a kernel with BTF.
needs() {
    for program in "$@"; do
        [ -x "$program" ] || skip_all "$program is not built"
    done
    [ "$(id -u)" = 0 ] || skip_all 'needs root'
    [ -r /sys/kernel/btf/vmlinux ] || skip_all 'needs a kernel with BTF'
}

# told RESULT NAME [WHY]: one line of TAP; RESULT 0 is fine.
told() {
    number=$((number + 1))
    [ "$1" = 0 ] && echo "ok $number - $2" && return
    [ -z "${3-}" ] || printf '%s\n' "$3" | head -n 40 | cut -c1-500 | sed 's/^/# /'
    echo "not ok $number - $2"
}

# skipped NAME WHY
skipped() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

# until_true COMMAND…: within thirty seconds.
until_true() {
    for _ in $(seq 300); do
        "$@" && return 0
        sleep 0.1
    done
    return 1
}

# kill_all PID…: at once.
kill_all() {
    for pid in "$@"; do
        kill -9 "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
}
