#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Normalised lines with real events: two enrichers read the same recording, one for each format; and one writes into small files that are turned, moved aside, appended to after a kill
# and watched: what each file expands to by itself has every execution of a numbered program.
set -u
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
needs "$collector" "$enricher" "$cli" "$load"
dir=$(mktemp -d)
collector_pid='' enricher_pid='' viewer_pid=''
end() {
    # shellcheck disable=SC2086 # process ids
    kill_all $viewer_pid $enricher_pid $collector_pid
    rm -rf "$dir"
}
trap end EXIT

start_enricher() {
    : >"$dir/enricher"
    "$enricher" --config /dev/null --socket "$dir/c.sock" --events-socket "$dir/e.sock" --node-name n --output "$dir/log" \
        --output-rotate-size 60K --output-rotate-keep 1000 --format normalised --compress "$compress" 2>>"$dir/enricher" &
    enricher_pid=$!
    until_true grep -q attached "$dir/enricher"
}

# work FROM COUNT: executions whose argument is their number.
work() {
    seq "$1" $(($1 + $2 - 1)) | while read -r i; do /bin/true "podkin-normalised-$i"; done
}

# count FROM COUNT FILE: how many of the executions are in full lines. Behind a kill some are there twice.
count() {
    grep process_exec "$3" | grep -o '"args":\["podkin-normalised-[0-9]*"\]' | grep -o '[0-9]*' | sort -n | uniq -c |
        awk -v from="$1" -v count="$2" '$2 >= from && $2 < from + count { have++ } END { print have + 0 }'
}

# files: all that were written, the oldest first.
files() {
    find "$dir" -maxdepth 1 -name 'log*' ! -name '*.part' | sed 's/.*\/log\.\{0,1\}//' | sort -t. -k1,1nr | sed "s|^.|.&|; s|^|$dir/log|"
}

expand_all() {
    : >"$dir/expanded"
    : >"$dir/said"
    files | while read -r file; do "$cli" expand "$file" >>"$dir/expanded" 2>>"$dir/said"; done
    [ ! -s "$dir/said" ]
}
last_is_there() { expand_all && grep -q "\"podkin-normalised-$1\"" "$dir/expanded"; }

compress=none
"$enricher" --config /dev/null --compress zstd --check >"$dir/out" 2>&1 && compress=zstd
"$collector" --config /dev/null --peer-user root --socket "$dir/c.sock" --record "$dir/recording" 2>"$dir/collector" &
collector_pid=$!
until_true grep -q ready: "$dir/collector"

# 1: files that are turned, moved aside, appended to after a kill
start_enricher
work 1000 400
until_true last_is_there 1399
told $? 'lines reach the files' "$(cat "$dir/said" "$dir/enricher")"
"$cli" events --events-socket "$dir/e.sock" -o json >"$dir/viewer" 2>"$dir/viewer.said" &
viewer_pid=$!
sleep 0.5
work 2000 200
mv "$dir/log" "$dir/log.900"
kill -HUP $enricher_pid
work 3000 200
until_true last_is_there 3199
kill -9 $enricher_pid
wait $enricher_pid 2>/dev/null
work 4000 100
start_enricher
work 5000 200
until_true last_is_there 5199
until_true grep -q podkin-normalised-5199 "$dir/viewer"
kill $viewer_pid
wait $viewer_pid 2>/dev/null
viewer_pid=
have=$(($(count 2000 200 "$dir/viewer") + $(count 3000 200 "$dir/viewer")))
[ "$have" = 400 ] && ! grep -qv '^{.*"node_name":"n".*}$' "$dir/viewer"
told $? 'a viewer that came in between has whole lines' "$have of 400; $(cat "$dir/viewer.said")"
kill $enricher_pid
wait $enricher_pid
enricher_pid=
expand_all # no file is turned meanwhile any more
told $? 'each file expands by itself, also one moved aside and one that was appended to after a kill' "$(cat "$dir/said")"
have=$(($(count 1000 400 "$dir/expanded") + $(count 2000 200 "$dir/expanded") + $(count 3000 200 "$dir/expanded") + $(count 5000 200 "$dir/expanded")))
[ "$have" = 1000 ]
told $? 'every execution is there' "$have of 1000"
[ "$(files | wc -l)" -gt 5 ]
told $? 'in files that were turned' "$(files)"
# shellcheck disable=SC2046 # names without blanks
"$cli" expand $(files) >"$dir/chain" && cmp -s "$dir/chain" "$dir/expanded"
told $? 'the chain of files expands to the same as each by itself'
# shellcheck disable=SC2046
"$cli" events -o json $(files) >"$dir/shown" && cmp -s "$dir/shown" "$dir/expanded"
told $? 'podkin events reads the chain'
# shellcheck disable=SC2046
"$cli" events --color always --time utc $(files) >"$dir/shown" && "$cli" events --color always --time utc "$dir/expanded" | cmp -s - "$dir/shown"
told $? 'and shows the same as of full lines'
if [ $compress = zstd ]; then
    [ "$(files | grep -c 'zst$')" -gt 3 ]
    told $? 'the earlier ones are compressed' "$(files)"
else
    grep -q 'built without zstd' "$dir/out"
    told $? 'without libzstd --compress says so' "$(cat "$dir/out")"
fi
[ $(($(files | tr '\n' '\0' | xargs -0 cat | wc -c) * 4)) -lt "$(($(wc -c <"$dir/expanded") * 3))" ]
told $? 'it is less than three quarters of that'

# 2: the same recording in both formats; only times are each run's own, and what has them in it
kill $collector_pid
wait $collector_pid 2>/dev/null
collector_pid=
for format in full normalised; do
    timeout 100 "$load" replay "$dir/recording" --replay-speed max --folder "$dir/$format" --enricher-option "--format=$format" >"$dir/out" 2>&1
    told $? "the recording, $format" "$(cat "$dir/out")"
done
"$cli" expand "$dir/normalised/events.log" >"$dir/normalised.full" 2>"$dir/said"
told $? 'it expands without a fault' "$(cat "$dir/said")"
for file in "$dir/full/events.log" "$dir/normalised.full"; do
    sed -E 's/"(exec_id|parent_exec_id|time|start_time|held_ms)":("[^"]*"|[0-9]+)/"\1":0/g' "$file" >"$dir/masked.${file##*/}"
done
[ "$(wc -l <"$dir/full/events.log")" -gt 1000 ] && cmp "$dir/masked.events.log" "$dir/masked.normalised.full" >"$dir/said" 2>&1
told $? 'and is the other, byte for byte but for times' "$(cat "$dir/said"; diff "$dir/masked.events.log" "$dir/masked.normalised.full" | head -n 4)"
echo "1..$number"
