/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a workload → contents of a JSON string. First two bytes: the limit. */
#include "common/text.h"

#include <jansson.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/neutral.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"

static void check_is_string(const struct text *contents)
{
    CLEANUP(text_deinit) struct text text = {0};
    json_t *value;

    text_append_char(&text, '"');
    text_append(&text, contents->data, contents->size);
    text_append_char(&text, '"');
    value = json_loadb(text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    FUZZ_CHECK(json_is_string(value));
    json_decref(value);
}

static void check_neutral(const uint8_t *data, size_t size)
{
    CLEANUP(text_deinit) struct text text = {0};

    text_append_neutral(&text, data, size);
    for (size_t at = 0; at < text.size;) {
        struct utf8_char c = utf8_decode((const uint8_t *)text.data + at, text.size - at);

        FUZZ_CHECK(c.valid && !neutral_is_unsafe(c.code));
        at += c.size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(text_deinit) struct text whole = {0}, cut = {0};
    uint16_t limit;
    size_t taken;

    if (size < sizeof(limit))
        return 0;
    memcpy(&limit, data, sizeof(limit));
    data += sizeof(limit);
    size -= sizeof(limit);

    FUZZ_CHECK(text_append_json(&whole, data, size, SIZE_MAX) == size);
    check_is_string(&whole);
    taken = text_append_json(&cut, data, size, limit);
    FUZZ_CHECK(cut.size <= limit && taken <= size);
    check_is_string(&cut);
    FUZZ_CHECK(text_append_json(&cut, data + taken, size - taken, SIZE_MAX) == size - taken);
    FUZZ_CHECK(cut.size == whole.size && (whole.size == 0 || memcmp(cut.data, whole.data, whole.size) == 0));
    check_neutral(data, size);
    return 0;
}
