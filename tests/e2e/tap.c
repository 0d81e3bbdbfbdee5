/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct {
    bool failed, skipped;
    char reason[256];
    size_t reported;
    int status;
} state;

__attribute__((format(printf, 1, 0))) static void print_comment(const char *format, va_list ap)
{
    char text[1024];

    (void)vsnprintf(text, sizeof(text), format, ap);
    for (char *line = text, *rest; line; line = rest) {
        rest = strchr(line, '\n');
        if (rest)
            *rest++ = '\0';
        printf("# %s\n", line);
    }
    (void)fflush(stdout);
}

void tap_note(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    print_comment(format, ap);
    va_end(ap);
}

bool tap_expect_at(bool condition, const char *file, int line, const char *format, ...)
{
    va_list ap;
    const char *base = strrchr(file, '/');

    if (condition)
        return true;
    state.failed = true;
    printf("# %s:%d:\n", base ? base + 1 : file, line);
    va_start(ap, format);
    print_comment(format, ap);
    va_end(ap);
    return false;
}

void tap_skip(const char *format, ...)
{
    va_list ap;

    state.skipped = true;
    va_start(ap, format);
    (void)vsnprintf(state.reason, sizeof(state.reason), format, ap);
    va_end(ap);
}

bool tap_failed(void)
{
    return state.failed;
}

void tap_plan(size_t count)
{
    printf("1..%zu\n", count);
}

void tap_report(const char *name)
{
    printf("%sok %zu - %s%s%s\n", state.failed ? "not " : "", ++state.reported, name,
        state.skipped ? " # SKIP " : "", state.skipped ? state.reason : "");
    (void)fflush(stdout);
    state.status |= state.failed;
    state.failed = state.skipped = false;
}

int tap_status(void)
{
    return state.status;
}

int tap_main(const struct tap_case *cases, size_t count, int argc, char **argv)
{
    const char *missing = tap_missing();
    size_t chosen = 0;

    if (missing) {
        printf("1..0 # SKIP %s\n", missing);
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        chosen += argc < 2 || strstr(cases[i].name, argv[1]);
    tap_plan(chosen);
    for (size_t i = 0; i < count; i++) {
        if (argc >= 2 && !strstr(cases[i].name, argv[1]))
            continue;
        cases[i].fn();
        tap_report(cases[i].name);
    }
    return tap_status();
}
