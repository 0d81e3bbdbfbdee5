#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a node does to a daemon: no descriptors, no memory, a clock that is set, very many processes and cgroups, files that others rotate. Real daemons
# and events. Each case expects its line in the log, every execution in the output, and at its end the books balanced, by podkin status itself.
# shellcheck disable=SC2119,SC2120 # functions that take options, called with none
set -u
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
needs "$collector" "$enricher" "$cli"
hierarchy=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$hierarchy" ] || skip_all 'no cgroup2 hierarchy is mounted'
dir=$(mktemp -d)
tree=$hierarchy/podkin-failures-$$
memory=
collector_pid='' enricher_pid='' crowd_pid='' viewer_pid=''
end() {
    exec 9>&- 2>/dev/null
    # shellcheck disable=SC2086 # process ids
    kill_all $viewer_pid $crowd_pid $enricher_pid $collector_pid
    [ ! -d "$tree" ] || find "$tree" -depth -type d -exec rmdir {} +
    [ -z "$memory" ] || rmdir "$memory"
    rm -rf "$dir"
}
trap end EXIT
trap 'exit 1' HUP INT TERM

# start_collector [OPTION…]
# shellcheck disable=SC2120 # most give none
start_collector() {
    "$collector" --peer-user root --cgroup-root "$hierarchy" --socket "$dir/c.sock" "$@" 2>"$dir/collector" 9>&- &
    collector_pid=$!
    until_true grep -q ready "$dir/collector"
}

# start_enricher: in the background, its messages in $dir/enricher.
start_enricher() {
    : >"$dir/enricher"
    "$enricher" --socket "$dir/c.sock" --events-socket "$dir/e.sock" --node-name n --output "$dir/log" 2>"$dir/enricher" 9>&- &
    enricher_pid=$!
    until_true grep -q attached "$dir/enricher"
}

# stop PID: asks and waits.
stop() {
    kill "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

# work FROM COUNT: executions whose argument is their number.
work() {
    seq "$1" $(($1 + $2 - 1)) | while read -r i; do /bin/true "podkin-failure-$i"; done
}

# missing FROM COUNT FILE…: how many of the executions are not in the files.
missing() {
    from=$1 count=$2
    shift 2
    cat "$@" | grep process_exec | grep -o 'podkin-failure-[0-9]*' | grep -o '[0-9]*' | sort -un |
        awk -v from="$from" -v count="$count" '$1 >= from && $1 < from + count { have++ } END { print count - have }'
}
all_there() { [ "$(missing "$@")" = 0 ]; }

# balanced: the line of podkin status that says so; nothing is on its way for longer than a moment.
balanced_now() {
    timeout 10 "$cli" status --events-socket "$dir/e.sock" 2>&1 | head -n 1 >"$dir/balance"
    grep -q '^books balance: ' "$dir/balance"
}
balanced() {
    until_true balanced_now
    told $? "$1: the books balance" "$(cat "$dir/balance")"
    echo "# $(cat "$dir/balance")"
}
# value SECTION KEY: of the status.
value() { timeout 10 "$cli" status --events-socket "$dir/e.sock" -o json | jq -r ".$1.$2"; }
rss_kib() { awk '/VmRSS/ { print $2 }' "/proc/$1/status"; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }

start_collector
start_enricher

# 1: the file is removed, and nobody says so
work 1000 50
until_true all_there 1000 50 "$dir/log"
rm "$dir/log"
until_true grep -q "output '$dir/log': the file was removed; a new one is made" "$dir/enricher"
told $? 'a file that was removed is said' "$(cat "$dir/enricher")"
until_true test -e "$dir/log"
work 1100 50
until_true all_there 1100 50 "$dir/log"
told $? 'and what follows is in a new one' "$(missing 1100 50 "$dir/log") missing"
balanced 'file removed'

# 2: copytruncate: the file is copied, then cut to nothing, while it is open
cp "$dir/log" "$dir/log.1"
: >"$dir/log"
work 1200 50
until_true all_there 1200 50 "$dir/log"
told $? 'a file that was cut goes on at its beginning' "$(missing 1200 50 "$dir/log") missing"
! grep -qv '^{.*}$' "$dir/log"
told $? 'no line is torn and no hole is left'
balanced 'copytruncate'

# 3: no descriptor is left in the enricher
prlimit --pid "$enricher_pid" --nofile=3:
timeout 60 "$cli" events --events-socket "$dir/e.sock" -o json >"$dir/viewer" 2>&1 &
viewer_pid=$!
until_true grep -q "events-socket '$dir/e.sock': Too many open files: viewers wait" "$dir/enricher"
told $? 'a viewer without a descriptor is said' "$(cat "$dir/enricher")"
work 2000 100
until_true all_there 2000 100 "$dir/log"
told $? 'the stream goes on without'
prlimit --pid "$enricher_pid" --nofile=1024:
until_true grep -q "viewers are taken again" "$dir/enricher"
told $? 'its end is said' "$(cat "$dir/enricher")"
work 2200 20
until_true all_there 2200 20 "$dir/viewer"
told $? 'and the viewer that waited gets its lines'
stop $viewer_pid
viewer_pid=
balanced 'no descriptors in the enricher'

# 4: no descriptor is left in the collector
prlimit --pid "$collector_pid" --nofile=5: # ppoll(2) takes no fewer
kill -9 "$enricher_pid"
wait "$enricher_pid" 2>/dev/null
work 2300 100
: >"$dir/enricher"
"$enricher" --socket "$dir/c.sock" --events-socket "$dir/e.sock" --node-name n --output "$dir/log" 2>"$dir/enricher" &
enricher_pid=$!
until_true grep -q 'Too many open files' "$dir/collector"
told $? 'a consumer that cannot be served is said, with the reason' "$(cat "$dir/collector")"
work 2400 100
prlimit --pid "$collector_pid" --nofile=1024:
until_true grep -q attached "$dir/enricher" && until_true all_there 2300 200 "$dir/log"
told $? 'it comes again, and nothing is missing' "$(cat "$dir/enricher"; missing 2300 200 "$dir/log")"
balanced 'no descriptors in the collector'
reread=$(value sequence read_again)
[ "$(value sequence whole)" = true ]
told $? "the numbers are those of all enrichers so far ($reread records read again)"

# 5: no memory: allocations fail, first a few, then all
large=$(head -c 7000 /dev/zero | tr '\0' x)
# crowd_large FROM COUNT: live processes with long arguments, which the enricher keeps.
crowd_large() {
    seq "$1" $(($1 + $2 - 1)) | while read -r i; do sleep 20 & echo $! >&3; /bin/true "podkin-failure-$i" "$large" "$i"; done 3>>"$dir/sleepers"
}
size=$(awk '/VmSize/ { print $2 * 1024 }' "/proc/$enricher_pid/status")
prlimit --pid "$enricher_pid" --as=$((size + 65536)):
crowd_large 3000 800
sleep 2
kill -0 "$enricher_pid" 2>/dev/null
told $? 'without memory the enricher lives' "$(tail -n 3 "$dir/enricher")"
prlimit --pid "$enricher_pid" --as=unlimited:
work 3900 50
until_true all_there 3900 50 "$dir/log"
told $? 'and is whole when there is some again' "$(missing 3900 50 "$dir/log") missing"
balanced 'allocations fail'
dropped=$(value counters dropped_no_memory)
[ "$(missing 3000 800 "$dir/log")" -le "$dropped" ]
told $? "what did not come out is counted (dropped_no_memory: $dropped)" "$(missing 3000 800 "$dir/log") missing"
xargs kill <"$dir/sleepers" 2>/dev/null
rm -f "$dir/sleepers"

# 6: the memory cgroup's limit: the kernel ends the enricher, the next one goes on
for root in /sys/fs/cgroup/memory "$hierarchy"; do
    [ -z "$memory" ] || continue
    mkdir "$root/podkin-memory-$$" 2>/dev/null || continue
    for limit in memory.limit_in_bytes memory.max; do
        [ ! -e "$root/podkin-memory-$$/$limit" ] || memory=$root/podkin-memory-$$
        [ -z "$memory" ] || break
    done
    [ -n "$memory" ] || rmdir "$root/podkin-memory-$$"
done
if [ -n "$memory" ]; then
    echo "$enricher_pid" >"$memory/cgroup.procs"
    echo $((3 << 20)) >"$memory/$limit"
    crowd_large 4000 1200
    wait "$enricher_pid" 2>/dev/null
    [ $? = 137 ]
    told $? 'over the limit of its memory cgroup the enricher is ended by the kernel'
    work 5300 50
    start_enricher
    until_true all_there 4000 1200 "$dir/log" && until_true all_there 5300 50 "$dir/log"
    told $? 'and the next one has all that it had not written' "$(missing 4000 1200 "$dir/log") and $(missing 5300 50 "$dir/log") missing"
    balanced 'memory limit'
    xargs kill <"$dir/sleepers" 2>/dev/null
else
    skipped 'memory limit' 'no memory controller'
fi

# 7: the wall clock is set, an hour both ways
if [ -e "$build/tests/e2e/libclock_step.so" ] && ! ldd "$enricher" | grep -q asan; then
    # step SECONDS: from now on.
    step() { perl -e 'print pack "q", shift' -- "$1" | dd of="$dir/clock" conv=notrunc 2>/dev/null; }
    # hour_of NUMBER: what the line says, in seconds off the real time, by half hours.
    hour_of() {
        line=$(grep process_exec "$dir/log" | grep "podkin-failure-$1\"" | jq -r .time | sed 's/\..*Z/Z/')
        echo $((($(date -d "$line" +%s) - $(date +%s) + 90000 + 1800) / 3600 - 25))
    }
    step 0
    stop "$enricher_pid"
    LD_PRELOAD=$build/tests/e2e/libclock_step.so PODKIN_TEST_CLOCK=$dir/clock start_enricher
    for offset in 0 1 0 -1 0; do
        base=$((6000 + number * 10))
        step $((offset * 3600))
        sleep 2.2 # the offset is looked at every second
        work $base 5
        until_true all_there $base 5 "$dir/log"
        [ "$(hour_of $base)" = $offset ]
        told $? "the clock set by $offset h: lines have the new time, none is missing" "$(hour_of $base) h off, $(missing $base 5 "$dir/log") missing"
    done
    balanced 'clock set'
else
    skipped 'clock set' 'not with this build'
fi
stop "$enricher_pid"
stop "$collector_pid"

# 8: very many processes
pid_max=$(cat /proc/sys/kernel/pid_max) most=100000
[ $((pid_max - 8000)) -ge $most ] || most=$((pid_max - 8000))
[ "$(awk '/MemAvailable/ { print int($2 / 60) }' /proc/meminfo)" -ge $most ] || most=$(awk '/MemAvailable/ { print int($2 / 60) }' /proc/meminfo)
mkfifo "$dir/hold"
"$build/tests/e2e/e2e-crowd" "$most" <"$dir/hold" >"$dir/crowd" &
crowd_pid=$!
exec 9>"$dir/hold"
until_true test -s "$dir/crowd"
living=$(cat "$dir/crowd")
rm "$dir/log"
begin=$(now_ms)
start_collector
ready=$(now_ms)
start_enricher
attached=$(now_ms)
known=$(value tables processes)
[ "$known" -ge "$living" ]
told $? "$living live processes: in the snapshot, known to the enricher" "$known known"
echo "# $living processes: collector ready in $((ready - begin)) ms, enricher attached in $((attached - ready)) ms, enricher $(rss_kib "$enricher_pid") KiB, collector $(rss_kib "$collector_pid") KiB"
work 7000 50
exec 9>&-
wait "$crowd_pid"
crowd_pid=
exits() { [ "$(value books emitted_by_type.exit)" -ge "$living" ]; }
until_true exits && all_there 7000 50 "$dir"/log*
told $? 'each of them leaves its exit' "$(value books emitted_by_type.exit) exits"
balanced 'many processes'
stop "$enricher_pid"
stop "$collector_pid"

# 9: very many cgroups
mkdir "$tree"
for i in $(seq 200); do
    mkdir "$tree/$i"
    (cd "$tree/$i" && seq 99 | xargs mkdir)
done
begin=$(now_ms)
start_collector
ready=$(now_ms)
start_enricher
attached=$(now_ms)
known=$(value tables cgroups)
[ "$known" -ge 20001 ] && [ "$(value tables cgroups_refused)" = 0 ]
told $? '20,000 cgroups: in the snapshot, known to the enricher' "$known known"
echo "# 20,001 cgroups: collector ready in $((ready - begin)) ms, enricher attached in $((attached - ready)) ms, enricher $(rss_kib "$enricher_pid") KiB"
work 8000 50
find "$tree" -depth -type d -exec rmdir {} +
until_true all_there 8000 50 "$dir/log"
told $? 'and their removal is taken' "$(missing 8000 50 "$dir/log") missing"
balanced 'many cgroups'
! grep -q 'lost":' "$dir/log"
told $? 'nothing was lost'
stop "$enricher_pid"
told $? 'SIGTERM: exit status 0'
enricher_pid=
stop "$collector_pid"

# 10: losses at both places: the enricher stands still with a small queue, then the collector too with a small ring
rm -f "$dir"/log*
start_collector --queue-size 256K --ring-size 256K
start_enricher
kill -STOP "$enricher_pid"
work 9000 900
kill -STOP "$collector_pid"
work 10000 1500
kill -CONT "$collector_pid"
sleep 1
kill -CONT "$enricher_pid"
work 12000 50
until_true all_there 12000 50 "$dir/log"
sleep 5 # what has no account would be said by now
balanced 'losses in ring and queue'
lost=$(value sequence told_lost) unexplained=$(value sequence unexplained)
[ "$lost" -gt 0 ] && [ "$unexplained" = 0 ]
told $? "each gap in the numbers is covered by what is reported lost ($lost)" "$unexplained unexplained"
for where in bpf_ring queue; do
    grep -q "\"where\":\"$where\"" "$dir/log"
    told $? "some were lost in the $where, and the stream says so"
done
[ "$(grep '^{"lost"' "$dir"/log | jq -s '[.[].lost.by_type | add] | add')" = "$lost" ]
told $? 'the lines about them have the same sum'
stop "$enricher_pid"
enricher_pid=
echo "1..$number"
