#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every policy of tests/fixtures/policies through podkin policy check: what is printed is what docs/compatibility.md says.
# compatibility.sh [--write]     --write: docs/compatibility.md anew
set -u
LC_ALL=C
export LC_ALL
build=${PODKIN_BUILD_ROOT:-build} source=${PODKIN_SOURCE_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
case $build in /*) ;; *) build=$PWD/$build ;; esac
cli=$build/enricher/podkin document=$source/docs/compatibility.md
[ -x "$cli" ] || { echo "1..0 # SKIP $cli is not built" && exit 0; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$source/tests/fixtures/policies" || exit 1

# Fixed text around the table.
head_of() {
    cat <<'END'
# Compatibility with Tetragon's policies

What becomes of policies as Tetragon's documentation describes them, one feature each. Made by `tests/e2e/compatibility.sh --write` from
`tests/fixtures/policies/`, and compared with what `podkin policy check` prints at each run of `./check e2e`: accepted, or line, column, key and
reason of each fault. The check knows no kernel: whether the running one has a function or tracepoint, `podkin-collector --check` says. What an
accepted policy does differently is in [policies](policies.md).

END
    echo "$accepted of $((accepted + refused)) are accepted whole."
    echo
    echo '| policy | what it does | podkin |'
    echo '|---|---|---|'
}

# what_of FILE: its comment.
what_of() {
    sed -n '2s/^# //p' "$1"
}

# row FILE STATUS: one of the table; what was printed is in $dir/out.
row() {
    if [ "$2" = 0 ]; then
        said=$(sed -n '1s/^[^ ]*: [^ ]*: OK/accepted/p' "$dir/out")
    else
        said="refused: $(sed -e "s/^$1:/\`/" -e 's/|/\\|/g' -e 's/$/`/' "$dir/out" | paste -sd'\t' | sed 's/\t/<br>/g')"
    fi
    echo "| [${1%.yaml}](../tests/fixtures/policies/$1) | $(what_of "$1") | $said |"
}

accepted=0 refused=0 faulty=
for file in *.yaml; do
    "$cli" policy check "$file" >"$dir/out" 2>"$dir/err" </dev/null
    status=$?
    case $status in
    0) accepted=$((accepted + 1)) ;;
    1) refused=$((refused + 1)) ;;
    esac
    # One or the other: an OK with status 0, or faults of this file with status 1. A line without a place has not been understood.
    if [ -s "$dir/err" ] || [ -z "$(what_of "$file")" ]; then
        faulty="$faulty $file"
    elif [ "$status" = 0 ]; then
        grep -q "^$file: .*: OK" "$dir/out" || faulty="$faulty $file"
    elif [ "$status" != 1 ] || ! [ -s "$dir/out" ] || grep -qv "^$file:[0-9]*:[0-9]*: " "$dir/out"; then
        faulty="$faulty $file"
    fi
    row "$file" "$status" >>"$dir/rows"
done
{ head_of && cat "$dir/rows"; } >"$dir/document"

if [ "${1-}" = --write ]; then
    cp "$dir/document" "$document"
    exit 0
fi
number=0
# told STATUS NAME
told() {
    number=$((number + 1))
    if [ "$1" = 0 ]; then echo "ok $number - $2"; else echo "not ok $number - $2"; fi
}
[ "$accepted" -ge 40 ] && [ "$refused" -ge 20 ]
told $? "policies of both sorts were read: $accepted accepted, $refused refused"
[ -z "$faulty" ]
told $? "each is accepted, or refused with places and reasons"
[ -z "$faulty" ] || echo "# not so:$faulty"
diff -u "$document" "$dir/document" >"$dir/diff" 2>&1
told $? 'docs/compatibility.md says what is printed (else: tests/e2e/compatibility.sh --write)'
sed 's/^/# /' "$dir/diff"
echo "1..$number"
