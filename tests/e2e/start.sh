#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The collector under the circumstances in which a daemon may find itself at its start and at its end.
set -u
collector=${PODKIN_BUILD_ROOT:-build}/collector/podkin-collector
[ -x "$collector" ] || { echo "1..0 # SKIP $collector is not built" && exit 0; }
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root" && exit 0; }
[ -r /sys/kernel/btf/vmlinux ] || { echo "1..0 # SKIP needs a kernel with BTF" && exit 0; }
dir=$(mktemp -d)
run=/run/podkin-start-$$
number=0 pid=
trap '[ -z "$pid" ] || kill -9 $pid 2>/dev/null; rm -rf "$dir" "$run"' EXIT
chmod 755 "$dir"

# told RESULT NAME [WHY]: one line of TAP; RESULT 0 is fine.
told() {
    number=$((number + 1))
    [ "$1" = 0 ] && echo "ok $number - $2" && return
    [ -z "${3-}" ] || echo "# $3"
    echo "not ok $number - $2"
}

# until_true COMMAND…: within ten seconds.
until_true() {
    for _ in $(seq 100); do
        "$@" && return 0
        sleep 0.1
    done
    return 1
}

# stop: the exit status of the collector that was asked to stop.
stop() {
    kill "$pid" 2>/dev/null
    wait "$pid"
    status=$?
    pid=
    return $status
}

# 1: a umask that closes everything
(umask 077 && exec "$collector" --peer-user nobody --socket "$run/c.sock" 2>"$dir/err") &
pid=$!
until_true test -S "$run/c.sock"
until_true grep -q ready "$dir/err"
mode=$(stat -c %a "$run/c.sock") folder=$(stat -c %a "$run")
[ "$mode" = 660 ] && [ $((0$folder & 0055)) = $((0055)) ]
told $? 'the umask does not close the socket to the consumer' "socket $mode, folder $folder"
grep -q ready "$dir/err"
told $? 'it says that it is ready'

# 2: a second one on the same socket
timeout 20 "$collector" --peer-user nobody --socket "$run/c.sock" 2>"$dir/second"
[ $? = 1 ] && [ "$(wc -l <"$dir/second")" = 1 ] && [ -S "$run/c.sock" ]
told $? 'a second collector on the same socket is refused with one line and leaves it alone' "$(cat "$dir/second")"

# 3: one more, elsewhere
"$collector" --peer-user nobody --socket "$dir/other.sock" 2>"$dir/third" &
third=$!
until_true grep -q ready "$dir/third"
told $? 'two collectors run beside each other' "$(cat "$dir/third")"
kill $third && wait $third

stop
told $? 'SIGTERM: exit status 0'
[ ! -e "$run/c.sock" ]
told $? 'and the socket is gone'

# 4: who read its messages has gone
mkfifo "$dir/fifo"
"$collector" --peer-user nobody --socket "$dir/c.sock" 2>"$dir/fifo" &
pid=$!
head -c 1 "$dir/fifo" >/dev/null
until_true test -S "$dir/c.sock"
sleep 1
kill -HUP $pid # asks for a line
sleep 0.5
kill -0 $pid 2>/dev/null
told $? 'it outlives the reader of its messages'
stop
told $? 'and ends as always'

# 5: no standard streams at all
"$collector" --peer-user nobody --socket "$dir/c.sock" <&- >&- 2>&- &
pid=$!
until_true test -S "$dir/c.sock"
streams=$(for fd in 0 1 2; do readlink /proc/$pid/fd/$fd; done | sort -u)
[ "$streams" = /dev/null ]
told $? 'closed standard streams become /dev/null and nothing else' "$streams"
stop

# 6: executable memfds are forbidden (sysctl of the pid namespace, since Linux 6.3)
if [ -e /proc/sys/vm/memfd_noexec ]; then
    unshare --pid --fork --mount-proc sh -c "sysctl -q vm.memfd_noexec=2 && exec timeout -s TERM 5 '$collector' --peer-user nobody --socket '$dir/n.sock'" 2>"$dir/err"
    grep -q ready "$dir/err"
    told $? 'it starts where memory that could be executed is forbidden' "$(cat "$dir/err")"
fi

# 7: somebody without privileges
timeout 20 setpriv --reuid 65534 --regid 65534 --clear-groups "$collector" --peer-user nobody --socket "$dir/u.sock" 2>"$dir/err"
[ $? = 1 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q CAP_BPF "$dir/err"
told $? 'without privileges: exit status 1 and one line that says which' "$(cat "$dir/err")"
echo "1..$number"
