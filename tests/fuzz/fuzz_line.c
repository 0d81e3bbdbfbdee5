/* SPDX-License-Identifier: Apache-2.0 */
/* A line of an export file, shown in the terminal. */
#include "enricher/cli/line.h"

#include <locale.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/neutral.h"
#include "common/text.h"
#include "common/utf8.h"
#include "enricher/cli/compact.h"
#include "enricher/cli/filter.h"
#include "tests/fuzz/fuzz.h"

/* One line that can move no cursor. */
static void check_shown(const struct text *out)
{
    FUZZ_CHECK(out->size > 0 && out->data[out->size - 1] == '\n');
    for (size_t at = 0; at < out->size;) {
        struct utf8_char c = utf8_decode((const uint8_t *)out->data + at, out->size - at);

        FUZZ_CHECK(c.valid && (!neutral_is_unsafe(c.code) || (c.code == '\n' && at == out->size - 1)));
        at += c.size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct compact_options options[] = {
        {.time = COMPACT_TIME_UTC}, {.time = COMPACT_TIME_RELATIVE, .columns = 60, .ascii = true}};
    struct filter filter = {0};
    struct line line;

    (void)setlocale(LC_CTYPE, "C.UTF-8");
    if (memchr(data, '\n', size))
        return 0;
    (void)filter_add(&filter, FILTER_NAMESPACE, "default");
    (void)filter_rules_out(&filter, (const char *)data, size);
    if (line_parse(&line, (const char *)data, size) < 0)
        return 0;
    (void)filter_match(&filter, &line);
    (void)line_lost_count(&line, NULL, NULL);
    (void)line_is_unresolved(&line);
    for (size_t i = 0; i < 2; i++) {
        CLEANUP(text_deinit) struct text out = {0};
        struct compact compact;

        compact_init(&compact, &options[i]);
        compact_show(&compact, &line, &out);
        compact_deinit(&compact);
        check_shown(&out);
    }
    return 0;
}
