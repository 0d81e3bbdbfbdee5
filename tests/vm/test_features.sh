# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What each kernel lets a process do with BPF, as root and as a user who has CAP_BPF and CAP_PERFMON alone, against bpf_features.tsv: every program there is loaded,
# attached and made to run.
# shellcheck source=tests/vm/lib.sh
. "$PODKIN_SOURCE_ROOT/tests/vm/lib.sh"

# compare COLUMN FILE: a case a feature.
compare() {
    while IFS="$(printf '\t')" read -r feature root_6_1 root_6_12 user_6_1 user_6_12; do
        case $feature in '#'* | '') continue ;; esac
        case $1-$kernel in
        root-6.1) wanted=$root_6_1 ;;
        root-*) wanted=$root_6_12 ;;
        user-6.1) wanted=$user_6_1 ;;
        user-*) wanted=$user_6_12 ;;
        esac
        equal "$1: $feature: $wanted" "$(awk -F '\t' -v feature="$feature" '$1 == feature { print $2 }' "$2")" "$wanted"
    done <"$vm/bpf_features.tsv"
}

# Where the user may go.
install -m 0755 "$build/tests/vm/vm-bpf-features" /usr/local/bin/vm-bpf-features
check 'the programs can be tried as root' sh -c "vm-bpf-features >$results/root 2>$results/root.err"
(as nobody-but-bpf bpf,perfmon vm-bpf-features >"$results/user" 2>"$results/user.err")
told $? 'the programs can be tried with CAP_BPF and CAP_PERFMON'
compare root "$results/root"
compare user "$results/user"
equal 'every feature is in the table' "$(cut -f1 "$results/root")" "$(sed -n 's/^\([a-z_]*\)\t.*/\1/p' "$vm/bpf_features.tsv")"
done_testing
