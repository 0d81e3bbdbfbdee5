/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hook_record.h"

#include <stdlib.h>
#include <string.h>

/* Its parts are bounded by policy.h: together they stay far below. */
_Static_assert(sizeof(struct record_policy) + 2 * POLICY_NAME_MAX + 512 + POLICY_MESSAGE_MAX +
                       POLICY_TAGS_MAX * (POLICY_WORD_MAX + 1) + POLICY_POD_WORDS_MAX +
                       (RECORD_HOOK_ARGS_MAX + 1) * POLICY_WORD_MAX + RECORD_ALIGN <
                   RECORD_SIZE_MAX,
    "a record");

static struct record_ref append(struct record_policy *record, const char *text, size_t size)
{
    struct record_ref ref = {.offset = (uint16_t)record->header.size, .size = (uint16_t)size};

    if (!text || !size || record->header.size + size > RECORD_SIZE_MAX - RECORD_ALIGN)
        return (struct record_ref){0};
    memcpy((char *)record + record->header.size, text, size);
    record->header.size += (uint32_t)size;
    return ref;
}

static struct record_ref append_text(struct record_policy *record, const char *text)
{
    return append(record, text, text ? strlen(text) : 0);
}

static struct record_ref append_tags(struct record_policy *record, const struct policy_hook *hook)
{
    struct record_ref all = {.offset = (uint16_t)record->header.size};

    for (size_t i = 0; i < hook->tag_count; i++) {
        if (i > 0)
            (void)append(record, "", 1);
        (void)append_text(record, hook->tags[i]);
    }
    all.size = (uint16_t)(record->header.size - all.offset);
    return all.size ? all : (struct record_ref){0};
}

struct record_policy *hook_record_new(const struct policy *policy, const struct policy_hook *hook,
    const struct hook_target *target, uint32_t hook_id)
{
    struct record_policy *record = calloc(1, RECORD_SIZE_MAX), *fitting;

    if (!record)
        return NULL;
    record->header = (struct record_header){.size = sizeof(*record),
        .type = RECORD_POLICY,
        .version = RECORD_VERSION,
        .cpu = RECORD_CPU_COLLECTOR};
    record->hook_id = hook_id;
    record->kind = (uint8_t)hook->kind;
    record->flags = policy->name_space ? RECORD_POLICY_NAMESPACED : 0;
    record->name = append_text(record, policy->name.data);
    record->name_space = append_text(record, policy->name_space);
    record->function = append_text(record, target->name);
    record->subsystem = append_text(record, target->subsystem);
    record->message = append_text(record, hook->message);
    record->tags = append_tags(record, hook);
    record->selector = append(record, policy->pod_selector, policy->pod_selector_bytes);
    for (size_t i = 0; i < hook->arg_count; i++)
        record->labels[i] = append_text(record, hook->args[i].label);
    record->labels[RECORD_HOOK_RETURN] = append_text(record, hook->return_arg.label);
    record->header.size = (record->header.size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
    fitting = realloc(record, record->header.size);
    return fitting ? fitting : record;
}
