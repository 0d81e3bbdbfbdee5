# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154,SC2317 # names of lib.sh; functions that check and until_true call
# time-out: 600
# The policies that come with podkin: this kernel takes every one of them, and each tells what it is there for, from a collector with CAP_BPF and CAP_PERFMON alone.
# shellcheck source=tests/vm/lib.sh
. "$PODKIN_SOURCE_ROOT/tests/vm/lib.sh"

policies=$PODKIN_SOURCE_ROOT/systemd/policies
count=$(find "$policies" -name '*.yaml' | wc -l)

rm -f /var/log/podkin/events.json # of a test before
start_collector --policy-dir "$policies"
told $? 'the collector is ready'
grep -q "policies: $count loaded, .* 0 refused, 0 files with faults" "$results/collector.log"
told $? "all $count policies are in force" || true
note "$(grep -E 'policies|force|refused' "$results/collector.log" | tail -n 5)"
check 'the enricher is ready' start_enricher || bail "$(tail -n 5 "$results/enricher.log")"

# ---- what they are there for ----------------------------------------------------------------------------------

cat /etc/shadow >/dev/null
cp /bin/true /tmp/podkin-copy
/tmp/podkin-copy
rm /tmp/podkin-copy
unshare --mount true
strace -o /dev/null true
mkdir -p /run/podkin-mnt
mount -t tmpfs none /run/podkin-mnt
umount /run/podkin-mnt
modprobe dummy
ip link add podkin0 type dummy
ip addr add 192.0.2.1/24 dev podkin0
ip link set podkin0 up
busybox timeout 2 busybox wget -q -O /dev/null http://192.0.2.2:81/
ip link del podkin0
rmmod dummy
"$build/tests/vm/vm-bpf-features" >/dev/null 2>&1

# seen POLICY PATTERN: an event of it, of a function whose whole name is as the pattern says.
seen() {
    jq -e --arg policy "$1" --arg function "^($2)\$" -s \
        'map(select(.process_kprobe.policy_name == $policy and (.process_kprobe.function_name | test($function)))) | length > 0' "$events"
}
seen_soon() { until_true 15 seen "$@"; }

check 'sensitive-files: /etc/shadow is read' seen_soon sensitive-files security_file_permission
check 'unusual-exec: a program in /tmp' seen_soon unusual-exec security_bprm_creds_from_file
check 'privilege-changes: new namespaces' seen_soon privilege-changes __x64_sys_unshare
check 'ptrace: a process is traced' seen_soon ptrace __x64_sys_ptrace
check 'mounts: a mount' seen_soon mounts __x64_sys_mount
check 'mounts: its end' seen_soon mounts __x64_sys_umount
check 'kernel-modules-and-bpf: a module comes' seen_soon kernel-modules-and-bpf '__x64_sys_f?init_module' # by memory where it was packed
check 'kernel-modules-and-bpf: and goes' seen_soon kernel-modules-and-bpf __x64_sys_delete_module
check 'kernel-modules-and-bpf: a BPF program' seen_soon kernel-modules-and-bpf __x64_sys_bpf
check 'network-connections: a connection' seen_soon network-connections tcp_connect
equal 'the path of the file' "$(jq -r 'select(.process_kprobe.policy_name == "sensitive-files") | .process_kprobe.args[0].file_arg.path' "$events" | head -n 1)" /etc/shadow
equal 'the address of the connection' "$(jq -r 'select(.process_kprobe.function_name == "tcp_connect") | .process_kprobe.args[0].sock_arg | "\(.daddr) \(.dport)"' "$events" | head -n 1)" '192.0.2.2 81'
equal 'the books balance' "$(status_json | jq .books.balanced)" true
cp "$events" "$results/events.json"
done_testing
