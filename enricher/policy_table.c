/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/policy_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/record_check.h"
#include "common/text.h"
#include "enricher/policy_match.h"

/* ---- rendering ------------------------------------------------------------------------------------------------ */

static void append_member(struct text *out, const char *key, struct record_bytes value, size_t budget)
{
    if (!value.size)
        return;
    text_append_format(out, ",\"%s\":\"", key);
    (void)text_append_json(out, value.data, value.size, budget);
    text_append_char(out, '"');
}

static void append_function(struct text *out, const struct record_policy *record)
{
    struct record_bytes function = record_get_bytes(&record->header, record->function);
    struct record_bytes subsystem = record_get_bytes(&record->header, record->subsystem);

    switch (record->kind) {
    case RECORD_HOOK_TRACEPOINT:
        append_member(out, "subsys", subsystem, POLICY_SUBSYSTEM_BUDGET);
        append_member(out, "event", function, POLICY_NAME_BUDGET);
        break;
    case RECORD_HOOK_UPROBE:
        append_member(out, "path", subsystem, POLICY_SUBSYSTEM_BUDGET);
        append_member(out, "symbol", function, POLICY_NAME_BUDGET);
        break;
    default:
        append_member(out, "function_name", function, POLICY_NAME_BUDGET);
        break;
    }
}

/* NUL between them. */
static void append_tags(struct text *out, struct record_bytes tags)
{
    size_t begin = out->size, last = 0;

    if (!tags.size)
        return;
    text_append_string(out, ",\"tags\":[");
    for (size_t at = 0; at < tags.size;) {
        size_t size = strnlen(tags.data + at, tags.size - at);

        last = out->size;
        text_append_string(out, at ? ",\"" : "\"");
        (void)text_append_json(out, tags.data + at, size, POLICY_TAGS_BUDGET);
        text_append_char(out, '"');
        if (out->size - begin > POLICY_TAGS_BUDGET) {
            out->size = last;
            break;
        }
        at += size + 1;
    }
    text_append_char(out, ']');
}

static void append_names(struct text *out, const struct record_policy *record)
{
    append_member(out, "policy_name", record_get_bytes(&record->header, record->name), POLICY_NAME_BUDGET);
    append_member(out, "message", record_get_bytes(&record->header, record->message), POLICY_MESSAGE_BUDGET);
    append_tags(out, record_get_bytes(&record->header, record->tags));
}

static void set_literals(struct policy_entry *entry)
{
    static const char unknown[] = ",\"function_name\":\"unknown\"";

    entry->function = (struct policy_piece){unknown, sizeof(unknown) - 1};
    entry->names = (struct policy_piece){"", 0};
    for (size_t i = 0; i <= RECORD_HOOK_RETURN; i++)
        entry->labels[i] = (struct policy_piece){"}", 1};
}

/* All pieces in one allocation. 0 or -ENOMEM: the old ones stay. */
static int render(struct policy_entry *entry, const struct record_policy *record)
{
    struct policy_piece *pieces[RECORD_HOOK_ARGS_MAX + 3] = {&entry->function, &entry->names};
    size_t ends[RECORD_HOOK_ARGS_MAX + 3], from = 0, size;
    struct text out = {0};
    char *text;

    append_function(&out, record);
    ends[0] = out.size;
    append_names(&out, record);
    ends[1] = out.size;
    for (size_t i = 0; i <= RECORD_HOOK_RETURN; i++) {
        append_member(
            &out, "label", record_get_bytes(&record->header, record->labels[i]), POLICY_LABEL_BUDGET);
        text_append_char(&out, '}');
        pieces[2 + i] = &entry->labels[i];
        ends[2 + i] = out.size;
    }
    text = text_take(&out, &size);
    if (!text)
        return -ENOMEM;
    free(entry->text);
    entry->text = text;
    entry->definition = 0;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); from = ends[i++])
        *pieces[i] = (struct policy_piece){text + from, (uint32_t)(ends[i] - from)};
    return 0;
}

/* 0 or -ENOMEM: the old one stays. */
static int set_match(struct policy_entry *entry, const struct record_policy *record)
{
    struct record_bytes selector = record_get_bytes(&record->header, record->selector);
    struct record_bytes name_space = {0};
    struct policy_match *match = NULL;

    if (record->flags & RECORD_POLICY_NAMESPACED)
        name_space = record_get_bytes(&record->header, record->name_space);
    if (selector.size || name_space.size) {
        match = policy_match_new(name_space.data, name_space.size, selector.data, selector.size);
        if (!match)
            return -ENOMEM;
    }
    policy_match_free(entry->match);
    entry->match = match;
    return 0;
}

/* ---- entries -------------------------------------------------------------------------------------------------- */

static struct policy_entry *entry_new(uint32_t hook_id)
{
    struct policy_entry *entry = calloc(1, sizeof(*entry));

    if (!entry)
        return NULL;
    entry->hook_id = hook_id;
    entry->refs = 1;
    entry->kind = RECORD_HOOK_KPROBE;
    set_literals(entry);
    return entry;
}

struct policy_entry *policy_ref(struct policy_entry *entry)
{
    if (entry)
        entry->refs++;
    return entry;
}

void policy_unref(struct policy_entry *entry)
{
    if (!entry || --entry->refs > 0)
        return;
    policy_match_free(entry->match);
    free(entry->text);
    free(entry);
}

static struct policy_entry **bucket_of(struct policy_table *table, uint32_t hook_id)
{
    return &table->buckets[hook_id % POLICY_TABLE_BUCKETS];
}

static struct policy_entry *find(struct policy_table *table, uint32_t hook_id)
{
    struct policy_entry *entry = *bucket_of(table, hook_id);

    while (entry && entry->hook_id != hook_id)
        entry = entry->next;
    return entry;
}

static void unlink_entry(struct policy_table *table, struct policy_entry *entry)
{
    struct policy_entry **link = bucket_of(table, entry->hook_id);

    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    table->count--;
    policy_unref(entry);
}

static void mark_gone(struct policy_table *table, struct policy_entry *entry, uint64_t now_ns)
{
    entry->gone_ns = now_ns ? now_ns : 1;
    if (entry->in_gone_list)
        return;
    entry->in_gone_list = true;
    entry->gone_next = NULL;
    *table->gone_last = entry;
    table->gone_last = &entry->gone_next;
}

static struct policy_entry *pop_gone(struct policy_table *table)
{
    struct policy_entry *entry = table->gone_first;

    table->gone_first = entry->gone_next;
    if (!table->gone_first)
        table->gone_last = &table->gone_first;
    entry->in_gone_list = false;
    return entry;
}

/* The first of those that are gone makes room. */
static void make_room(struct policy_table *table)
{
    while (table->count >= POLICY_TABLE_MAX && table->gone_first) {
        struct policy_entry *entry = pop_gone(table);

        if (entry->gone_ns)
            unlink_entry(table, entry);
    }
}

static struct policy_entry *add(struct policy_table *table, uint32_t hook_id)
{
    struct policy_entry *entry, **bucket = bucket_of(table, hook_id);

    make_room(table);
    entry = table->count < POLICY_TABLE_MAX ? entry_new(hook_id) : NULL;
    if (!entry)
        return NULL;
    entry->next = *bucket;
    *bucket = entry;
    table->count++;
    return entry;
}

/* ---- contract --------------------------------------------------------------------------------------------------- */

int policy_table_init(struct policy_table *table)
{
    *table = (struct policy_table){.shared = entry_new(0)};
    table->gone_last = &table->gone_first;
    return table->shared ? 0 : -ENOMEM;
}

void policy_table_deinit(struct policy_table *table)
{
    policy_table_forget(table);
    policy_unref(table->shared);
    table->shared = NULL;
}

void policy_table_forget(struct policy_table *table)
{
    table->gone_first = NULL;
    table->gone_last = &table->gone_first;
    for (size_t i = 0; i < POLICY_TABLE_BUCKETS; i++) {
        while (table->buckets[i]) {
            table->buckets[i]->in_gone_list = false;
            unlink_entry(table, table->buckets[i]);
        }
    }
}

enum policy_result policy_table_apply(
    struct policy_table *table, const struct record_policy *record, uint32_t generation, uint64_t now_ns)
{
    struct policy_entry *entry = find(table, record->hook_id);

    if (!entry)
        entry = add(table, record->hook_id);
    if (!entry || set_match(entry, record) < 0 || render(entry, record) < 0)
        return POLICY_REFUSED;
    entry->kind = record->kind;
    entry->known = true;
    entry->gone_ns = 0;
    if (generation)
        entry->seen = generation;
    if (record->flags & RECORD_POLICY_GONE)
        mark_gone(table, entry, now_ns);
    return entry->match && policy_match_is_malformed(entry->match) ? POLICY_MALFORMED : POLICY_TAKEN;
}

struct policy_entry *policy_table_get(struct policy_table *table, uint32_t hook_id, uint64_t now_ns)
{
    struct policy_entry *entry = find(table, hook_id);

    if (entry)
        return entry;
    entry = add(table, hook_id);
    if (!entry)
        return table->shared;
    mark_gone(table, entry, now_ns); /* until its record comes */
    return entry;
}

void policy_table_mark_unseen(struct policy_table *table, uint32_t generation, uint64_t now_ns)
{
    for (size_t i = 0; i < POLICY_TABLE_BUCKETS; i++) {
        for (struct policy_entry *entry = table->buckets[i]; entry; entry = entry->next) {
            if (entry->seen != generation && !entry->gone_ns)
                mark_gone(table, entry, now_ns);
        }
    }
}

void policy_table_expire(struct policy_table *table, uint64_t before_ns)
{
    while (table->gone_first && table->gone_first->gone_ns < before_ns) {
        struct policy_entry *entry = pop_gone(table);

        if (entry->gone_ns) /* else its record came after all */
            unlink_entry(table, entry);
    }
}
