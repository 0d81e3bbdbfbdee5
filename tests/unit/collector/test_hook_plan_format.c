/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hook_plan_format.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

static const char exec_format[] = "name: sched_process_exec\nID: 300\nformat:\n"
                                  "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
                                  "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
                                  "\tfield:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;\n"
                                  "\tfield:char comm[16];\toffset:12;\tsize:16;\tsigned:0;\n"
                                  "\tfield:const char * path;\toffset:32;\tsize:8;\tsigned:0;\n"
                                  "\tfield:const struct sock * sk;\toffset:40;\tsize:8;\tsigned:0;\n"
                                  "\tfield:const char *const * argv;\toffset:48;\tsize:8;\tsigned:0;\n"
                                  "\nprint fmt: \"filename=%s field: none\", __get_str(filename)\n";

static int read_format(struct hook_format *ret, const char *text)
{
    FILE *file = fmemopen((char *)(uintptr_t)text, strlen(text), "r");
    int r;

    cr_assert(file);
    r = hook_format_read(ret, file);
    (void)fclose(file);
    return r;
}

Test(hook_plan_format, each_kind_of_field_becomes_its_source)
{
    struct hook_format format;
    struct hook_source source;

    /* The line "print fmt" has the word too, and no offset. */
    cr_expect_eq(read_format(&format, exec_format), 0);
    cr_assert_eq(format.count, 7);
    hook_format_source(&source, &format, 1, 3);
    cr_expect_eq(source.word, 3);
    cr_expect_eq(source.field, HOOK_FIELD_VALUE);
    cr_expect_eq(source.field_offset, 4);
    cr_expect_eq(source.field_width, 4);
    cr_expect(source.is_signed);
    hook_format_source(&source, &format, 2, 0);
    cr_expect_eq(source.field, HOOK_FIELD_DATA_LOC);
    hook_format_source(&source, &format, 3, 0);
    cr_expect_eq(source.field, HOOK_FIELD_ADDRESS);
    cr_expect_eq(source.field_offset, 12);
    hook_format_source(&source, &format, 4, 0);
    cr_expect(source.is_pointer);
    cr_expect_str_eq(source.pointee, "char");
    hook_format_source(&source, &format, 5, 0);
    cr_expect_str_eq(source.pointee, "sock");
    hook_format_source(&source, &format, 6, 0);
    cr_expect(source.is_pointer);
    cr_expect_str_eq(source.pointee, "", "a pointer to pointers is no text");
    hook_format_source(&source, &format, 7, 0);
    cr_expect_eq(source.word, HOOK_WORD_NONE);
}

Test(hook_plan_format, what_is_no_format_is_refused)
{
    struct hook_format format;

    cr_expect_eq(read_format(&format, "nothing of the kind\n"), -EBADMSG);
    cr_expect_eq(read_format(&format, "\tfield:int a;\toffset:x\n"), -EBADMSG);
    cr_expect_eq(read_format(&format, "\tfield:nameless;\toffset:0;\tsize:4;\tsigned:0;\n"), -EBADMSG);
    cr_expect_eq(read_format(&format, "\tfield:int a;\toffset:99999999;\tsize:4;\tsigned:0;\n"), -EBADMSG);
}
