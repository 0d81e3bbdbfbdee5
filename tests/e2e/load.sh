#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# podkin-load as a user runs it: every shipped profile, shortened, against the real enricher; reports, thresholds, bad use. No privileges are needed.
set -u
build=${PODKIN_BUILD_ROOT:-build}
source=${PODKIN_SOURCE_ROOT:-.}
load=$build/tests/load/podkin-load
[ -x "$load" ] || { echo "1..0 # SKIP $load is not built" && exit 0; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
number=0

told() {
    number=$((number + 1))
    [ "$1" = 0 ] && echo "ok $number - $2" && return
    [ -z "${3-}" ] || printf '%s\n' "$3" | sed 's/^/# /'
    echo "not ok $number - $2"
}

for profile in "$source"/tests/load/profiles/*.conf; do
    name=$(basename "$profile" .conf)
    rate=
    grep -q '^rate = 0' "$profile" || rate='--rate 5000'
    # shellcheck disable=SC2086 # one option or none
    timeout 100 "$load" --config "$profile" --duration 2s --metadata-delay 300ms $rate --json "$dir/$name.json" >"$dir/out" 2>"$dir/err"
    told $? "$name: everything that was sent is written, the books balance" "$(tail -n 5 "$dir/err"; cat "$dir/out")"
done
grep -q '"balanced": true' "$dir/steady.json" && grep -q '"write_p9999_us": [1-9]' "$dir/steady.json" && grep -q '"ms": [1-9]' "$dir/steady.json"
told $? 'the report in JSON has results and a curve' "$(head -n 60 "$dir/steady.json")"
timeout 60 "$load" --duration 2s --rate 1000 --html "$dir/page.html" >"$dir/out" 2>&1 && grep -q '</html>' "$dir/page.html" &&
    ! grep -qE '(src|href)=' "$dir/page.html"
told $? 'the page needs nothing from elsewhere' "$(cat "$dir/out")"
timeout 60 "$load" --duration 1s --rate 1000 --fail-rss 1M >"$dir/out" 2>&1
[ $? = 1 ] && grep -q '^failed: memory' "$dir/out"
told $? 'a threshold that is passed is exit status 1 and said' "$(cat "$dir/out")"
timeout 60 "$load" --duration 1s --rate 1000 --enricher /nonexistent >"$dir/out" 2>&1
[ $? = 1 ] && grep -q '/nonexistent: No such file' "$dir/out"
told $? 'an enricher that is not there is said' "$(cat "$dir/out")"
timeout 60 "$load" --rate many >"$dir/out" 2>&1
[ $? = 2 ] && [ "$(wc -l <"$dir/out")" = 1 ] && grep -q -- '--rate' "$dir/out"
told $? 'a bad option is exit status 2 and one line' "$(cat "$dir/out")"
echo "1..$number"
