#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A recording of real events, and what becomes of it: played to an enricher, every program of a container comes out, with the Pod that its cgroup names;
# the end of a file, a full disk, a size that is reached.
set -u
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
needs "$collector" "$load"
cgroups=$(awk '$9 == "cgroup2" || $10 == "cgroup2" { print $5; exit }' /proc/self/mountinfo)
[ -w "$cgroups" ] || skip_all 'needs cgroup v2'
dir=$(mktemp -d)
top=$cgroups/podkin-record.$$
group=$top/kubepods.slice/kubepods-pod11111111_2222_3333_4444_555555555555.slice/cri-containerd-$(printf '%064d' 7).scope
pid=''
end() {
    [ -z "$pid" ] || { kill -9 "$pid" && wait "$pid"; } 2>/dev/null
    while [ "$group" != "$cgroups" ]; do
        rmdir "$group" 2>/dev/null
        group=${group%/*}
    done
    rm -rf "$dir"
}
trap end EXIT

# start FILE [OPTION…]: a collector that records, without anybody attached.
start() {
    file=$1
    shift
    "$collector" --config /dev/null --peer-user root --socket "$dir/collector.sock" --cgroup-hierarchy v2 --record "$file" "$@" 2>"$dir/log" &
    pid=$!
    until_true grep -q ready: "$dir/log"
}

stop() {
    kill "-$1" "$pid"
    wait "$pid" 2>/dev/null
    pid=''
}

mkdir -p "$group"
start "$dir/recording"
told $? 'a collector records without anybody attached' "$(cat "$dir/log")"
# shellcheck disable=SC2016 # the inner shell's
sh -c 'echo $$ >"$1/cgroup.procs"; i=0; while [ $i -lt 20 ]; do /bin/true $i of-the-recording; i=$((i + 1)); done; exec /bin/true last' sh "$group"
sleep 1.2
stop TERM
[ "$(stat -c %a "$dir/recording")" = 600 ]
told $? 'nobody but its owner may read the recording'
timeout 60 "$load" replay "$dir/recording" --folder "$dir/run" --fail-without-pod 0 >"$dir/out" 2>&1
told $? 'it is played to an enricher, nothing is lost' "$(cat "$dir/out")"
own='^{"process_exec":{"process":{[^{}]*"arguments":"[0-9]* of-the-recording"[^{}]*"pod":{"namespace":"replay"'
[ "$(grep -c "$own" "$dir/run/events.log")" = 20 ]
told $? 'each program of the container comes out, with the Pod that its cgroup names' "$(grep -c '^' "$dir/run/events.log")"
timeout 60 "$load" replay "$dir/recording" --replay-speed max --fail-without-pod 0 >"$dir/out" 2>&1
told $? 'as fast as it is taken' "$(cat "$dir/out")"
head -c "$(($(stat -c %s "$dir/recording") - 9))" "$dir/recording" >"$dir/torn"
timeout 60 "$load" replay "$dir/torn" --replay-speed max >"$dir/out" 2>&1 && grep -q 'bytes of one that is not whole' "$dir/out"
told $? 'a recording that ends within a record is played up to there' "$(cat "$dir/out")"
timeout 60 "$load" replay "$load" >"$dir/out" 2>&1
[ $? = 1 ] && [ "$(wc -l <"$dir/out")" = 1 ] && grep -q 'no recording' "$dir/out"
told $? 'what is no recording is said in one line' "$(cat "$dir/out")"

start /dev/full
[ "$(grep -c 'the recording ends: No space left' "$dir/log")" = 1 ] && kill -0 "$pid"
told $? 'a full disk ends the recording, in one line, and nothing else' "$(cat "$dir/log")"
stop TERM

start "$dir/small" --record-max-bytes 1M
for _ in $(seq 60); do
    seq 100 | xargs -n 1 /bin/true
    grep -q 'the recording ends: --record-max-bytes' "$dir/log" && break
done
[ "$(grep -c 'the recording ends' "$dir/log")" = 1 ] && [ "$(stat -c %s "$dir/small")" -le 1048576 ] && kill -0 "$pid"
told $? 'the recording ends at its size, in one line, and nothing else' "$(cat "$dir/log")"
stop KILL
timeout 60 "$load" replay "$dir/small" --replay-speed max >"$dir/out" 2>&1
told $? 'and is whole' "$(cat "$dir/out")"

"$collector" --config /dev/null --peer-user root --socket "$dir/collector.sock" --record "$dir/nowhere/file" >"$dir/out" 2>&1
[ $? = 1 ] && grep -q 'nowhere/file: No such file' "$dir/out"
told $? 'a file that cannot be made is said, and the collector does not start' "$(cat "$dir/out")"
echo "1..$number"
