# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034 # names for the test that sources this
# For tests/vm/test_*.sh, which run in a guest as root: TAP, waiting, podkin's daemons, containers. A test begins with `. "$PODKIN_SOURCE_ROOT/tests/vm/lib.sh"` and
# ends with `done_testing`; what it wants to keep goes to $results (build/vm/KERNEL/results/TEST/ on the machine outside).
vm=$PODKIN_SOURCE_ROOT/tests/vm
build=$PODKIN_BUILD_ROOT
test_name=${0##*/test_}
test_name=${test_name%.sh}
results=/results/$test_name
mkdir -p "$results"
case $(uname -r) in
6.1.*) kernel=6.1 ;;
6.12.*) kernel=6.12 ;;
*) kernel=other ;;
esac

# ---- TAP ------------------------------------------------------------------------------------------------------

tests_run=0 tests_failed=0

# told STATUS NAME: one case.
told() {
    tests_run=$((tests_run + 1))
    if [ "$1" = 0 ]; then
        echo "ok $tests_run - $2"
    else
        tests_failed=$((tests_failed + 1))
        echo "not ok $tests_run - $2"
    fi
}

note() {
    printf '%s\n' "$*" | sed 's/^/# /'
}

# check NAME COMMAND…: passes when the command does; what it printed is shown when it does not.
check() {
    check_name=$1
    shift
    check_status=0
    "$@" >"$results/check.out" 2>&1 || check_status=$?
    told "$check_status" "$check_name"
    [ "$check_status" = 0 ] || tail -n 20 "$results/check.out" | sed 's/^/# /'
    return "$check_status"
}

# equal NAME ACTUAL EXPECTED
equal() {
    [ "$2" = "$3" ]
    told $? "$1"
    [ "$2" = "$3" ] || note "is:     $2
should: $3"
}

skip() {
    tests_run=$((tests_run + 1))
    echo "ok $tests_run - $1 # SKIP $2"
}

# tap LABEL COMMAND…: the cases of a program that speaks TAP itself as cases of this test. What it printed stays in $results/LABEL.tap.
tap() {
    tap_label=$1
    shift
    tap_out=$results/$(echo "$tap_label" | tr -c '[:alnum:]_\n' -).tap
    tap_status=0 tap_failed=$tests_failed tap_run=$tests_run
    "$@" >"$tap_out" 2>"$tap_out.err" || tap_status=$?
    while IFS= read -r line; do
        case $line in
        'ok '* | 'not ok '*)
            text=$(echo "$line" | sed -e 's/^\(not \)\{0,1\}ok *[0-9]* *-* *//')
            case $line in
            *'# SKIP'* | *'# skip'*) skip "$tap_label: ${text%% #*}" "${text#*# [Ss][Kk][Ii][Pp]}" ;;
            ok*) told 0 "$tap_label: $text" ;;
            *) told 1 "$tap_label: $text" ;;
            esac
            ;;
        '# '[' C']* | '# ' | '#' | '' | 'TAP version'* | 1..[0-9]*) ;;
        *) note "$line" ;;
        esac
    done <"$tap_out"
    if [ "$tests_failed" = "$tap_failed" ] && { [ "$tap_status" != 0 ] || [ "$tests_run" = "$tap_run" ]; }; then
        told 1 "$tap_label: exit status $tap_status after $((tests_run - tap_run)) cases"
    fi
    [ "$tap_status" = 0 ] || tail -n 20 "$tap_out.err" | sed 's/^/# /'
}

# done_testing: the end of each test.
done_testing() {
    echo "1..$tests_run"
    [ "$tests_failed" = 0 ]
    exit $?
}

# bail TEXT: nothing further makes sense.
bail() {
    told 1 "$1"
    done_testing
}

# ---- waiting, ending ------------------------------------------------------------------------------------------

# until_true SECONDS COMMAND…
until_true() {
    until_end=$(($(date +%s) + $1))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt "$until_end" ] || return 1
        sleep 0.2
    done
}

# What end_all ends, in this order.
started_pids=

# start LOG COMMAND…: in the background, its output in $results/LOG; $!.
start() {
    start_log=$results/$1
    shift
    "$@" >>"$start_log" 2>&1 </dev/null &
    started_pids="$! $started_pids"
}

# stop PID: SIGTERM, and its exit status; SIGKILL after 30 s.
stop() {
    kill "$1" 2>/dev/null
    until_true 30 stopped "$1" || kill -KILL "$1"
    wait "$1"
}

# A child that ended stays as a zombie until wait.
stopped() {
    ! grep -q '^State:[[:space:]]*[^Z]' "/proc/$1/status" 2>/dev/null
}

end_all() {
    for pid in $started_pids; do
        stop "$pid" 2>/dev/null
    done
    started_pids=
}
trap end_all EXIT
trap 'exit 143' TERM

# as USER CAPABILITIES COMMAND…: as a user of its own, made when missing, with these capabilities (bpf,perfmon …, or none) and no others.
as() {
    as_user=$1 as_capabilities=$2
    shift 2
    have_user "$as_user"
    if [ "$as_capabilities" = none ]; then
        as_capabilities=-all
    else
        as_capabilities="-all,+$(echo "$as_capabilities" | sed 's/,/,+/g')"
    fi
    exec setpriv --reuid="$as_user" --regid="$as_user" --init-groups --inh-caps="$as_capabilities" --ambient-caps="$as_capabilities" \
        --bounding-set="$as_capabilities" --no-new-privs -- "$@"
}

have_user() {
    id "$1" >/dev/null 2>&1 || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "$1"
}

# ---- podkin, as its units would have it -----------------------------------------------------------------------

# start_collector OPTION…: as the user podkin-collector with the two capabilities that it needs; $collector is its process id.
start_collector() {
    have_user podkin
    have_user podkin-collector
    usermod -a -G podkin podkin-collector
    install -d -o podkin-collector -g podkin -m 1775 /run/podkin
    start collector.log as podkin-collector bpf,perfmon "$build/collector/podkin-collector" "$@"
    collector=$!
    until_true 90 grep -q 'ready: ' "$results/collector.log"
}

# start_enricher OPTION…: as the user podkin, without any; its lines go to $events, $enricher is its process id. What takes seconds elsewhere may take a minute
# under emulation: a test in which something waits for metadata gives it --hold-timeout 5m.
start_enricher() {
    have_user podkin
    install -d -o podkin -g podkin -m 0755 /var/log/podkin
    events=/var/log/podkin/events.json
    start enricher.log as podkin none "$build/enricher/podkin-enricher" --node-name vm --output "$events" "$@"
    enricher=$!
    until_true 90 test -S /run/podkin/events.sock
}

status_json() {
    "$build/enricher/podkin" status -o json
}

# ---- containers -----------------------------------------------------------------------------------------------

# start_containerd: with the images of the guest (podkin.test/pause:1, podkin.test/nginx:1).
start_containerd() {
    systemctl start containerd
    until_true 120 sh -c 'ctr version >/dev/null 2>&1' || return 1
    for image in pause nginx; do
        ctr -n k8s.io images import "/var/lib/podkin-vm/$image.tar" || return 1
    done
}

# cri METHOD: a call of the kubelet's, the request in protobuf's text form on standard input.
cri() {
    sh "$vm/cri" "$@"
}
