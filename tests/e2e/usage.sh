#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Bad options and configuration: exit status 2, one line on stderr that names what is wrong, nothing started. Good ones: --check says nothing bad and stops.
set -u
build=${PODKIN_BUILD_ROOT:-build}
collector=$build/collector/podkin-collector enricher=$build/enricher/podkin-enricher cli=$build/enricher/podkin
for program in "$collector" "$enricher" "$cli"; do
    [ -x "$program" ] || { echo "1..0 # SKIP $program is not built" && exit 0; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
number=0

# expect STATUS WORD NAME COMMAND…: that exit status; on 2 one line on stderr that contains WORD.
expect() {
    wanted=$1 word=$2 name=$3
    shift 3
    number=$((number + 1))
    timeout 20 "$@" >"$dir/out" 2>"$dir/err" </dev/null
    status=$?
    bad=
    [ "$status" = "$wanted" ] || bad="exit status $status, expected $wanted"
    if [ "$wanted" = 2 ]; then
        lines=$(wc -l <"$dir/err")
        [ "$lines" = 1 ] || bad="$bad; $lines lines on stderr, expected one"
        grep -qF -- "$word" "$dir/err" || bad="$bad; stderr does not name '$word'"
    elif [ -n "$word" ]; then
        grep -qF -- "$word" "$dir/out" || bad="$bad; stdout does not contain '$word'"
    fi
    if [ -z "$bad" ]; then
        echo "ok $number - $name"
    else
        echo "# $bad"
        sed 's/^/# | /' "$dir/err"
        echo "not ok $number - $name"
    fi
}

file() {
    printf '%s\n' "$2" >"$dir/$1"
    echo "$dir/$1"
}

expect 2 --bogus 'collector: an unknown option' "$collector" --bogus
expect 2 --queue-size 'collector: a size that is none' "$collector" --queue-size many
expect 2 no-such-user 'collector: an unknown user' "$collector" --peer-user no-such-user
expect 2 word 'collector: a word that is no option' "$collector" word
expect 2 c1:2: 'collector: an unknown key, by file and line' "$collector" --config "$(file c1 '# comment
colour = red')"
expect 2 c2:1: 'collector: a line without =' "$collector" --config "$(file c2 'ring-size')"
expect 2 c3:1: 'collector: a bad value, by file and line' "$collector" --config "$(file c3 'ring-size = big')"
expect 2 missing 'collector: a configuration that is not there' "$collector" --config "$dir/missing"
expect 2 --socket 'collector: a path too long for a socket' "$collector" --peer-user nobody --socket "/run/$(printf '%0120d' 0)"
expect 0 --peer-user 'collector: --help' "$collector" --help
expect 0 '' 'collector: --check' "$collector" --check --socket "$dir/c.sock" --peer-user nobody

expect 2 --bogus 'enricher: an unknown option' "$enricher" --bogus
expect 2 --hold-timeout 'enricher: a duration without unit' "$enricher" --hold-timeout 30
expect 2 --loop 'enricher: a loop that is none' "$enricher" --loop fast
expect 2 carrier 'enricher: an unknown kind of source' "$enricher" --source carrier:pigeon
expect 2 kubelet: 'enricher: a source without a place' "$enricher" --source kubelet:
expect 2 --export-own-events 'enricher: neither on nor off' "$enricher" --export-own-events perhaps
expect 2 events-socket 'enricher: a path too long for a socket' "$enricher" --check --events-socket "/run/$(printf '%0120d' 0)"
expect 2 e1:3: 'enricher: a bad value, by file and line' "$enricher" --config "$(file e1 'hold-timeout = 20s

hold-max-events = -1')"
expect 2 e2:1: 'enricher: an unknown key, by file and line' "$enricher" --config "$(file e2 'podcasts = on')"
mkdir "$dir/e3.d"
expect 2 bad.conf:1: 'enricher: a bad drop-in, by file and line' "$enricher" --config "$(file e3 '# nothing' && file e3.d/bad.conf 'loop = slow' >/dev/null)"
expect 0 --hold-timeout 'enricher: --help' "$enricher" --help
expect 0 '' 'enricher: --check' "$enricher" --check --source "file:$(file pods '{"kind":"PodList","items":[]}')" --config "$(file e4 'hold-timeout = 20s')"

expect 2 bogus 'podkin: an unknown command' "$cli" bogus
expect 2 --bogus 'podkin events: an unknown option' "$cli" events --bogus
expect 1 '' 'podkin events: nobody on the socket' "$cli" events --no-reconnect --events-socket "$dir/nobody.sock"
expect 1 '' 'podkin events: a file that is not there' "$cli" events "$dir/missing"
expect 0 '' 'podkin events: an empty file' "$cli" events "$(file empty '')"
expect 0 "2c48913c-b29f-11e7-9350-020968147796	9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961	container" \
    'podkin explain --cgroup-path' "$cli" explain --cgroup-path \
    /kubepods/pod2c48913c-b29f-11e7-9350-020968147796/9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961
policy='apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: enter}
spec:
  tracepoints:
  - {subsystem: raw_syscalls, event: sys_enter, raw: true, args: [{index: 1, type: syscall64}]}'
expect 0 'enter: OK' 'podkin policy check: a good policy' "$cli" policy check "$(file good.yaml "$policy")"
expect 0 raw_syscalls/sys_enter 'and what it would hook' "$cli" policy check "$(file good.yaml "$policy")"
expect 1 bad.yaml:5:3: 'podkin policy check: a fault, by file, line and column' "$cli" policy check "$(file bad.yaml "$(echo "$policy" | sed s/tracepoints/tracepaints/)")"
expect 0 'FILE|DIR' 'podkin policy check --help' "$cli" policy check --help
expect 0 'FILE|DIR' 'podkin policy check FILE -h' "$cli" policy check "$dir/good.yaml" -h
expect 2 policy 'podkin policy check: no file' "$cli" policy check
expect 0 events 'podkin --help' "$cli" --help
echo "1..$number"
