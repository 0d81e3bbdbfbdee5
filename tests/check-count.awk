# SPDX-License-Identifier: Apache-2.0
# meson-logs/testlog.json, one test program a line → "passed failed skipped" on the last line, before it one line a failed or skipped case:
# "F name: case" and "S name: reason". A TAP program counts by its cases, any other as one. A TAP program that ended badly (signal,
# time-out, wrong plan) without saying "not ok" counts as one failure.
function value(key,    at, rest) {
    # The keys' quotes are bare; those inside of "stdout" are escaped and cannot match.
    at = match($0, "\"" key "\": \"")
    if (!at || substr($0, at - 1, 1) == "\\")
        return ""
    rest = substr($0, at + RLENGTH)
    match(rest, /^([^"\\]|\\.)*/)
    return substr(rest, 1, RLENGTH)
}
function readable(text) {
    gsub(/\\"/, "\"", text)
    gsub(/\\t/, " ", text)
    gsub(/\\\\/, "\\", text)
    return text
}
{
    name = value("name")
    result = value("result")
    sub(/^podkin:[^ ]* *\/ */, "", name)
    sub(/ *podkin:[^ ]*/, "", name)
    count = split(value("stdout"), lines, /\\n/)
    ok = bad = skip = 0
    for (i = 1; i <= count; i++) {
        line = readable(lines[i])
        if (line ~ /^ok( |$)/) {
            if (line ~ /# *[Ss][Kk][Ii][Pp]/) {
                skip++
                print "S " name ": " line
            } else {
                ok++
            }
        } else if (line ~ /^not ok( |$)/) {
            bad++
            print "F " name ": " line
        } else if (line ~ /^1\.\.0/) {
            skip++
            sub(/^1\.\.0 *#? */, "", line)
            print "S " name ": " line
        }
    }
    if (!ok && !bad && !skip) {
        if (result == "OK" || result == "EXPECTEDFAIL") {
            ok = 1
        } else if (result == "SKIP") {
            skip = 1
            print "S " name
        }
    }
    if (result != "OK" && result != "EXPECTEDFAIL" && result != "SKIP" && !bad) {
        bad = 1
        print "F " name ": " result
    }
    passed += ok
    failed += bad
    skipped += skip
}
END {
    print passed + 0, failed + 0, skipped + 0
}
