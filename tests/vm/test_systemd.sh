# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2317 # functions that until_true calls
# The Debian package in a system with systemd: installed, at work, killed, reloaded, upgraded under load, removed, purged and installed again.
# time-out: 900
# payload: build/packages/podkin_*.deb
# payload: systemd/podkin-collector.service.d/kprobes.conf
# shellcheck source=tests/vm/lib.sh
. "$PODKIN_SOURCE_ROOT/tests/vm/lib.sh"

log=/var/log/podkin/events.log
uid=5a1c7c1e-0d5b-4f7c-9a3e-2b1d6f0a9c11
slice=/sys/fs/cgroup/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod$(echo $uid | tr - _).slice
# This version and a later one.
next=$(echo "$build"/packages/podkin_*+next_*.deb)
first=$(printf '%s\n' "$build"/packages/podkin_*.deb | grep -vF '+next')

# ---- units ----------------------------------------------------------------------------------------------------

show() {
    systemctl show -P "$2" "podkin-$1.service"
}

main_pid() {
    show "$1" MainPID
}

active() {
    [ "$(show "$1" ActiveState)/$(show "$1" SubState)" = active/running ]
}

both_active() {
    active collector && active enricher
}

# process SIDE FIELD: of /proc/PID/status.
process() {
    sed -n "s/^$2:[[:space:]]*//p" "/proc/$(main_pid "$1")/status"
}

other_pid() {
    [ "$(main_pid "$1")" != "$2" ] && [ "$(main_pid "$1")" != 0 ] && active "$1"
}

# at_most NUMBER LIMIT
at_most() {
    echo "$1 $2" | awk 'NF != 2 { exit 1 } { exit !($1 <= $2) }'
}

# ---- load -----------------------------------------------------------------------------------------------------

# new_container: the Pod's next one. A container runtime leaves its cgroup and its log, and by the log the source "logdir" of the shipped configuration knows the Pod.
containers=0
new_container() {
    containers=$((containers + 1))
    container=$(printf '%d%063d' "$containers" 0)
    cgroup=$slice/cri-containerd-$container.scope
    mkdir -p "/var/log/pods/shop_web-1_$uid/nginx" /var/log/containers "$cgroup"
    : >"/var/log/pods/shop_web-1_$uid/nginx/$containers.log"
    ln -s "/var/log/pods/shop_web-1_$uid/nginx/$containers.log" "/var/log/containers/web-1_shop_nginx-$container.log"
}

# load NAME: until load_end, one process after the other in a container of its own, each with a number. Some tens a second: emulation is slow, and jq reads the log
# again and again. The kernel's own count of the forks, execs and exits there runs from before the first to behind the last.
load() {
    load_name=$1
    new_container
    start "count-$1" "$build/tests/vm/vm-count"
    count_pid=$!
    until_true 60 grep -q ready "$results/count-$1" || bail 'the oracle does not count'
    rm -f /tmp/load-stop /tmp/load-last
    # shellcheck disable=SC2016 # of the inner shell
    busybox sh -c 'echo $$ >"$1/cgroup.procs"; i=0
        while [ ! -e /tmp/load-stop ]; do i=$((i + 1)); /bin/busybox true "$2-$i"; sleep 0.03; done
        echo $i >/tmp/load-last' sh "$cgroup" "$1" &
    load_pid=$!
}

load_end() {
    : >/tmp/load-stop
    wait "$load_pid"
    load_count=$(cat /tmp/load-last)
    stop "$count_pid"
    load_wanted=$(awk -v id="$(stat -c %i "$cgroup")" '$1 == id { print $2, $3, $4 }' "$results/count-$load_name")
}

# told_of_load: "forks execs exits" of the load's container by podkin's lines: distinct ids.
told_of_load() {
    cat "$log"* | grep -F "\"$(echo "$container" | cut -c1-31)\"" |
        jq -r --arg id "$container" 'to_entries[0] as $e | select($e.value.process.docker? == $id[0:31]) | $e.key + " " + .id' 2>/dev/null |
        sort -u | awk '{ n[$1]++ } END { print n["process_fork"] + 0, n["process_exec"] + 0, n["process_exit"] + 0 }'
}

all_told() {
    [ "$(told_of_load)" = "$load_wanted" ]
}

# as_many_as_counted TEXT: nothing is missing and nothing is told that was not, whatever happened meanwhile.
as_many_as_counted() {
    until_true 60 all_told
    equal "$1: forks, execs and exits, by distinct id, are those that the kernel counts ($load_wanted)" "$(told_of_load)" "$load_wanted"
}

# numbers TYPE: which processes of the load are in the log, complete with their Pod, ascending.
numbers() {
    cat /var/log/podkin/events.log* 2>/dev/null | grep -F "true $load_name-" |
        jq -r "select(.process_$1.process.pod.name == \"web-1\" and .process_$1.process.pod.container.name == \"nginx\") | .process_$1.process.arguments" 2>/dev/null |
        sed -n "s/^true $load_name-//p" | sort -nu
}

# By grep alone: it is asked again and again. What is counted in the end, numbers() reads as JSON.
seen() {
    cat /var/log/podkin/events.log* 2>/dev/null | grep -F "\"true $load_name-$2\"" | grep "^{\"process_$1\"" | grep -q '"name":"web-1"'
}

# missing TYPE: the numbers that are not there.
missing() {
    numbers "$1" >"$results/numbers"
    seq "$load_count" | grep -vxFf "$results/numbers"
}

# none_missing TEXT [TYPE]: of the load's exec and exit events, by what was started. Who ends while no enricher runs leaves without that (docs/operations.md).
none_missing() {
    for type in ${2:-exec exit}; do
        equal "$1: $type: of $load_count none is missing" "$(missing "$type" | sed 11,\$d | tr '\n' ' ')" ''
    done
}

# Waits for the last process's exit: nothing overtakes within a process, and little between them.
load_is_written() {
    until_true 60 seen exit "$load_count"
}

# ---- installed ------------------------------------------------------------------------------------------------

check 'the package is installed, its dependencies are there' dpkg -i "$first" || bail 'no package, nothing to see'
check 'both units are active' until_true 90 both_active
[ "$(show collector NRestarts)$(show enricher NRestarts)" = 00 ]
told $? 'neither had to be restarted'
for user in podkin podkin-collector; do
    equal "user $user cannot log in" "$(getent passwd $user | cut -d: -f7)" /usr/sbin/nologin
done
for side in collector enricher; do
    equal "$side: Type=notify" "$(show $side Type)" notify
    equal "$side: enabled" "$(systemctl is-enabled podkin-$side)" enabled
    limit=1.5
    [ $side = collector ] || limit=1.0
    systemd-analyze security --no-pager podkin-$side.service >"$results/security-$side"
    level=$(sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p' "$results/security-$side")
    at_most "$level" $limit
    told $? "$side: exposure $level, at most $limit"
    equal "$side: NoNewPrivs" "$(process $side NoNewPrivs)" 1
    equal "$side: Seccomp" "$(process $side Seccomp)" 2
    at_most 2 "$(process $side Seccomp_filters)"
    told $? "$side: the unit's filter and its own"
    watchdog=$(show $side WatchdogTimestampMonotonic)
    eval "watchdog_$side=$watchdog"
done
# The folder for policies is empty: what loads them goes, and cannot be gained again.
equal 'collector: CapBnd: CAP_BPF and CAP_PERFMON alone' "$(process collector CapBnd)" 000000c000000000
for set in CapEff CapPrm; do
    equal "collector: $set: none" "$(process collector $set)" 0000000000000000
done
for set in CapEff CapPrm CapBnd; do
    equal "enricher: $set: none" "$(process enricher $set)" 0000000000000000
done
equal 'neither hands on a capability' "$(process collector CapInh)$(process collector CapAmb)$(process enricher CapInh)$(process enricher CapAmb)" "$(printf '%064d' 0)"
equal 'collector runs as its user' "$(process collector Uid | cut -f1)" "$(id -u podkin-collector)"
equal 'enricher runs as its user' "$(process enricher Uid | cut -f1)" "$(id -u podkin)"
equal "the sockets' folder" "$(stat -c '%A %U:%G' /run/podkin)" 'drwxrwxr-t podkin-collector:podkin-collector'
equal "the collector's socket" "$(stat -c '%A %U:%G' /run/podkin/collector.sock)" 'srw-rw---- podkin-collector:podkin'
equal 'the socket of events' "$(stat -c '%A %U:%G' /run/podkin/events.sock)" 'srw-rw---- podkin:podkin'

# ---- at work --------------------------------------------------------------------------------------------------

load first
until_true 60 seen exit 20
told $? 'exec and exit of what runs in a Pod are in the log, with the Pod'
load_end
check 'the last one, too' load_is_written
none_missing 'at work'
as_many_as_counted 'at work'
[ "$(cat "$log"* | jq -r 'select(.process_fork.process.pod.name == "web-1") | 1' 2>/dev/null | wc -l)" -ge "$load_count" ]
told $? 'forks are there, with the Pod'
equal 'the log is the enricher'"'"'s' "$(stat -c '%U:%G' $log)" podkin:podkin
check 'podkin status answers root' podkin status
check 'podkin status answers a member of the group podkin' setpriv --reuid=65534 --regid=65534 --groups="$(getent group podkin | cut -d: -f3)" podkin status
! setpriv --reuid=65534 --regid=65534 --clear-groups podkin status >/dev/null 2>&1
told $? 'podkin status answers nobody else'
# shellcheck disable=SC2016 # of the inner shell
! setpriv --reuid=65534 --regid=65534 --groups="$(getent group podkin | cut -d: -f3)" sh -c ': >/run/podkin/made' 2>/dev/null
told $? "a member of the group podkin puts nothing in the sockets' folder"
podkin status -o json >"$results/status.json"
equal 'what was received was emitted, held or dropped for a reason' "$(jq .books.balanced "$results/status.json")" true

# ---- a policy ------------------------------------------------------------------------------------------------

says() {
    journalctl -b --no-pager -o cat -u podkin-collector | grep -qE "$1"
}
# By what is printed: jq's exit status speaks of the last line alone, and that may be an event of systemd's.
hooked() {
    cat "$log"* | grep '"mounts"' | jq -r 'select(.process_kprobe.policy_name == "mounts") | .process_kprobe.process.pod.name' | grep -qx web-1
}
install -m 0644 /usr/share/podkin/policies/mounts.yaml /etc/podkin/policies.d/
check 'a policy is added' systemctl reload podkin-collector
check 'the collector says that it cannot load the first' until_true 60 says 'SIGHUP: no policy was there at the start'
check 'with a restart it can' systemctl restart podkin-collector
check 'it is in force' until_true 60 says 'policies: 1 loaded'
for set in CapEff CapPrm CapBnd; do
    equal "collector with a policy: $set: CAP_BPF and CAP_PERFMON alone" "$(process collector $set)" 000000c000000000
done
install -m 0644 /usr/share/podkin/policies/ptrace.yaml /etc/podkin/policies.d/
check 'another one is added' systemctl reload podkin-collector
check 'it is in force without a restart' until_true 60 says 'policies: 1 loaded, 0 unloaded, 1 kept'
# shellcheck disable=SC2016 # of the inner shell
sh -c 'echo $$ >"$1/cgroup.procs"; mount -t tmpfs none /mnt; umount /mnt' sh "$cgroup"
check 'its events are in the log, with the Pod' until_true 30 hooked
rm /etc/podkin/policies.d/mounts.yaml /etc/podkin/policies.d/ptrace.yaml
systemctl reload podkin-collector

# ---- killed ---------------------------------------------------------------------------------------------------

load enricher-killed
until_true 60 seen exec 5
pid=$(main_pid enricher)
kill -KILL "$pid"
check 'a killed enricher is started again' until_true 60 other_pid enricher "$pid"
sleep 2
load_end
check 'the events go on' load_is_written
none_missing 'enricher killed' exec
as_many_as_counted 'enricher killed'

load collector-killed
until_true 60 seen exec 5
pid=$(main_pid collector) enricher_pid=$(main_pid enricher)
systemctl kill -s KILL podkin-collector
check 'a killed collector is started again' until_true 60 other_pid collector "$pid"
sleep 2
load_end
check 'the events go on after the collector was killed' load_is_written
equal 'the enricher stays' "$(main_pid enricher)" "$enricher_pid"
none_missing 'collector killed'
as_many_as_counted 'collector killed'
check 'the next one went on where it was' says 'goes on where an earlier collector ended'

load both-killed
until_true 60 seen exec 5
pid=$(main_pid collector) enricher_pid=$(main_pid enricher)
systemctl kill -s KILL podkin-collector podkin-enricher
check 'both killed: the collector is started again' until_true 60 other_pid collector "$pid"
check 'both killed: the enricher is started again' until_true 60 other_pid enricher "$enricher_pid"
sleep 2
load_end
check 'the events go on after both were killed' load_is_written
none_missing 'both killed' exec
as_many_as_counted 'both killed'

load restarted
until_true 60 seen exec 5
check 'the collector is restarted' systemctl restart podkin-collector
check 'both are restarted in one command' systemctl restart podkin-collector podkin-enricher
sleep 2
load_end
check 'the events go on after the restarts' load_is_written
none_missing 'restarted' exec
as_many_as_counted 'restarted'

# ---- both stopped ---------------------------------------------------------------------------------------------

# The enricher is frozen while the load runs, so that all of it is in the queue when both are stopped in one command.
load both-stopped
until_true 60 seen exec 5
kill -STOP "$(main_pid enricher)"
sleep 2
load_end
sleep 1
(
    sleep 1
    kill -CONT "$(main_pid enricher)"
) &
check 'both are stopped in one command' systemctl stop podkin-collector podkin-enricher
[ "$(show collector InactiveEnterTimestampMonotonic)" -le "$(show enricher InactiveEnterTimestampMonotonic)" ]
told $? 'the collector ended first'
none_missing 'both stopped'
as_many_as_counted 'both stopped'
check 'both are started in one command' systemctl start podkin-collector podkin-enricher
check 'they are active' until_true 60 both_active
load started
until_true 60 seen exec 5
told $? 'the events go on'
load_end
check 'the last one, too' load_is_written
as_many_as_counted 'both started'
enricher_pid=$(main_pid enricher)

# ---- reload, drop-in, watchdog --------------------------------------------------------------------------------

pid=$(main_pid collector)
mv $log $log.moved
check 'reload of both' systemctl reload podkin-collector podkin-enricher
check 'the log is opened anew' until_true 20 test -e $log
equal 'by the same processes' "$(main_pid collector) $(main_pid enricher)" "$pid $enricher_pid"
moved() {
    [ "$(show "$1" WatchdogTimestampMonotonic)" -gt "$2" ]
}
# shellcheck disable=SC2154 # by eval
for side in collector:$watchdog_collector enricher:$watchdog_enricher; do
    check "${side%:*}: the watchdog is fed" until_true 40 moved "${side%:*}" "${side#*:}"
done

mkdir -p /etc/systemd/system/podkin-collector.service.d
cp /payload/systemd/podkin-collector.service.d/kprobes.conf /etc/systemd/system/podkin-collector.service.d/
systemctl daemon-reload
check 'with kprobes.conf the collector starts' systemctl restart podkin-collector
equal 'with kprobes.conf it may gain CAP_SYS_ADMIN' "$(process collector CapBnd)" 000000c000200000
equal 'with kprobes.conf CAP_SYS_ADMIN is given up after the start, and the others, as there is no policy' "$(process collector CapEff)" 0000000000000000
systemd-analyze security --no-pager podkin-collector.service >"$results/security-kprobes"
note "exposure with kprobes.conf: $(sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p' "$results/security-kprobes")"
rm -r /etc/systemd/system/podkin-collector.service.d
systemctl daemon-reload
systemctl restart podkin-collector
check 'without it again' until_true 60 both_active

# ---- upgraded -------------------------------------------------------------------------------------------------

load upgraded
until_true 60 seen exec 5
pid=$(main_pid collector) enricher_pid=$(main_pid enricher)
check 'the next version is installed under load' dpkg -i "$next"
check 'both run' until_true 60 both_active
[ "$(main_pid collector)" != "$pid" ] && [ "$(main_pid enricher)" != "$enricher_pid" ]
told $? 'both are new processes'
sleep 2
load_end
check 'the events go on after the upgrade' load_is_written
none_missing 'upgraded' exec
as_many_as_counted 'upgraded'
journalctl -b --no-pager -o cat -u podkin-collector -u podkin-enricher >"$results/journal"
equal 'no step of a sandbox was refused' "$(grep -E 'sandbox|Operation not permitted|giving up' "$results/journal")" ''

# ---- removed, purged, installed again -------------------------------------------------------------------------

# left: files that are podkin's.
left() {
    find / -xdev \( -path /payload -o -path /results -o -path /proc -o -path /sys -o -path /tmp \) -prune -o -iname '*podkin*' -print |
        grep -vE '^/var/lib/podkin-vm|podkin-vm(\.service)?$|^/var/lib/systemd/deb-systemd-(helper|user)' | sort | tr '\n' ' '
    ls -d /run/podkin /var/lib/systemd/deb-systemd-helper-*/*podkin* 2>/dev/null
}

echo '# changed' >>/etc/podkin/enricher.conf
check 'removed' dpkg -r podkin
[ -z "$(pgrep podkin-coll)$(pgrep podkin-enri)" ]
told $? 'nothing runs any more'
[ -e /etc/podkin/enricher.conf ] && [ -e $log ] && [ ! -e /run/podkin ]
told $? 'configuration and log stay, sockets do not'
check 'installed again' dpkg -i "$next"
check 'both are active again' until_true 60 both_active
equal 'the changed configuration is still there' "$(tail -n 1 /etc/podkin/enricher.conf)" '# changed'
load again
until_true 60 seen exec 3
told $? 'events again'
load_end
check 'purged' dpkg -P podkin
[ -z "$(pgrep podkin-coll)$(pgrep podkin-enri)" ]
told $? 'nothing runs after the purge'
equal 'no file is left' "$(left)" ''
equal 'the user stays' "$(id -un podkin)" podkin
find /sys/fs/cgroup/kubepods.slice -depth -type d -exec rmdir {} +
done_testing
