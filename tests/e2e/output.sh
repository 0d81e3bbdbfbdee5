#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Where the lines go, and what may happen there: a full disk, a file that somebody removes, one that somebody rotates, a reader that goes. Real
# daemons and events: each execution of a numbered program must come out, once.
set -u
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
needs "$collector" "$enricher" "$cli"
dir=$(mktemp -d)
collector_pid='' enricher_pid=''
end() {
    # shellcheck disable=SC2086 # process ids
    kill_all $enricher_pid $collector_pid
    umount "$dir/disk" 2>/dev/null
    rm -rf "$dir"
}
trap end EXIT
trap "exit 1" HUP INT TERM
mkdir "$dir/disk"
if ! mount -t tmpfs -o size="${PODKIN_DISK_SIZE:-64m}" podkin-output "$dir/disk" 2>/dev/null; then
    skip_all 'cannot mount a tmpfs'
fi

# start_enricher OUTPUT: in the background, its messages in $dir/enricher.
start_enricher() {
    "$enricher" --socket "$dir/c.sock" --events-socket "$dir/e.sock" --node-name n --output "$1" 2>>"$dir/enricher" &
    enricher_pid=$!
    until_true grep -q attached "$dir/enricher"
}

# work FROM COUNT: executions whose argument is their number.
work() {
    seq "$1" $(($1 + $2 - 1)) | while read -r i; do /bin/true "podkin-output-$i"; done
}

# missing FROM COUNT FILE…: how many of the executions are not exactly once in the files.
missing() {
    from=$1 count=$2
    shift 2
    cat "$@" | grep process_exec | grep -o '"args":\["podkin-output-[0-9]*"\]' | grep -o '[0-9]*' | sort -n | uniq -c |
        awk -v from="$from" -v count="$count" '$1 == 1 && $2 >= from && $2 < from + count { have++ } END { print count - have }'
}
all_there() { [ "$(missing "$@")" = 0 ]; }

# balanced WHEN: podkin status itself says so.
balanced_now() {
    "$cli" status --events-socket "$dir/e.sock" 2>&1 | head -n 1 >"$dir/balance"
    grep -q '^books balance: ' "$dir/balance"
}
balanced() {
    until_true balanced_now
    told $? "$1: the books balance" "$(cat "$dir/balance")"
}

"$collector" --peer-user root --socket "$dir/c.sock" 2>"$dir/collector" &
collector_pid=$!
until_true grep -q ready "$dir/collector"
log=$dir/disk/log
start_enricher "$log"

# 1: the disk fills, and is full for a while
work 1000 100
until_true all_there 1000 100 "$log"
told $? 'lines reach the file'
dd if=/dev/zero of="$dir/disk/fill" bs=64k 2>/dev/null
work 2000 300
until_true grep -q "output '$log': No space left on device" "$dir/enricher"
told $? 'a full disk is said, with the file and the reason' "$(cat "$dir/enricher")"
"$cli" status --events-socket "$dir/e.sock" >"$dir/status" 2>&1
grep -qi 'no space left' "$dir/status"
told $? 'and seen in the status' "$(cat "$dir/status")"
[ "${PODKIN_FULL_DISK_S:-5}" = 0 ] || sleep "${PODKIN_FULL_DISK_S:-5}" # a minute shows nothing more
work 3000 100
rm "$dir/disk/fill"
until_true grep -q "written again" "$dir/enricher"
told $? 'its end is said, too'
until_true all_there 2000 300 "$log"* && until_true all_there 3000 100 "$log"*
told $? 'everything that happened meanwhile is in the file, once' "$(missing 2000 300 "$log"*) and $(missing 3000 100 "$log"*) missing"
[ "$(grep -c "No space left" "$dir/enricher")" = 1 ]
told $? 'a full disk fills no log'
! grep -qv '^{.*}$' "$log"
told $? 'no line is torn'
balanced 'full disk'

# 2: somebody renames the file and asks for a new one
mv "$log" "$log.old"
kill -HUP $enricher_pid
until_true test -e "$log"
work 4000 100
until_true all_there 4000 100 "$log" "$log.old"
told $? 'renamed from outside and SIGHUP: nothing is missing' "$(missing 4000 100 "$log" "$log.old") missing"
balanced 'renamed from outside'

# 3: somebody removes the file: what comes goes into a file that nobody sees, until SIGHUP or for a second (failures.sh)
rm "$log"
kill -HUP $enricher_pid
until_true test -e "$log"
work 5000 100
until_true all_there 5000 100 "$log"
told $? 'removed and SIGHUP: what follows is in the new file'
kill $enricher_pid
wait $enricher_pid
told $? 'SIGTERM: exit status 0'
enricher_pid=

# 4: a reader of standard output that goes
: >"$dir/enricher"
mkfifo "$dir/pipe"
"$enricher" --socket "$dir/c.sock" --events-socket "$dir/e.sock" --node-name n --output - >"$dir/pipe" 2>"$dir/enricher" &
enricher_pid=$!
head -n 1 "$dir/pipe" >"$dir/first"
work 6000 300
wait $enricher_pid
status=$?
enricher_pid=
[ $status = 1 ] && grep -q "output '-': nobody reads standard output any more" "$dir/enricher"
told $? 'nobody reads standard output: exit status 1 and one line' "$status: $(cat "$dir/enricher")"
: >"$dir/enricher"
start_enricher "$dir/disk/next"
last_is_there() { grep -q '"podkin-output-6299"' "$dir/disk/next"; }
until_true last_is_there
gone=$(missing 6000 300 "$dir/disk/next")
[ "$gone" -le 120 ] # what the pipe held when its reader went: 64 KiB
told $? 'what it had not written is in the queue for the next' "$gone missing"
echo "1..$number"
