#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# clang-tidy over every C source of a build folder, as many at a time as there are CPUs. A file whose preprocessed text and whose rules have not
# changed since it was clean is not looked at again. usage: check-tidy.sh BUILD-DIR [FILE…]
set -u
if [ "${1:-}" = --one ]; then
    # One file: BUILD-DIR CACHE RULES FILE
    build=$2 cache=$3 rules=$4 file=$5
    # The preprocessor's own line markers stay out: they name system headers, whose text is there anyway.
    key=$( (echo "$rules"; clang -E -P -D_GNU_SOURCE -I. -I"$build" -I"$build/bpf" -I"$build/tests/e2e" "$file" 2>/dev/null; cat "$file") | sha256sum)
    key=${key%% *}
    [ ! -e "$cache/$key" ] || exit 0
    if clang-tidy --quiet -p "$cache" "$file" >"$cache/$key.out" 2>"$cache/$key.err"; then
        : >"$cache/$key"
        rm -f "$cache/$key.out" "$cache/$key.err"
        exit 0
    fi
    cat "$cache/$key.out"
    grep -v -e 'warnings\{0,1\} generated' -e 'treated as error' -e '^Suppressed' -e '^Use -header' "$cache/$key.err"
    echo "clang-tidy: $file"
    rm -f "$cache/$key.out" "$cache/$key.err"
    exit 1
fi

build=$1
shift
cache=$build/tidy-cache
mkdir -p "$cache"
# Each file once: some are compiled again, for a sanitizer, and clang 14 takes va_start() in the second for unknown.
python3 - "$build" "$cache" <<'END' || exit 1
import json, sys

commands = {}
for command in json.load(open(sys.argv[1] + '/compile_commands.json')):
    known = commands.get(command['file'])
    if known is None or '-fsanitize' in known['command']:
        commands[command['file']] = command
json.dump(list(commands.values()), open(sys.argv[2] + '/compile_commands.json', 'w'))
END
rules=$(cat .clang-tidy; clang-tidy --version | sed -n 's/.*version/version/p')
rules=$(echo "$rules" | sha256sum)
if [ $# = 0 ]; then
    # Our sources only; a program for the BPF target is no host program.
    # shellcheck disable=SC2046 # file names without blanks
    set -- $(git ls-files '*.c' | grep -v '\.bpf\.c$')
fi
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 "$0" --one "$build" "$cache" "${rules%% *}"
