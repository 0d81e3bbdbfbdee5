#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is shipped for systemd: the configuration names every option and is accepted, the pages describe every option, the units are well-formed and as closed
# as they claim to be.
set -u
build=${PODKIN_BUILD_ROOT:-build}
source=${PODKIN_SOURCE_ROOT:-.}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
number=0

told() {
    number=$((number + 1))
    [ "$1" = 0 ] && echo "ok $number - $2" && return
    [ -z "${3-}" ] || printf '%s\n' "$3" | sed 's/^/# /'
    echo "not ok $number - $2"
}

# options PROGRAM: the names that a configuration file may have.
options() {
    "$1" --help | sed -n 's/^  --\([a-z0-9-]*\) .*/\1/p; s/^  --\([a-z0-9-]*\)$/\1/p' | grep -vxE 'config|check|check-policy|policy|version|help'
}

for side in collector enricher; do
    program=$build/$side/podkin-$side conf=$source/systemd/$side.conf
    [ -x "$program" ] || { echo "1..0 # SKIP $program is not built" && exit 0; }
    missing=$(for option in $(options "$program"); do grep -qE "^#?$option =" "$conf" || echo "$option"; done)
    [ -z "$missing" ]
    told $? "$side.conf names every option" "missing: $missing"
    unknown=$(sed -nE 's/^#?([a-z0-9-]+) =.*/\1/p' "$conf" | sort -u | while read -r key; do
        options "$program" | grep -qx "$key" || echo "$key"
    done)
    [ -z "$unknown" ]
    told $? "$side.conf names no option that does not exist" "unknown: $unknown"
done
mkdir -p "$dir/log"
sed "s#^output = .*#output = $dir/log/events#; s#^source = logdir:.*#source = logdir:$dir#" "$source/systemd/enricher.conf" >"$dir/enricher.conf"
"$build/enricher/podkin-enricher" --config "$dir/enricher.conf" --check >"$dir/out" 2>&1
told $? 'enricher.conf is accepted' "$(cat "$dir/out")"
# With every key uncommented, but for those that name files, users and hierarchies.
sed -E 's/^#([a-z-]+) = (.+)$/\1 = \2/' "$source/systemd/collector.conf" | grep -vE '^(peer-user|cgroup-root|policy-dir)' >"$dir/collector.conf"
echo 'peer-user = root' >>"$dir/collector.conf"
"$build/collector/podkin-collector" --config "$dir/collector.conf" --check >"$dir/out" 2>&1
told $? 'collector.conf is accepted with every default written out' "$(cat "$dir/out")"

# described PAGE: the long options that a page of the manual describes.
described() {
    grep '^\.It ' "$source/systemd/man/$1" | grep -oE 'Fl Fl [a-z0-9-]+' | sed 's/^Fl Fl //' | sort -u
}

# helped PROGRAM [ARGUMENT…]: those that its help lists.
helped() {
    "$@" | grep -oE '^ +(-[a-z], )?--[a-z0-9-]+' | sed 's/^.*--//'
}

# same_options PAGE TEXT: the page and $dir/helped.
same_options() {
    sort -u -o "$dir/helped" "$dir/helped"
    described "$1" >"$dir/described"
    differ=$(diff "$dir/helped" "$dir/described" | sed -n 's/^< /only in the help: --/p; s/^> /only in the page: --/p')
    [ -s "$dir/helped" ] && [ -z "$differ" ]
    told $? "$1 describes the options of $2, each and no other" "$differ"
}

helped "$build/collector/podkin-collector" --help >"$dir/helped"
same_options podkin-collector.8 podkin-collector
helped "$build/enricher/podkin-enricher" --help >"$dir/helped"
same_options podkin-enricher.8 podkin-enricher
helped "$build/tests/load/podkin-load" --help >"$dir/helped"
same_options podkin-load.1 podkin-load
commands=$("$build/enricher/podkin" --help | sed -n 's/^  podkin \([a-z]*\) .*/\1/p' | sort -u | grep -vx help)
for command in $commands; do
    helped "$build/enricher/podkin" help "$command"
done >"$dir/helped"
same_options podkin.1 podkin
missing=$(for command in $commands; do grep -qE "^\.Ss podkin $command( |\$)" "$source/systemd/man/podkin.1" || echo "$command"; done)
[ -n "$commands" ] && [ -z "$missing" ]
told $? 'podkin.1 describes every command' "missing: $missing"
missing=$(for command in $commands; do grep -qE "'[a-z ]*\b$command\b" "$source/systemd/podkin.bash-completion" || echo "$command"; done)
[ -z "$missing" ]
told $? 'the completion knows every command' "missing: $missing"

# offered WORD…: what completes the last of them.
offered() {
    # shellcheck disable=SC2016 # of the inner shell
    PATH=$build/collector:$build/enricher:$build/tests/load:$PATH bash -c '. "$1" && shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) by=$(complete -p "$1") && by=${by##*-F }
        "${by%% *}" "$1"
        echo "${COMPREPLY[@]}"' bash "$source/systemd/podkin.bash-completion" "$@"
}

# offers WORDS WORD…
offers() {
    words=$1
    shift
    shown=$(offered "$@")
    [ "$shown" = "$words" ]
    told $? "completion of '$*'" "is: $shown"
}
if command -v bash >/dev/null; then
    offers 'expand explain' podkin ex
    offers --queue-size podkin-collector --qu
    offers 'auto on' podkin-collector --policy-reload ''
    offers epoll podkin-enricher --loop e
    offers "$build/systemd" podkin-enricher --ca-file "$build/syst"
    offers '' podkin-enricher --hold-timeout ''
    offers run podkin-load ru
    offers kubelet podkin-load run steady --standin k
    offers --find-limit podkin-load --find
else
    echo "ok $((number += 1)) - completion # SKIP bash is not installed"
fi

if command -v systemd-analyze >/dev/null; then
    for side in collector:1.5 enricher:1.0; do
        unit=$build/systemd/podkin-${side%:*}.service limit=${side#*:}
        level=$(systemd-analyze security --offline=yes --no-pager "$unit" 2>/dev/null | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
        [ -n "$level" ] && [ "$(echo "$level $limit" | awk '{ print $1 <= $2 }')" = 1 ]
        told $? "podkin-${side%:*}.service: exposure $level, at most $limit"
        wrong=$(systemd-analyze verify "$unit" 2>&1 | grep -vE 'is not executable|Command .man ')
        [ -z "$wrong" ]
        told $? "podkin-${side%:*}.service has no mistake" "$wrong"
    done
else
    echo "ok $((number += 1)) - units # SKIP systemd-analyze is not installed"
fi
echo "1..$number"
