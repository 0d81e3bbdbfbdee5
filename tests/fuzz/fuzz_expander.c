/* SPDX-License-Identifier: Apache-2.0 */
/* A file of normalised lines, from anybody: read to its end, whatever it says; what is not refused is one line. */
#include "enricher/cli/expander.h"

#include <string.h>

#include "common/cleanup.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(expander_deinit) struct expander expander;
    const char *at = (const char *)data, *end = at + size;

    expander_init(&expander);
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        struct slice line = {at, (size_t)((newline ? newline : end) - at)}, full;

        switch (expander_read(&expander, line, &full)) {
        case EXPANDER_WRONG:
            FUZZ_CHECK(*expander.why && strnlen(expander.why, sizeof(expander.why)) < sizeof(expander.why));
            break;
        case EXPANDER_LINE:
            FUZZ_CHECK(full.size > 0 && full.data[0] == '{' && !memchr(full.data, '\n', full.size));
            break;
        case EXPANDER_AS_IS:
            FUZZ_CHECK(full.data == line.data && full.size == line.size);
            break;
        default:
            break;
        }
        FUZZ_CHECK(expander.bytes <= EXPANDER_BYTES_MAX + size + sizeof(struct expander_definition));
        at += line.size + 1;
    }
    return 0;
}
