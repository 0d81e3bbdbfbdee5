# SPDX-License-Identifier: Apache-2.0
# What a guest said → a line a test, in the form of meson's testlog.json that tests/check-count.awk reads. Variables: kernel; tests: the names of all that must be there;
# verdict: why the guest ended before its time, if it did. Around each test's TAP the guest says "@ test NAME" and "@ status NAME EXIT-STATUS SECONDS".
function add(name, line) {
    gsub(/\\/, "\\\\", line)
    gsub(/"/, "\\\"", line)
    gsub(/\t/, "\\t", line)
    gsub(/[[:cntrl:]]/, "", line)
    output[name] = output[name] line "\\n"
}
# A test that did not say itself what is wrong.
function fault(name, text) {
    if (!bad[name])
        add(name, "not ok - " text)
    bad[name]++
}
$1 == "@" && $2 == "test" {
    current = $3
    started[current] = 1
    next
}
$1 == "@" && $2 == "status" {
    status[$3] = $4
    current = ""
    next
}
current != "" {
    add(current, $0)
    if (/^(not )?ok( |$)/)
        ran[current]++
    if (/^not ok( |$)/)
        bad[current]++
    if (/^1\.\.[0-9]+/)
        plan[current] = substr($1, 4) + 0
}
END {
    count = split(tests, names, " ")
    for (i = 1; i <= count; i++) {
        name = names[i]
        if (!(name in started))
            fault(name, "it did not run: " (verdict == "" ? "the guest left it out" : verdict))
        else if (!(name in status))
            fault(name, "it did not end: " (verdict == "" ? "the guest went on" : verdict))
        else if (status[name] == 124)
            fault(name, "it took too long")
        else if (status[name] != 0)
            fault(name, "exit status " status[name])
        else if (!(name in plan))
            fault(name, "it did not tell how many cases it has")
        else if (plan[name] != ran[name] + 0)
            fault(name, plan[name] " cases announced, " (ran[name] + 0) " ran")
        printf "{\"name\": \"vm/%s/%s\", \"result\": \"%s\", \"stdout\": \"%s\"}\n", kernel, name, (bad[name] ? "FAIL" : "OK"), output[name]
    }
}
