/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hook_sets.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSES_MAX 64 /* as deep as a tree of processes may stand against the order of pids */

enum member_kind { MEMBER_EXACT, MEMBER_PREFIX, MEMBER_POSTFIX, MEMBER_PID };

/* One line of a table in the kernel. */
struct member {
    enum member_kind kind;
    bool inside; /* PID: of its own namespace */
    uint32_t pid;
    uint32_t size;
    uint8_t data[HOOK_PATTERN_MAX]; /* postfix: back to front */
    struct hook_process_bits bits;
};

struct members {
    struct member *items;
    size_t count, capacity;
};

enum bit_state { BIT_FREE, BIT_USED, BIT_LEAVING };

struct hook_set_table {
    struct hook_engine *engine; /* borrowed */
    enum bit_state states[HOOK_PROCESS_SETS_MAX];
    struct hook_process_bits follow;
    struct members wanted;  /* one for each value of each set, in no order */
    struct members present; /* in the kernel: sorted, unions made */
    uint64_t failed_seen;
    bool is_dirty;
};

static void set_bit(struct hook_process_bits *bits, uint32_t bit)
{
    bits->words[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static bool has_bit(const struct hook_process_bits *bits, uint32_t bit)
{
    return bits->words[bit / 64] >> (bit % 64) & 1;
}

static void clear_bit(struct hook_process_bits *bits, uint32_t bit)
{
    bits->words[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

/* ---- members -------------------------------------------------------------------------------------------------------- */

static struct member *add_member(struct members *members)
{
    if (members->count == members->capacity) {
        size_t capacity = members->capacity ? members->capacity * 2 : 16;
        struct member *items = reallocarray(members->items, capacity, sizeof(*items));

        if (!items)
            return NULL;
        members->items = items;
        members->capacity = capacity;
    }
    members->items[members->count] = (struct member){0};
    return &members->items[members->count++];
}

static int add_binary(struct hook_set_table *sets, const struct hook_process_set *set,
    const struct policy_string *text, uint32_t bit)
{
    size_t most = set->op == POLICY_EQUAL ? HOOK_PATTERN_MAX : HOOK_PREFIX_MAX;
    struct member *member;

    if (text->size == 0 || text->size > most)
        return -EINVAL;
    member = add_member(&sets->wanted);
    if (!member)
        return -ENOMEM;
    member->kind = set->op == POLICY_EQUAL    ? MEMBER_EXACT
                   : set->op == POLICY_PREFIX ? MEMBER_PREFIX
                                              : MEMBER_POSTFIX;
    member->size = (uint32_t)text->size;
    for (size_t i = 0; i < text->size; i++)
        member->data[i] = (uint8_t)text->data[member->kind == MEMBER_POSTFIX ? text->size - 1 - i : i];
    set_bit(&member->bits, bit);
    return 0;
}

/* Ranges of pids are few, and short: who follows more than this has no pid in mind. */
#define PIDS_OF_RANGE_MAX 1024

static int add_pids(struct hook_set_table *sets, const struct hook_process_set *set,
    const struct policy_value *value, uint32_t bit)
{
    if (value->high - value->low >= PIDS_OF_RANGE_MAX)
        return -E2BIG;
    for (uint64_t pid = value->low; pid <= value->high; pid++) {
        struct member *member = add_member(&sets->wanted);

        if (!member)
            return -ENOMEM;
        member->kind = MEMBER_PID;
        member->pid = (uint32_t)pid;
        member->inside = set->namespace_pid;
        set_bit(&member->bits, bit);
    }
    return 0;
}

static void forget_bit(struct hook_set_table *sets, uint32_t bit)
{
    size_t kept = 0;

    for (size_t i = 0; i < sets->wanted.count; i++) {
        if (!has_bit(&sets->wanted.items[i].bits, bit))
            sets->wanted.items[kept++] = sets->wanted.items[i];
    }
    sets->wanted.count = kept;
}

int hook_sets_add(struct hook_set_table *sets, const struct hook_process_set *set, uint32_t *ret_bit)
{
    uint32_t bit = 0;
    int r = 0;

    while (bit < HOOK_PROCESS_SETS_MAX && sets->states[bit] != BIT_FREE)
        bit++;
    if (bit == HOOK_PROCESS_SETS_MAX)
        return -E2BIG;
    for (size_t i = 0; i < set->values->count && r == 0; i++) {
        const struct policy_value *value = &set->values->items[i];

        r = set->kind == POLICY_MATCH_PIDS ? add_pids(sets, set, value, bit)
                                           : add_binary(sets, set, &value->text, bit);
    }
    if (r < 0) {
        forget_bit(sets, bit);
        return r;
    }
    if (set->follow)
        set_bit(&sets->follow, bit);
    sets->states[bit] = BIT_USED;
    sets->is_dirty = true;
    *ret_bit = bit;
    return 0;
}

void hook_sets_remove(struct hook_set_table *sets, uint32_t bit)
{
    forget_bit(sets, bit);
    clear_bit(&sets->follow, bit);
    sets->states[bit] = BIT_LEAVING;
    sets->is_dirty = true;
}

/* ---- the tables ----------------------------------------------------------------------------------------------------- */

/* A text stands behind its beginnings. */
static int compare(const void *a_pointer, const void *b_pointer)
{
    const struct member *a = a_pointer, *b = b_pointer;
    size_t common = a->size < b->size ? a->size : b->size;
    int order;

    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->inside != b->inside)
        return a->inside ? 1 : -1;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    order = memcmp(a->data, b->data, common);
    if (order)
        return order;
    return a->size == b->size ? 0 : a->size < b->size ? -1 : 1;
}

static void unite(struct hook_process_bits *to, const struct hook_process_bits *from)
{
    for (size_t i = 0; i < HOOK_SET_WORDS; i++)
        to->words[i] |= from->words[i];
}

static bool is_beginning(const struct member *a, const struct member *of)
{
    return a->kind == of->kind && a->size <= of->size && memcmp(a->data, of->data, a->size) == 0;
}

/* The longest match is the one that the kernel finds: it has the bits of the shorter ones too. */
static void unite_beginnings(struct members *members)
{
    size_t stack[HOOK_PATTERN_MAX + 1], depth = 0;

    for (size_t i = 0; i < members->count; i++) {
        struct member *member = &members->items[i];

        if (member->kind != MEMBER_PREFIX && member->kind != MEMBER_POSTFIX)
            continue;
        while (depth && !is_beginning(&members->items[stack[depth - 1]], member))
            depth--;
        if (depth)
            unite(&member->bits, &members->items[stack[depth - 1]].bits);
        stack[depth++] = i; /* each is longer than the one below */
    }
}

/* A sorted copy without doubles. */
static int make_table(struct members *ret, const struct members *wanted)
{
    *ret = (struct members){0};
    if (!wanted->count)
        return 0;
    ret->items = malloc(wanted->count * sizeof(*ret->items));
    if (!ret->items)
        return -ENOMEM;
    memcpy(ret->items, wanted->items, wanted->count * sizeof(*ret->items));
    qsort(ret->items, wanted->count, sizeof(*ret->items), compare);
    for (size_t i = 0; i < wanted->count; i++) {
        if (ret->count && compare(&ret->items[ret->count - 1], &ret->items[i]) == 0)
            unite(&ret->items[ret->count - 1].bits, &ret->items[i].bits);
        else
            ret->items[ret->count++] = ret->items[i];
    }
    unite_beginnings(ret);
    return 0;
}

/* NULL bits: it goes. */
static int put_member(
    struct hook_engine *engine, const struct member *member, const struct hook_process_bits *bits)
{
    struct hook_prefix_key prefix = {.bits = 32 + member->size * 8};
    struct hook_text_key text = {.size = member->size};
    struct hook_pid_key pid = {.pid = member->pid, .is_inside = member->inside};

    switch (member->kind) {
    case MEMBER_EXACT:
        memcpy(text.data, member->data, member->size);
        return hook_engine_put_bits(engine, HOOK_BITS_BINARIES, &text, bits);
    case MEMBER_PREFIX:
    case MEMBER_POSTFIX:
        memcpy(prefix.data, member->data, member->size);
        return hook_engine_put_bits(
            engine, member->kind == MEMBER_PREFIX ? HOOK_BITS_PREFIXES : HOOK_BITS_POSTFIXES, &prefix, bits);
    case MEMBER_PID:
        return hook_engine_put_bits(engine, HOOK_BITS_PIDS, &pid, bits);
    }
    return -EINVAL;
}

static int replace_table(struct hook_set_table *sets, struct members *table)
{
    size_t i = 0, j = 0;
    int r = 0;

    while (r == 0 && (i < sets->present.count || j < table->count)) {
        const struct member *old = i < sets->present.count ? &sets->present.items[i] : NULL;
        const struct member *new = j < table->count ? &table->items[j] : NULL;
        int order = !old ? 1 : !new ? -1 : compare(old, new);

        if (old && order < 0) {
            r = put_member(sets->engine, old, NULL);
            i++;
            continue;
        }
        if (!new)
            break;
        if (order > 0 || !old || memcmp(&old->bits, &new->bits, sizeof(old->bits)) != 0)
            r = put_member(sets->engine, new, &new->bits);
        i += order == 0;
        j++;
    }
    free(sets->present.items);
    sets->present = *table;
    *table = (struct members){0};
    return r;
}

static int go_over_processes(struct hook_set_table *sets, const struct hook_process_bits *clear)
{
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        uint64_t changed = 0;
        int r = hook_engine_go_over_processes(sets->engine, &sets->follow, clear, &changed);

        if (r < 0 || !changed)
            return r;
    }
    return 0;
}

int hook_sets_commit(struct hook_set_table *sets, char error[HOOK_ERROR_MAX])
{
    struct hook_process_bits clear = {0}, nothing = {0};
    struct members table;
    uint64_t none;
    int r;

    if (!sets->is_dirty)
        return 0;
    r = hook_engine_watch_processes(sets->engine, error);
    if (r < 0)
        return r;
    for (uint32_t bit = 0; bit < HOOK_PROCESS_SETS_MAX; bit++) {
        if (sets->states[bit] == BIT_LEAVING)
            set_bit(&clear, bit);
    }
    r = make_table(&table, &sets->wanted);
    if (r == 0)
        r = replace_table(sets, &table);
    if (r == 0)
        r = go_over_processes(sets, &clear);
    if (r < 0) {
        (void)snprintf(error, HOOK_ERROR_MAX, "sets of processes: %s", strerror(-r));
        return r;
    }
    for (uint32_t bit = 0; bit < HOOK_PROCESS_SETS_MAX; bit++) {
        if (sets->states[bit] == BIT_LEAVING)
            sets->states[bit] = BIT_FREE;
    }
    sets->is_dirty = false;
    (void)hook_engine_go_over_processes(sets->engine, &sets->follow, &nothing, &none);
    return 0;
}

void hook_sets_repair(struct hook_set_table *sets)
{
    const struct hook_process_bits nothing = {0};
    uint64_t failed = hook_engine_failed_execs(sets->engine);

    if (failed == sets->failed_seen)
        return;
    sets->failed_seen = failed;
    (void)go_over_processes(sets, &nothing);
}

int hook_sets_new(struct hook_set_table **ret, struct hook_engine *engine)
{
    struct hook_set_table *sets = calloc(1, sizeof(*sets));

    if (!sets)
        return -ENOMEM;
    sets->engine = engine;
    *ret = sets;
    return 0;
}

struct hook_set_table *hook_sets_free(struct hook_set_table *sets)
{
    if (!sets)
        return NULL;
    free(sets->wanted.items);
    free(sets->present.items);
    free(sets);
    return NULL;
}
