# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2016,SC2317 # jq's variables; functions that check and until_true call
# time-out: 600
# The story that podkin was written for: servers that fork their workers, a policy on what they read, metadata that comes five seconds late, workers that are replaced
# meanwhile. Every event of every worker carries the Pod, and there are as many as the kernel counts. nginx, Apache (prefork), and a server with a process a connection.
# shellcheck source=tests/vm/lib.sh
. "$PODKIN_SOURCE_ROOT/tests/vm/lib.sh"

pods=/run/podkin-pods.json
root=/srv/docroot
base=/sys/fs/cgroup/kubepods.slice
policy=$results/policy.yaml

mkdir -p "$root" "$results"
echo '<p>podkin</p>' >"$root/page.html"
chmod 755 "$root"
cat >"$policy" <<END
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: document-root
spec:
  kprobes:
    - call: security_file_permission
      syscall: false
      message: a page is read
      args:
        - index: 0
          type: file
        - index: 1
          type: int
      selectors:
        - matchArgs:
            - index: 0
              operator: Prefix
              values: ["$root/"]
            - index: 1
              operator: Equal
              values: ["4"]
END

# uid_of N, id_of N: of Pod N and its container.
uid_of() { printf '0a1b2c3d-1111-4222-8333-44445555666%s' "$1"; }
id_of() { printf '%s%063d' "$1" 0; }
cgroup_of() {
    echo "$base/kubepods-burstable.slice/kubepods-burstable-pod$(uid_of "$1" | tr - _).slice/cri-containerd-$(id_of "$1").scope"
}

write_pods() {
    printf '{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[%s]}\n' "${1:-}" >"$pods.new"
    mv "$pods.new" "$pods"
}

# pod N NAME
pod() {
    printf '{"metadata":{"name":"%s-1","namespace":"shop","uid":"%s"},"spec":{"nodeName":"vm","containers":[{"name":"%s","image":"i"}]},"status":{"phase":"Running","containerStatuses":[{"name":"%s","containerID":"containerd://%s","image":"i","imageID":"i","state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}]}}' \
        "$2" "$(uid_of "$1")" "$2" "$2" "$(id_of "$1")"
}

# in_container N COMMAND…: from its first instruction on; in a session of its own, as Apache ends its whole process group.
in_container() {
    mkdir -p "$(cgroup_of "$1")"
    container=$(cgroup_of "$1")
    shift
    start server.log sh -c 'echo $$ >"$0/cgroup.procs" && exec setsid "$@"' "$container" "$@"
}

fetch() {
    for _ in $(seq "$2"); do
        busybox wget -q -O /dev/null "http://127.0.0.1:$1/page.html" || return 1
    done
}
answers() { fetch "$1" 1; }

# Replaces one of the workers: the last process of the container.
replace_worker() {
    kill -KILL "$(tail -n 1 "$(cgroup_of "$1")/cgroup.procs")"
    sleep 1
}

of() { # N: its hook events
    jq -r --arg id "$(id_of "$1")" 'select(.process_kprobe.process.docker == $id[0:31]) | .id' "$results/events.json" | sort -u | wc -l
}

wrong() { # N NAME: hook events that lack something
    jq -r --arg id "$(id_of "$1")" --arg uid "$(uid_of "$1")" --arg name "$2-1" --arg file "$root/page.html" '.process_kprobe as $k | select($k)
        | $k.process as $p | select($p.docker == $id[0:31])
        | select(($p.pod.uid == $uid and $p.pod.name == $name and $p.pod.container.name and $p.pod_state == "complete"
            and $k.parent.pod.uid == $uid and $k.function_name == "security_file_permission" and $k.policy_name == "document-root"
            and $k.args[0].file_arg.path == $file and $k.args[1].int_arg == 4 and $k.message == "a page is read") | not)' "$results/events.json"
}

workers_of() {
    jq -r --arg id "$(id_of "$1")" 'select(.process_kprobe.process.docker == $id[0:31]) | .process_kprobe.process.pid' "$results/events.json" | sort -u | wc -l
}

counted() { awk -v id="$(cat "$results/cgroup-$1")" '$1 == id { print $2 }' "$results/reads"; }
nothing_waits() { [ "$("$build/enricher/podkin" status -o json | jq .hold.events)" = 0 ]; }

write_pods
rm -f /var/log/podkin/events.json # of a test before
check 'the policy is accepted' "$build/collector/podkin-collector" --check-policy "$policy"
check 'the collector is ready, with CAP_BPF and CAP_PERFMON only' start_collector --policy "$policy" || bail "$(tail -n 5 "$results/collector.log")"
check 'the enricher is ready' start_enricher --source "file:$pods" --hold-timeout 5m || bail "$(tail -n 5 "$results/enricher.log")"
start reads "$build/tests/vm/vm-file-reads" "$root/page.html"
reads_pid=$!
check 'the oracle counts' until_true 60 grep -q ready "$results/reads" || done_testing

# ---- the servers --------------------------------------------------------------------------------------------------

cat >"$results/nginx.conf" <<END
user root;
daemon off;
worker_processes 3;
pid /run/policy-nginx.pid;
error_log stderr;
events { worker_connections 32; }
http {
    access_log off;
    server { listen 127.0.0.1:8081; root $root; }
}
END
cat >"$results/apache.conf" <<END
ServerName localhost
ServerRoot /tmp
Listen 127.0.0.1:8082
PidFile /run/policy-apache.pid
ErrorLog /dev/stderr
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
StartServers 3
MinSpareServers 2
MaxSpareServers 4
MaxRequestsPerChild 5
DocumentRoot $root
EnableSendfile Off
EnableMMAP Off
END
in_container 1 nginx -e stderr -c "$results/nginx.conf"
in_container 2 apache2 -f "$results/apache.conf" -DFOREGROUND
in_container 3 busybox httpd -f -p 127.0.0.1:8083 -h "$root"
for n in 1 2 3; do
    check "server $n answers" until_true 60 answers "808$n" || note "$(tail -n 5 "$results/server.log")"
    stat -c %i "$(cgroup_of "$n")" >"$results/cgroup-$n"
done
for n in 1 2 3; do
    fetch "808$n" 10
    [ "$n" = 3 ] || replace_worker "$n" # the third has no workers between connections
    fetch "808$n" 10
done
nginx -e stderr -s reload -c "$results/nginx.conf" 2>/dev/null
sleep 5
equal 'nothing of the Pods left before their metadata' "$(jq -r 'select(.process_kprobe) | .id' "$events" | wc -l)" 0
write_pods "$(pod 1 nginx),$(pod 2 apache),$(pod 3 httpd)"
for n in 1 2 3; do
    fetch "808$n" 10
done
check 'nothing waits any more' until_true 60 nothing_waits
end_servers() {
    for n in 1 2 3; do
        xargs -r kill <"$(cgroup_of "$n")/cgroup.procs"
    done
}
end_servers
sleep 2
stop "$reads_pid"

all_written() {
    cp "$events" "$results/events.json"
    for n in 1 2 3; do
        [ "$(of "$n")" = "$(counted "$n")" ] || return 1
    done
}
until_true 30 all_written
for n in 1:nginx 2:apache 3:httpd; do
    name=${n#*:} n=${n%:*}
    [ "$(counted "$n")" -ge 30 ] 2>/dev/null
    told $? "$name: the kernel counted reads"
    equal "$name: as many events as the kernel counted" "$(of "$n")" "$(counted "$n")"
    equal "$name: each has its Pod, its parent's Pod, function, policy and arguments" "$(wrong "$n" "$name" | head -n 3)" ''
    workers=$(workers_of "$n")
    [ "$workers" -ge 2 ]
    told $? "$name: they are of several workers ($workers)"
done
equal 'the books balance' "$(status_json | jq .books.balanced)" true
equal 'nothing was lost' "$(status_json | jq .counters.lost_records)" 0
for n in 1 2 3; do
    until_true 30 rmdir "$(cgroup_of "$n")" 2>/dev/null
done
done_testing
