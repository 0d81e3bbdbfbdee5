#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every test that docs/threat-model.md names in the last column of its tables exists, under that name. TAP.
set -eu
tree=${PODKIN_SOURCE_ROOT:-$(cd "$(dirname "$0")/.." && pwd)}
cd "$tree"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A line for each: FILE of the test, tab, NAME in it. FILE - : whatever stands in tests/unit; e2e: in tests/e2e. NAME - : the file alone.
# `file: name`, then `name` of the same file; e2e: "title"; e2e/test_x: "row"; words without quotes are for people.
names_in_table() {
    awk -F ' *[|] *' '
        /^[|]/ && NF >= 5 && $(NF - 1) != "shown by" && $(NF - 1) !~ /^-+$/ { print $(NF - 1) }
        /^Shown by / { print }
    ' docs/threat-model.md | awk '
        {
            rest = $0; file = "-"
            while (match(rest, /`[^`]*`|"[^"]*"|e2e\/test_[a-z_]+|vm\/test_[a-z_]+|e2e/)) {
                token = substr(rest, RSTART, RLENGTH)
                rest = substr(rest, RSTART + RLENGTH)
                quote = substr(token, 1, 1)
                if (quote == "`" || quote == "\"")
                    token = substr(token, 2, length(token) - 2)
                if (quote == "`" && match(token, /^[a-z0-9]+\/[a-z_0-9]+/)) {
                    file = substr(token, 1, RLENGTH)
                    name = substr(token, RLENGTH + 1)
                    sub(/^: */, "", name)
                    print file "\t" (name == "" ? "-" : name)
                } else if (quote == "`" || quote == "\"") {
                    print file "\t" token
                } else {
                    file = token
                    if (token != "e2e")
                        print file "\t-"
                }
            }
        }' | sort -u
}

# files_of FILE: where its names are looked for.
files_of() {
    case $1 in
    -) find tests/unit -name 'test_*.c' ;;
    e2e) find tests/e2e -name '*.[ch]' -o -path 'tests/e2e/*.sh' ;;
    load/*) echo "tests/$1.c" ;;
    e2e/test_intruder) echo tests/e2e/test_intruder.c tests/e2e/intruder_*.c ;;
    vm/*) echo "tests/$1.sh" ;;
    *) ls "tests/unit/$1.c" "tests/$1.c" "tests/${1%/*}/test_${1#*/}.c" 2>/dev/null ;;
    esac
}

number=0 failed=0
names_in_table >"$work/names"
echo "1..$(($(wc -l <"$work/names") + 1))"
while IFS='	' read -r file name; do
    number=$((number + 1))
    files=$(files_of "$file") || true
    # With an ellipsis: its beginning.
    text=${name%…}
    # shellcheck disable=SC2086 # file names
    if [ -n "$files" ] && { [ "$name" = - ] || grep -qF -- "$text" $files; }; then
        echo "ok $number - $file: $name"
    else
        failed=1
        echo "not ok $number - $file: $name"
    fi
done <"$work/names"
if [ "$(wc -l <"$work/names")" -ge 60 ]; then
    echo "ok $((number + 1)) - there are names"
else
    echo "not ok $((number + 1)) - there are names"
    failed=1
fi
exit "$failed"
