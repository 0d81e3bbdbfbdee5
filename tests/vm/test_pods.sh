# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2016,SC2317 # jq's variables; functions that check and until_true call
# time-out: 600
# A node in small: containerd, and a Pod made as the kubelet makes it, with nginx and its workers in one container and a shell in the other. What names the Pod comes
# five seconds after its last container. Every exec, fork and exit in it carries the Pod, and there are as many as the kernel counts.
# shellcheck source=tests/vm/lib.sh
. "$PODKIN_SOURCE_ROOT/tests/vm/lib.sh"

uid=0a1b2c3d-1111-4222-8333-444455556666
pods=/run/podkin-pods.json
slice=/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod$(echo "$uid" | tr - _).slice
sandbox_config="metadata { name: 'web-1' uid: '$uid' namespace: 'shop' } log_directory: '/var/log/pods/shop_web-1_$uid'
    linux { cgroup_parent: '${slice##*/}' security_context { namespace_options { network: NODE pid: CONTAINER } } }"

# write_pods ITEM…: whole at once, as podkin wants it.
write_pods() {
    printf '{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[%s]}\n' "${1:-}" >"$pods.new"
    mv "$pods.new" "$pods"
}

# status_of NAME CONTAINER-ID
status_of() {
    printf '{"name":"%s","state":{"running":{"startedAt":"%s"}},"ready":true,"restartCount":0,"image":"podkin.test/nginx:1","imageID":"podkin.test/nginx@sha256:%s","containerID":"containerd://%s"}' \
        "$1" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$2" "$2"
}

the_pod() {
    printf '{"metadata":{"name":"web-1","namespace":"shop","uid":"%s","labels":{"app":"web"}},"spec":{"nodeName":"vm","containers":[{"name":"nginx","image":"podkin.test/nginx:1"},{"name":"shell","image":"podkin.test/nginx:1"}]},"status":{"phase":"Running","containerStatuses":[%s,%s]}}' \
        "$uid" "$(status_of nginx "$nginx")" "$(status_of shell "$shell")"
}

# start_container NAME COMMAND: prints its id. COMMAND: fields of the request.
start_container() {
    id=$(cri CreateContainer <<END | sed -n 's/^container_id: "\(.*\)"/\1/p'
pod_sandbox_id: '$sandbox' sandbox_config { $sandbox_config }
config { metadata { name: '$1' } image { image: 'podkin.test/nginx:1' } $2 log_path: '$1.log'
    linux { security_context { namespace_options { network: NODE pid: CONTAINER } } } }
END
    )
    [ -n "$id" ] && echo "container_id: '$id'" | cri StartContainer >/dev/null && echo "$id"
}

cgroup_of() {
    echo "$slice/cri-containerd-$1.scope"
}

# count_of CONTAINER: "forks execs exits" by the kernel.
count_of() {
    awk -v id="$1" '$1 == id { print $2, $3, $4 }' "$results/count"
}

# events_of CONTAINER: the same by podkin's lines.
events_of() {
    echo "$(of "$1" process_fork) $(of "$1" process_exec) $(of "$1" process_exit)"
}

of() {
    jq -r --arg id "$1" --arg type "$2" 'select(.[$type].process.docker == $id[0:31]) | .id' "$results/events.json" | sort -u | wc -l
}

# lines_without CONTAINER CONDITION: how many of its lines do not satisfy it; p: the process.
lines_without() {
    jq -r --arg id "$1" --arg uid "$uid" "(.process_fork // .process_exec // .process_exit // empty).process as \$p
        | select(\$p.docker == \$id[0:31]) | select(($2) | not) | [.id, \$p.pid, \$p.binary, \$p.role, \$p.pod_state, \$p.pod_state_reason] | @tsv" \
        "$results/events.json"
}

containers_gone() {
    [ ! -e "$(cgroup_of "$nginx")" ] && [ ! -e "$(cgroup_of "$shell")" ] && [ ! -e "$(cgroup_of "$sandbox")" ]
}

workers_run() {
    [ "$(wc -l <"$(cgroup_of "$nginx")/cgroup.procs")" = 4 ]
}

# What the kernel counted has been written: both give the same, or time is up.
all_written() {
    for container in "$nginx" "$shell" "$sandbox"; do
        cp "$events" "$results/events.json"
        [ "$(events_of "$container")" = "$(cat "$results/wanted-$container")" ] || return 1
    done
}

# ---- the node -------------------------------------------------------------------------------------------------

write_pods
rm -f /var/log/podkin/events.json # of a test before
check 'containerd is up and has its images' start_containerd || done_testing
check 'the collector is ready, as its own user with CAP_BPF and CAP_PERFMON' start_collector || bail "$(tail -n 3 "$results/collector.log")"
check 'the enricher is ready, as its own user without capabilities' start_enricher --source "file:$pods" --hold-timeout 5m || bail "$(tail -n 3 "$results/enricher.log")"
start count "$build/tests/vm/vm-count"
count_pid=$!
check 'the oracle counts' until_true 60 grep -q ready "$results/count" || done_testing

# ---- the Pod --------------------------------------------------------------------------------------------------

sandbox=$(echo "config { $sandbox_config }" | cri RunPodSandbox | sed -n 's/^pod_sandbox_id: "\(.*\)"/\1/p')
check 'RunPodSandbox' test -n "$sandbox" || done_testing
nginx=$(start_container nginx "command: '/usr/sbin/nginx'")
check 'a container with nginx' test -n "$nginx" || done_testing
shell=$(start_container shell "command: '/bin/sh' command: '-c' command: 'for i in 1 2 3 4; do id -u; (ls / & wait); done; sleep 3600'")
check 'a container with a shell' test -n "$shell" || done_testing
check 'nginx has its three workers' until_true 60 workers_run
for container in "$nginx" "$shell" "$sandbox"; do
    stat -c %i "$(cgroup_of "$container")" >"$results/cgroup-$container"
done
sleep 5
# Those before the metadata: what is in the Pod's cgroups has not left.
equal 'nothing of the Pod left before its metadata' "$(jq -r --arg uid "$uid" 'select(.. | .uid? == $uid) | .id' "$events" | wc -l)" 0
write_pods "$(the_pod)"
# A worker that dies now is replaced; both are of the Pod at once.
worker=$(tail -n 1 "$(cgroup_of "$nginx")/cgroup.procs")
kill -KILL "$worker"
sleep 1
check 'nginx replaces a worker that was killed' until_true 60 workers_run
until_true 30 sh -c "status() { '$build/enricher/podkin' status -o json; }; [ \"\$(status | jq .hold.events)\" = 0 ]"
told $? 'nothing waits any more'
for container in "$nginx" "$shell"; do
    echo "container_id: '$container' timeout: 2" | cri StopContainer >/dev/null
done
echo "pod_sandbox_id: '$sandbox'" | cri StopPodSandbox >/dev/null
check 'the Pod ends' until_true 60 containers_gone
stop "$count_pid"

# ---- what was told ------------------------------------------------------------------------------------------------

for container in "$nginx" "$shell" "$sandbox"; do
    count_of "$(cat "$results/cgroup-$container")" >"$results/wanted-$container"
done
until_true 30 all_written
for name in nginx shell; do
    eval "container=\$$name"
    equal "$name: as many forks, execs and exits as the kernel counts" "$(events_of "$container")" "$(cat "$results/wanted-$container")"
    equal "$name: each with namespace, name, UID and container" \
        "$(lines_without "$container" "\$p.pod.namespace == \"shop\" and \$p.pod.name == \"web-1\" and \$p.pod.uid == \$uid and \$p.pod.container.name == \"$name\" and \$p.pod.container.id == \"containerd://\" + \$id and \$p.pod_state == \"complete\"")" ''
    note "$name: forks, execs, exits: $(events_of "$container")"
done
equal 'the sandbox: as many as the kernel counts' "$(events_of "$sandbox")" "$(cat "$results/wanted-$sandbox")"
equal 'the sandbox: each with namespace, name and UID' \
    "$(lines_without "$sandbox" '$p.pod.namespace == "shop" and $p.pod.name == "web-1" and $p.pod.uid == $uid')" ''
equal 'the sandbox: /pause has the role sandbox' \
    "$(jq -r --arg id "$sandbox" '.process_exec.process | select(.docker == $id[0:31] and .binary == "/pause") | .role' "$results/events.json")" sandbox
equal "the workers are nginx's" \
    "$(jq -r --arg id "$nginx" '.process_fork | select(.process.docker == $id[0:31] and .process.role == "workload") | .process.binary' "$results/events.json" | sort | uniq -c | tr -s ' ')" ' 4 /usr/sbin/nginx'
# On its way into the container runc runs from a copy of itself, in a memfd.
runtime=$(jq -r --arg id "$nginx" '(.process_fork // .process_exec // .process_exit // empty).process | select(.docker == $id[0:31] and .role == "runtime") | .binary' "$results/events.json" | sort -u)
check 'runc on its way into the container has the role runtime' sh -c "echo '$runtime' | grep -xE '/dev/fd/[0-9]+|/proc/self/exe|.*/runc|.*memfd.*'"
status_json >"$results/status.json"
equal 'the books balance, nothing was lost' "$(jq -c '[.books.balanced, .counters.lost_records]' "$results/status.json")" '[true,0]'
stop "$enricher"
told $? 'the enricher ends when told'
stop "$collector"
told $? 'the collector ends when told'
done_testing
