/* SPDX-License-Identifier: Apache-2.0 */
/* Policy files: whatever they hold, they are taken whole or refused with faults that are safe to show. */
#include "collector/policy_file.h"

#include <string.h>
#include "common/text.h"
#include "tests/fuzz/fuzz.h"

static void on_fault(const struct policy_fault *fault, void *arg)
{
    struct text line = {0};

    policy_fault_append(fault, &line);
    FUZZ_CHECK(line.size > 0 && strncmp(text_terminate(&line), "f:", 2) == 0);
    for (size_t i = 0; i < line.size; i++)
        FUZZ_CHECK((unsigned char)line.data[i] >= ' ' && line.data[i] != 0x7f);
    text_deinit(&line);
    ++*(size_t *)arg;
}

static void check_hook(const struct policy_hook *hook)
{
    FUZZ_CHECK(hook->place.line > 0 && hook->kind > 0 && hook->kind < RECORD_HOOK_KIND_COUNT);
    FUZZ_CHECK(hook->kind == RECORD_HOOK_TRACEPOINT || hook->function_count + hook->offset_count > 0);
    FUZZ_CHECK(hook->arg_count <= RECORD_HOOK_ARGS_MAX && hook->selector_count <= POLICY_SELECTORS_MAX);
    for (size_t i = 0; i < hook->arg_count; i++)
        FUZZ_CHECK(hook->args[i].type_name);
    for (size_t i = 0; i < hook->selector_count; i++) {
        for (size_t j = 0; j < hook->selectors[i].match_count; j++) {
            const struct policy_match *match = &hook->selectors[i].matches[j];

            FUZZ_CHECK(match->op < POLICY_OPERATOR_COUNT && match->values.count <= POLICY_VALUES_MAX);
            FUZZ_CHECK(match->kind != POLICY_MATCH_ARG || match->arg < hook->arg_count ||
                       (match->arg == RECORD_HOOK_RETURN && hook->has_return));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_list list = {0};
    size_t faults = 0;
    int r = policy_read_text(&list, "f", (const char *)data, size, on_fault, &faults);

    FUZZ_CHECK((r == 0) == (faults == 0) && (r == 0) == (list.count > 0));
    for (size_t i = 0; i < list.count; i++) {
        FUZZ_CHECK(list.items[i].name.data && list.items[i].hook_count > 0);
        for (size_t j = 0; j < list.items[i].hook_count; j++)
            check_hook(&list.items[i].hooks[j]);
    }
    policy_list_deinit(&list);
    return 0;
}
