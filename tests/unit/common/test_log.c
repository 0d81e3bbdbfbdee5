/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* stderr of a test is a file of its own; each test is a process of its own. */
static int capture;

static void begin(void)
{
    capture = memfd_create("stderr", MFD_CLOEXEC);
    cr_assert_geq(capture, 0);
    cr_assert_eq(dup2(capture, STDERR_FILENO), STDERR_FILENO);
    (void)unsetenv("JOURNAL_STREAM");
}

static const char *captured(void)
{
    static char text[16384];
    ssize_t size = pread(capture, text, sizeof(text) - 1, 0);

    cr_assert_geq(size, 0);
    text[size] = '\0';
    return text;
}

TestSuite(log, .init = begin);

Test(log, line_has_program_and_level)
{
    log_init("podkin-test", LOG_LEVEL_DEBUG);
    log_error("one %d", 1);
    log_warning("two");
    log_info("three");
    log_debug("four");
    cr_expect_str_eq(captured(), "podkin-test: error: one 1\npodkin-test: warning: two\npodkin-test: three\n"
                                 "podkin-test: debug: four\n");
}

Test(log, levels_above_the_wanted_one_are_silent)
{
    log_init("podkin-test", LOG_LEVEL_WARNING);
    log_info("not said");
    log_debug("nor this");
    log_warning("said");
    cr_expect_str_eq(captured(), "podkin-test: warning: said\n");
}

Test(log, text_from_outside_cannot_forge_a_line)
{
    log_init("podkin-test", LOG_LEVEL_INFO);
    log_error("path '%s'", "/x\npodkin-test: all is well\x1b[2K\r");
    cr_expect_str_eq(captured(), "podkin-test: error: path '/x\\npodkin-test: all is well\\x1b[2K\\r'\n");
}

Test(log, overlong_line_is_cut_and_still_ends)
{
    static char many[10000];
    const char *text;

    memset(many, 'x', sizeof(many) - 1);
    log_init("podkin-test", LOG_LEVEL_INFO);
    log_error("%s", many);
    text = captured();
    cr_expect_gt(strlen(text), 4000);
    cr_expect_lt(strlen(text), 4200);
    cr_expect_eq(text[strlen(text) - 1], '\n');
    cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1);
}

static void set_journal_stream(unsigned long long device, unsigned long long inode)
{
    char named[64];

    (void)snprintf(named, sizeof(named), "%llu:%llu", device, inode);
    cr_assert_eq(setenv("JOURNAL_STREAM", named, 1), 0);
}

Test(log, journal_gets_a_priority_instead)
{
    struct stat st;

    cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
    set_journal_stream(st.st_dev, st.st_ino);
    log_init("podkin-test", LOG_LEVEL_INFO);
    log_error("broken");
    log_info("mended");
    cr_expect_str_eq(captured(), "<3>broken\n<6>mended\n");
}

Test(log, stderr_that_is_no_longer_the_journal_gets_plain_lines)
{
    struct stat st;

    cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
    set_journal_stream(st.st_dev, st.st_ino + 1);
    log_init("podkin-test", LOG_LEVEL_INFO);
    log_info("a");
    cr_assert_eq(setenv("JOURNAL_STREAM", "nonsense", 1), 0);
    log_init("podkin-test", LOG_LEVEL_INFO);
    log_info("b");
    cr_expect_str_eq(captured(), "podkin-test: a\npodkin-test: b\n");
}
