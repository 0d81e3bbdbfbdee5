#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The demonstration behind ./run (which has built everything): collector, enricher, and a node without a cluster: two Pods' cgroups, a real nginx with
# forked workers in one, a shell that forks and execs in the other, and a kubelet stand-in that knows the Pods only after 5 s. Or, with --kubelet, the
# stream of the node that this machine is. Ends with a summary; exit status 1 when an event was lost or went out without its Pod.
set -eu
tree=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/check-lib.sh
. "$tree/tests/check-lib.sh"

build=$tree/build
seconds=25 follow=0 late=5
kubelet='' user=nobody
enricher_options=''

usage() {
    cat <<'END'
usage: ./run [OPTION…]            as root
  --seconds N          how long the demonstration takes (default 25)
  --follow             until Ctrl-C
  --late N             seconds until the kubelet stand-in knows the Pods (default 5)
  --kubelet URL        no demonstration node: name the Pods of this node's kubelet, until Ctrl-C
  --token-file FILE --ca-file FILE --client-cert FILE --client-key FILE --insecure-skip-tls-verify
                       how to speak with that kubelet
  --user USER          whom the enricher runs as (default nobody)
END
}

# option_file NAME FILE: a copy that the enricher's user may read, and the option for it.
option_file() {
    [ -r "$2" ] || fail "$1: cannot read $2"
    install -o "$user" -m 0400 "$2" "$dir/${1#--}"
    enricher_options="$enricher_options $1 $dir/${1#--}"
}

# ---- what is started and made, and how it goes ------------------------------------------------------------

dir=
daemons=
workloads=
slice=

# In a session of its own: Ctrl-C on the terminal is for this script, which ends things in order. The process id is in $!.
start() {
    setsid "$@" </dev/null &
}

end_processes() {
    for pid in "$@"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "$@"; do
        tries=0
        while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 50 ]; do
            sleep 0.1
            tries=$((tries + 1))
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}

remove_cgroups() {
    [ -n "$slice" ] && [ -d "$slice" ] || return 0
    [ ! -e "$slice/cgroup.kill" ] || echo 1 >"$slice/cgroup.kill" || true
    tries=0
    while [ -d "$slice" ] && [ "$tries" -lt 50 ]; do
        find "$slice" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
        tries=$((tries + 1))
    done
}

clean_up() {
    trap '' INT TERM
    # shellcheck disable=SC2086 # lists of process ids
    end_processes $workloads $daemons
    remove_cgroups
    [ -z "$dir" ] || rm -rf "$dir"
    steps_end
}

stopping=0
on_stop() {
    [ "$stopping" = 0 ] || exit 130
    stopping=1
}

# nap N: sleeps, but ends at once on Ctrl-C; false then.
nap() {
    [ "$stopping" = 0 ] || return 1
    sleep "$1" &
    nap_pid=$!
    wait "$nap_pid" || { kill "$nap_pid" 2>/dev/null || true; }
    [ "$stopping" = 0 ]
}

wait_for() {
    what=$1 path=$2 pid=$3 tries=0
    while [ ! -e "$path" ]; do
        kill -0 "$pid" 2>/dev/null || {
            sed 's/^/  | /' "$dir/log" >&2
            fail "$what has ended"
        }
        [ "$tries" -lt 300 ] || fail "$what did not get ready"
        sleep 0.05
        tries=$((tries + 1))
    done
}

# ---- the node ---------------------------------------------------------------------------------------------

random_hex() {
    cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/uuid | tr -d -- '-\n'
}

# make_pod APP: sets pod_uid, pod_id (of its container) and pod_cgroup, as a kubelet with the systemd driver and containerd would have them.
make_pod() {
    pod_uid=$(cat /proc/sys/kernel/random/uuid)
    pod_id=$(random_hex)
    underscored=$(echo "$pod_uid" | tr - _)
    pod_cgroup=$slice/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod$underscored.slice/cri-containerd-$pod_id.scope
    mkdir -p "$pod_cgroup"
}

# print_pod APP UID CONTAINER-ID: as the kubelet's /pods shows it.
print_pod() {
    suffix=$(echo "$2" | cut -c1-5 | tr 0123456789aeiou bcdfghjklmnpqrs)
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    cat <<END
{"metadata":{"name":"$1-7d4b9c5f6d-$suffix","generateName":"$1-7d4b9c5f6d-","namespace":"demo","uid":"$2","resourceVersion":"365",
"creationTimestamp":"$now","labels":{"app":"$1","pod-template-hash":"7d4b9c5f6d","tier":"demo"},
"annotations":{"kubernetes.io/config.seen":"$now","kubernetes.io/config.source":"api"},
"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"$1-7d4b9c5f6d","uid":"0e2e4b2c-6b1f-4f0e-8a53-5f7c6f2d9a10",
"controller":true,"blockOwnerDeletion":true}]},
"spec":{"containers":[{"name":"$1","image":"registry.example/$1:1.2","resources":{"requests":{"cpu":"10m"}}}],"nodeName":"demo-node",
"restartPolicy":"Always","serviceAccountName":"default"},
"status":{"phase":"Running","qosClass":"Burstable","hostIP":"192.0.2.1","podIP":"198.51.100.7","startTime":"$now",
"containerStatuses":[{"name":"$1","state":{"running":{"startedAt":"$now"}},"lastState":{},"ready":true,"restartCount":0,
"image":"registry.example/$1:1.2","imageID":"registry.example/$1@sha256:$3","containerID":"containerd://$3","started":true}]}}
END
}

# in_pod CGROUP COMMAND…: like a runtime, it enters the cgroup first, then a mount namespace of its own, then becomes the command.
in_pod() {
    # shellcheck disable=SC2016 # for the inner shell
    start sh -c 'echo 0 >"$0/cgroup.procs" && exec unshare --mount --propagation private "$@"' "$@"
    workloads="$! $workloads"
}

start_nginx() {
    port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 20000))
    mkdir "$dir/tmp"
    cat >"$dir/nginx.conf" <<END
daemon off; worker_processes 4; user $user $group; pid $dir/nginx.pid; error_log $dir/nginx.log;
events { worker_connections 128; }
http {
  access_log off; client_body_temp_path $dir/tmp; proxy_temp_path $dir/tmp/p; fastcgi_temp_path $dir/tmp/f;
  uwsgi_temp_path $dir/tmp/u; scgi_temp_path $dir/tmp/s;
  server { listen 127.0.0.1:$port; location / { return 200 "hello\n"; } }
}
END
    in_pod "$1" "$nginx" -e /dev/null -c "$dir/nginx.conf"
    nginx_pid=$!
    wait_for nginx "$dir/nginx.pid" "$nginx_pid"
}

start_shell() {
    # shellcheck disable=SC2016 # for the inner shell
    in_pod "$1" /bin/sh -c 'while :; do (id -u; (ls / & wait)) >/dev/null; sleep 1; done'
}

kill_worker() {
    worker=$(grep -v "^$nginx_pid\$" "$nginx_cgroup/cgroup.procs" | tail -n 1)
    [ -z "$worker" ] || kill "$worker" 2>/dev/null || true
}

serve_requests() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        curl -s -o /dev/null "http://127.0.0.1:$port/" || true
    done
}

# One second of the demonstration.
live_second() {
    serve_requests
    case $1 in
    2 | 4 | *[579]) kill_worker ;;
    8 | *3) kill -HUP "$nginx_pid" 2>/dev/null || true ;;
    esac
    nap 1
}

# ---- the daemons ------------------------------------------------------------------------------------------

# start_collector [OPTION…]
start_collector() {
    start "$build/collector/podkin-collector" --socket "$dir/collector.sock" --peer-user "$user" "$@" >"$dir/log" 2>&1
    daemons="$! $daemons"
    wait_for podkin-collector "$dir/collector.sock" "$!"
}

# Where it lies the enricher's user may not be able to go: it runs from a copy.
start_enricher() {
    install -m 0755 "$build/enricher/podkin-enricher" "$dir/podkin-enricher"
    # shellcheck disable=SC2086 # options without blanks
    start setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs "$dir/podkin-enricher" \
        --socket "$dir/collector.sock" --events-socket "$dir/out/events.sock" --output "$1" \
        --source "kubelet:$2" $enricher_options >"${3:-/dev/null}" 2>>"$dir/log"
    enricher_pid=$!
    daemons="$enricher_pid $daemons"
    wait_for podkin-enricher "$dir/out/events.sock" "$enricher_pid"
}

start_standin() {
    start "$build/tests/load/podkin-kubelet-standin" --listen 127.0.0.1:0 --pods "$dir/pods.json" --delay "${late}s" \
        >"$dir/standin" 2>>"$dir/log"
    daemons="$! $daemons"
    tries=0
    until standin_url=$(grep '^listening ' "$dir/standin"); do
        [ "$tries" -lt 100 ] || fail "the kubelet stand-in did not start"
        sleep 0.05
        tries=$((tries + 1))
    done
    standin_url=${standin_url#listening }
}

start_viewer() {
    start "$build/enricher/podkin" events --events-socket "$dir/out/events.sock" "$@"
    viewer_pid=$!
    daemons="$viewer_pid $daemons"
}

prepare() {
    group=$(id -gn "$user") || fail "no such user: $user"
    dir=$(mktemp -d "${TMPDIR:-/tmp}/podkin-run.XXXXXX")
    chmod 0711 "$dir"
    install -d -o "$user" -m 0755 "$dir/out"
    trap clean_up EXIT
    trap on_stop INT TERM
}

real_node() {
    start_collector
    start_enricher "$dir/out/events.json" "$kubelet"
    echo "the stream of this node; Ctrl-C ends it"
    start_viewer
    while nap 3600; do :; done
}

demo_node() {
    find_cgroup2 || fail "no cgroup2 hierarchy is mounted here"
    slice=$cgroup2/podkin-demo-$$.slice
    make_pod web
    web_uid=$pod_uid web_id=$pod_id nginx_cgroup=$pod_cgroup
    make_pod shell
    shell_uid=$pod_uid shell_id=$pod_id shell_cgroup=$pod_cgroup
    {
        printf '{"kind":"PodList","apiVersion":"v1","metadata":{},"items":['
        print_pod web "$web_uid" "$web_id"
        printf ','
        print_pod shell "$shell_uid" "$shell_id"
        printf ']}\n'
    } >"$dir/pods.json"

    mkfifo "$dir/stream"
    # Not setsid: its summary is waited for.
    "$build/tests/e2e/e2e-summary" --ready "$dir/counting" --arrived "$dir/standin" \
        "$web_id=$nginx_cgroup" "$shell_id=$shell_cgroup" <"$dir/stream" >"$dir/summary" 2>&1 &
    summary_pid=$!
    start_collector --cgroup-hierarchy v2
    start_standin
    start_enricher - "$standin_url" "$dir/stream"
    wait_for 'the count' "$dir/counting" "$summary_pid"
    start_viewer --namespace demo

    echo "the kubelet stand-in knows the Pods in $late s; until then what they do is held"
    start_nginx "$nginx_cgroup"
    start_shell "$shell_cgroup"
    second=1
    while [ "$follow" = 1 ] || [ "$second" -le "$seconds" ]; do
        live_second "$second" || break
        second=$((second + 1))
    done
    # shellcheck disable=SC2086 # a list of process ids
    end_processes $workloads
    workloads=
    # What is still held for a moment, and the collector's and the enricher's naps.
    sleep 1
    end_processes "$viewer_pid"
    end_processes "$enricher_pid"
    wait "$summary_pid" && summary_status=0 || summary_status=$?
    cat "$dir/summary"
    return "$summary_status"
}

while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage && exit 0 ;;
    --follow) follow=1 ;;
    --insecure-skip-tls-verify) enricher_options="$enricher_options $1 on" ;;
    --seconds | --late | --kubelet | --user | --token-file | --ca-file | --client-cert | --client-key)
        [ $# -ge 2 ] || { printf 'run: %s wants a value\n' "$1" >&2 && exit 2; }
        case $1 in
        --kubelet) kubelet=$2 ;;
        --user) user=$2 ;;
        --seconds | --late)
            case $2 in '' | *[!0-9]*) printf 'run: %s: not a number: %s\n' "$1" "$2" >&2 && exit 2 ;; esac
            [ "$1" = --late ] || seconds=$2
            [ "$1" = --seconds ] || late=$2
            ;;
        *) files="${files:-} $1 $2" ;;
        esac
        shift
        ;;
    *) printf 'run: unknown option: %s (see --help)\n' "$1" >&2 && exit 2 ;;
    esac
    shift
done

need_root
if [ "${PODKIN_RUN_CHECK_ONLY:-}" = 1 ]; then
    exit 0
fi
prepare
# shellcheck disable=SC2086 # pairs of an option and a file
set -- ${files:-}
while [ $# -gt 0 ]; do
    option_file "$1" "$2"
    shift 2
done
if [ -n "$kubelet" ]; then
    real_node
else
    find_nginx || fail "no nginx: install the package nginx-light, or see what went wrong above"
    demo_node
fi
