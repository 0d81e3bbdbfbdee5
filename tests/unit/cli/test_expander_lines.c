/* SPDX-License-Identifier: Apache-2.0 */
/* Lines as they may come from outside: which are refused, and that the next one is read as if they had not been there. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "enricher/cli/expander.h"
#include "enricher/emit_normalised.h"

static struct expander expander;

static void init(void)
{
    expander_init(&expander);
}

static void deinit(void)
{
    expander_deinit(&expander);
}

TestSuite(expander_lines, .init = init, .fini = deinit);

#define SECTION "{\"podkin_section\":{\"format\":1,\"node_name\":\"n\\\"1\",\"boot_id\":\"b0\"}}"
#define IMAGE   "{\"define_image\":{\"ref\":1,\"members\":{\"binary\":\"/x\"}}}"
#define CONTAINER                                                                                            \
    "{\"define_container\":{\"ref\":2,\"members\":{\"pod\":{\"name\":\"p\",\"container\":{\"pid\":0}},"      \
    "\"docker\":\"d\"}}}"
#define PROCESS                                                                                              \
    "{\"define_process\":{\"ref\":3,\"image\":1,\"container\":2,\"ns_pid\":7,\"members\":{\"exec_id\":"      \
    "\"e\",\"tid\":9},"                                                                                      \
    "\"own\":{\"role\":\"workload\"}}}"
#define HOOK                                                                                                 \
    "{\"define_hook\":{\"ref\":4,\"function\":{\"function_name\":\"f\"},\"policy\":{\"policy_name\":\"p\"}}" \
    "}"
#define EXIT "{\"process_exit\":{\"process\":{\"exec_id\":\"e\",\"ref\":3}},\"time\":\"T\",\"id\":\"0-1\"}"
#define KNOWN                                                                                                \
    "{\"exec_id\":\"e\",\"tid\":%s,\"binary\":\"/"                                                           \
    "x\",\"pod\":{\"name\":\"p\",\"container\":{\"pid\":7}},\"docker\":\"d\",\"role\":\"workload\"}"

static enum expander_result read_line(const char *line, char *ret, size_t size)
{
    struct slice full;
    enum expander_result result = expander_read(&expander, (struct slice){line, strlen(line)}, &full);

    (void)snprintf(ret, size, "%.*s", result == EXPANDER_WRONG ? 0 : (int)full.size, full.data);
    return result;
}

static void define_all(void)
{
    static const char *const lines[] = {SECTION, IMAGE, CONTAINER, PROCESS, HOOK};
    char full[1000];

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        cr_assert_eq(
            read_line(lines[i], full, sizeof(full)), EXPANDER_NOTHING, "%s: %s", lines[i], expander.why);
}

static void expect_line(const char *line, const char *wanted)
{
    char full[4000];

    cr_assert_eq(read_line(line, full, sizeof(full)), EXPANDER_LINE, "%s: %s", line, expander.why);
    cr_expect_str_eq(full, wanted);
}

static void expect_wrong(const char *line, const char *why)
{
    char full[4000];

    cr_expect_eq(read_line(line, full, sizeof(full)), EXPANDER_WRONG, "%s", line);
    cr_expect_str_eq(expander.why, why, "%s: %s", line, expander.why);
}

static const char *known(const char *tid)
{
    static char text[400];

    (void)snprintf(text, sizeof(text), KNOWN, tid);
    return text;
}

Test(expander_lines, members_stand_where_they_do_in_a_full_line)
{
    char wanted[1000];

    define_all();
    (void)snprintf(wanted, sizeof(wanted),
        "{\"process_exit\":{\"process\":%s},\"node_name\":\"n\\\"1\",\"time\":\"T\",\"id\":\"b0-0-1\"}",
        known("9"));
    expect_line(EXIT, wanted);
    (void)snprintf(wanted, sizeof(wanted),
        "{\"process_lsm\":{\"process\":%s,\"function_name\":\"f\",\"args\":[{\"a\":\"]}\\\"\"}],\"action\":"
        "\"A\",\"kernel_stack_trace\":[],"
        "\"policy_name\":\"p\",\"suppressed\":1},\"node_name\":\"n\\\"1\",\"time\":\"T\"}",
        known("10"));
    expect_line("{\"process_lsm\":{\"process\":{\"exec_id\":\"e\",\"ref\":3,\"tid\":10},\"hook\":4,\"args\":["
                "{\"a\":\"]}\\\"\"}],\"action\":\"A\","
                "\"kernel_stack_trace\":[],\"suppressed\":1},\"time\":\"T\"}",
        wanted);
    (void)snprintf(wanted, sizeof(wanted),
        "{\"process_exec\":{\"process\":{\"exec_id\":\"whole\"},\"parent\":%s},\"node_name\":\"n\\\"1\","
        "\"time\":\"T\"}",
        known("9"));
    expect_line(
        "{\"process_exec\":{\"process\":{\"exec_id\":\"whole\"},\"parent\":{\"ref\":3}},\"time\":\"T\"}",
        wanted);
}

Test(expander_lines, what_is_full_or_others_passes)
{
    static const char *const lines[] = {
        "{\"process_exec\":{\"process\":{\"pid\":1}},\"node_name\":\"n\",\"time\":\"T\"}",
        "{\"podkin_viewer\":{\"cut\":true}}", "{\"error\":\"no\"}", "{}"};
    char full[1000];

    for (int in_section = 0; in_section < 2; in_section++) {
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
            cr_expect_eq(read_line(lines[i], full, sizeof(full)), EXPANDER_AS_IS, "%s", lines[i]);
            cr_expect_str_eq(full, lines[i]);
        }
        define_all();
    }
}

Test(expander_lines, a_section_forgets_the_one_before)
{
    char full[1000];

    define_all();
    cr_expect_eq(read_line(SECTION, full, sizeof(full)), EXPANDER_NOTHING);
    expect_wrong(EXIT, "process 3 is not defined in this section");
    define_all();
    expander_reset(&expander);
    expect_wrong(
        EXIT, "names a process by number, but no section has begun: the file's beginning is missing");
}

Test(expander_lines, what_is_wrong_is_said_and_changes_nothing)
{
    static const struct {
        const char *line, *why;
    } cases[] = {
        {"{\"process_exit\":{\"process\":{\"ref\":3}},\"time\":", "no JSON object"},
        {"{\"process_exit\":{\"process\":{\"re", "no JSON object"},
        {"", "no JSON object"},
        {"nonsense", "no JSON object"},
        {EXIT EXIT, "no JSON object"},
        {"{\"process_exit\":{\"process\":{\"ref\":1}},\"time\":\"T\"}",
            "process 1 is not defined in this section"},
        {"{\"process_exit\":{\"process\":{\"ref\":-1}},\"time\":\"T\"}",
            "process -1 is not defined in this section"},
        {"{\"process_exit\":{\"process\":{\"ref\":99999999}},\"time\":\"T\"}",
            "process 99999999 is not defined in this section"},
        {"{\"process_lsm\":{\"process\":{\"ref\":3},\"hook\":3},\"time\":\"T\"}",
            "hook 3 is not defined in this section"},
        {IMAGE, "1 is defined already"},
        {"{\"define_image\":{\"ref\":0,\"members\":{}}}", "a definition without ref and members"},
        {"{\"define_image\":{\"ref\":9,\"members\":[]}}", "a definition without ref and members"},
        {"{\"define_image\":{\"ref\":600000,\"members\":{}}}", "too much is defined in one section"},
        {"{\"define_process\":{\"ref\":9,\"image\":2,\"members\":{}}}",
            "image 2 is not defined in this section"},
        {"{\"define_process\":{\"ref\":9,\"container\":9,\"members\":{}}}",
            "container 9 is not defined in this section"},
        {"{\"define_wheel\":{\"ref\":9,\"members\":{}}}", "defines what is not known here: define_wheel"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char full[1000];

        define_all();
        expect_wrong(cases[i].line, cases[i].why);
        cr_expect_eq(read_line(EXIT, full, sizeof(full)), EXPANDER_LINE, "behind %s", cases[i].line);
    }
    expect_wrong("{\"podkin_section\":{\"format\":2,\"node_name\":\"n\",\"boot_id\":\"b\"}}",
        "a section of format 2, expected 1");
    expect_wrong("{\"podkin_section\":{\"format\":1}}",
        "the begin of a section without format, node_name and boot_id");
    expect_wrong(IMAGE, "defines an image before a section begins");
}

Test(expander_lines, a_section_has_room_for_all_that_the_enricher_defines_in_one)
{
    char line[200], full[200];

    cr_expect_lt(NORMALISED_DEFINITIONS_MAX + 16, EXPANDER_DEFINITIONS_MAX);
    cr_expect_lt(NORMALISED_BYTES_MAX + NORMALISED_DEFINITIONS_MAX * sizeof(struct expander_definition),
        EXPANDER_BYTES_MAX);
    cr_assert_eq(read_line(SECTION, full, sizeof(full)), EXPANDER_NOTHING);
    for (unsigned i = 1; i < EXPANDER_DEFINITIONS_MAX; i++) {
        (void)snprintf(line, sizeof(line), "{\"define_image\":{\"ref\":%u,\"members\":{}}}", i);
        cr_assert_eq(read_line(line, full, sizeof(full)), EXPANDER_NOTHING);
    }
}

Test(expander_lines, a_hostile_section_is_bounded)
{
    static char line[1 << 20];
    char full[8];
    int at = snprintf(line, sizeof(line), "{\"define_image\":{\"members\":{\"a\":\"");
    unsigned refused = 0;

    memset(line + at, 'x', sizeof(line) - (size_t)at);
    cr_assert_eq(read_line(SECTION, full, sizeof(full)), EXPANDER_NOTHING);
    for (unsigned i = 1; i < 330; i++) {
        (void)snprintf(line + sizeof(line) - 30, 30, "\"},\"ref\":%u}}", i);
        refused += read_line(line, full, sizeof(full)) == EXPANDER_WRONG;
    }
    cr_expect_geq(refused, 60);
    cr_expect_lt(expander.bytes, EXPANDER_BYTES_MAX + sizeof(line) + 1000);
}
