/* SPDX-License-Identifier: Apache-2.0 */
#include "common/neutral.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/text.h"

static void expect_shown(const char *raw, size_t size, const char *shown)
{
    struct text text = {0};

    text_append_neutral(&text, raw, size);
    cr_expect_str_eq(text_terminate(&text), shown);
    text_deinit(&text);
}

#define SHOWN(literal, shown) expect_shown((literal), sizeof(literal) - 1, (shown))

Test(neutral, text_stays_as_it_is)
{
    SHOWN("", "");
    SHOWN("plain ~", "plain ~");
    SHOWN("Gr\u00fc\u00dfe \u4f60\u597d \U0001f680", "Gr\u00fc\u00dfe \u4f60\u597d \U0001f680");
}

Test(neutral, what_moves_a_terminal_is_shown)
{
    SHOWN("\x1b[2J\x07", "\\x1b[2J\\x07");
    SHOWN("a\nb\tc\rd", "a\\nb\\tc\\rd");
    SHOWN("\x7f", "\\x7f");
    SHOWN("\xc2\x9b"
          "31m",
        "\\u009b31m");
    SHOWN("a\0b", "a\\x00b");
}

Test(neutral, what_hides_or_reorders_is_shown)
{
    /* NOLINTBEGIN(misc-misleading-bidirectional): that is what is tested */
    SHOWN("\u202egnp.exe", "\\u202egnp.exe");
    SHOWN("a\u200b"
          "b\u2066"
          "c\ufeff",
        "a\\u200bb\\u2066c\\ufeff");
    /* NOLINTEND(misc-misleading-bidirectional) */
    SHOWN("\U000e0041", "\\U000e0041");
}

Test(neutral, bytes_that_are_no_utf8_are_shown_each)
{
    SHOWN("\xff", "\\xff");
    SHOWN("\xc3", "\\xc3");
    SHOWN("\xed\xa0\x80", "\\xed\\xa0\\x80");
    SHOWN("\xc0\xaf"
          "x",
        "\\xc0\\xafx");
}

Test(neutral, edges_of_the_ranges)
{
    static const uint32_t safe[] = {0x20, 0x7e, 0xa0, 0xac, 0xae, 0x200a, 0x2010, 0x2027, 0x202f, 0x205f,
        0x2070, 0xfffd, 0x10000, 0xdfffd, 0x10fffd};
    static const uint32_t unsafe[] = {0, 0x1f, 0x7f, 0x80, 0x9f, 0xad, 0x200b, 0x200f, 0x2028, 0x202e, 0x2060,
        0x206f, 0xfeff, 0xfffe, 0xffff, 0x1fffe, 0x10ffff, 0xe0000, 0xe0fff};

    for (size_t i = 0; i < sizeof(safe) / sizeof(safe[0]); i++)
        cr_expect(!neutral_is_unsafe(safe[i]), "U+%04X", safe[i]);
    for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++)
        cr_expect(neutral_is_unsafe(unsafe[i]), "U+%04X", unsafe[i]);
}
