#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An enricher with several lanes on real events: each execution of a numbered program comes out once, whatever the number of lanes before and after a kill; the books balance for
# each lane; a viewer sees all; each thread is confined.
set -u
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
needs "$collector" "$enricher" "$cli"
dir=$(mktemp -d)
collector_pid='' enricher_pid='' viewer_pid=''
end() {
    # shellcheck disable=SC2086 # process ids
    kill_all $viewer_pid $enricher_pid $collector_pid
    rm -rf "$dir"
}
trap end EXIT

# start_enricher LANES: in the background, its messages in $dir/enricher.
start_enricher() {
    : >"$dir/enricher"
    "$enricher" --socket "$dir/c.sock" --events-socket "$dir/e.sock" --node-name n --output "$dir/log.json" --lanes "$1" \
        --output-rotate-size 0 2>>"$dir/enricher" &
    enricher_pid=$!
    until_true grep -q attached "$dir/enricher"
}

# work FROM COUNT: executions whose argument is their number.
work() {
    seq "$1" $(($1 + $2 - 1)) | while read -r i; do /bin/true "podkin-lanes-$i"; done
}

# missing FROM COUNT LEAST FILE…: how many of the executions are not in the files, LEAST: 1 or more often; or 0: exactly once.
missing() {
    from=$1 count=$2 often=$3
    shift 3
    cat "$@" | grep process_exec | grep -o '"args":\["podkin-lanes-[0-9]*"\]' | grep -o '[0-9]*' | sort -n | uniq -c |
        awk -v from="$from" -v count="$count" -v often="$often" '($1 == 1 || often) && $2 >= from && $2 < from + count { have++ } END { print count - have }'
}
all_there() { [ "$(missing "$@")" = 0 ]; }

status_says() { "$cli" status -o json --events-socket "$dir/e.sock" 2>/dev/null >"$dir/status" && grep -q "$1" "$dir/status"; }

"$collector" --peer-user root --socket "$dir/c.sock" 2>"$dir/collector" &
collector_pid=$!
until_true grep -q ready "$dir/collector"

# 1: two lanes
start_enricher 2
told $? 'an enricher with two lanes attaches' "$(cat "$dir/enricher")"
"$cli" events -o json --events-socket "$dir/e.sock" >"$dir/viewed" 2>/dev/null &
viewer_pid=$!
sleep 0.5
work 1000 300
until_true all_there 1000 300 0 "$dir"/log.lane?.json
told $? 'each execution is in the files of the lanes once' "$(missing 1000 300 0 "$dir"/log.lane?.json) missing"
grep -q podkin-lanes "$dir/log.lane0.json" && grep -q podkin-lanes "$dir/log.lane1.json"
told $? 'both lanes have some'
until_true all_there 1000 300 0 "$dir/viewed"
told $? 'a viewer sees those of both' "$(missing 1000 300 0 "$dir/viewed") missing"
kill $viewer_pid
wait $viewer_pid
viewer_pid=
status_says '"books":{[^}]*"balanced":true' && [ "$(grep -o '"balanced":true' "$dir/status" | wc -l)" -ge 3 ]
told $? 'the books balance, and for each lane' "$(cat "$dir/status")"

# 2: each thread is confined
threads() { find "/proc/$enricher_pid/task" -mindepth 1 -maxdepth 1 | wc -l; }
confined=0
for task in "/proc/$enricher_pid/task"/*; do
    grep -q '^NoNewPrivs:.1' "$task/status" && grep -q '^CapEff:.0*$' "$task/status" && confined=$((confined + 1))
done
[ "$confined" = "$(threads)" ] && [ "$confined" -ge 2 ]
told $? 'each thread has no capability and gains none' "$confined of $(threads)"
if grep -q '^Seccomp:.2' "/proc/$enricher_pid/status"; then
    [ "$(cat "/proc/$enricher_pid/task"/*/status | grep -c '^Seccomp:.2')" = "$confined" ]
    told $? 'each thread has the filter of system calls'
fi

# 3: killed, and another number of lanes
work 2000 200 &
work_pid=$!
sleep 0.2
kill -9 $enricher_pid
wait $enricher_pid 2>/dev/null
start_enricher 3
wait $work_pid
until_true all_there 2000 200 1 "$dir"/log.lane?.json
told $? 'killed with two lanes, gone on with three: nothing is missing' "$(missing 2000 200 1 "$dir"/log.lane?.json) missing"
mv "$dir/log.lane2.json" "$dir/moved"
kill -HUP $enricher_pid
until_true test -e "$dir/log.lane2.json"
told $? 'SIGHUP reaches each lane'
kill $enricher_pid
wait $enricher_pid
told $? 'SIGTERM: exit status 0' "$(cat "$dir/enricher")"
start_enricher 1
work 3000 100
until_true all_there 3000 100 0 "$dir/log.json"
told $? 'and with one again, into the file by its own name' "$(missing 3000 100 0 "$dir/log.json") missing"
kill $enricher_pid
wait $enricher_pid
enricher_pid=
echo "1..$number"
