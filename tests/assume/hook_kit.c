/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/assume/hook_kit.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

static int keep(const struct record_header *record, size_t size, void *arg)
{
    struct hook_test *t = arg;

    observe_add(t->observer, record, size);
    return 0;
}

static struct hook_test *begin(bool allow_enforcement, bool no_trampolines, bool no_perf)
{
    struct hook_test *t = calloc(1, sizeof(*t));
    char error[HOOK_ERROR_MAX] = "";
    struct hooks_options options = {.allow_enforcement = allow_enforcement,
        .no_trampolines = no_trampolines,
        .no_perf = no_perf,
        .put = keep,
        .put_arg = t};

    t->observer = observe_begin();
    t->seq = clock_boot_ns();
    options.probe = t->observer->probe;
    options.seq = &t->seq;
    cr_assert_eq(hooks_new(&t->hooks, &options, error), 0, "%s", error);
    return t;
}

struct hook_test *hook_test_begin(bool allow_enforcement)
{
    return begin(allow_enforcement, false, false);
}

struct hook_test *hook_test_begin_kprobes(bool allow_enforcement)
{
    return begin(allow_enforcement, true, false);
}

struct hook_test *hook_test_begin_without_perf(void)
{
    return begin(false, false, true);
}

void hook_test_end(struct hook_test *t)
{
    hooks_free(t->hooks);
    observe_end(t->observer);
    free(t);
}

/* ---- copies --------------------------------------------------------------------------------------------------------- */

static void *copy_of(const void *data, size_t size)
{
    char *copy = size ? malloc(size + 1) : NULL;

    if (copy) {
        memcpy(copy, data, size);
        copy[size] = '\0';
    }
    return copy;
}

static void copy_string(struct policy_string *string)
{
    string->data = copy_of(string->data, string->size);
}

static void copy_matches(struct policy_selector *selector)
{
    selector->matches = copy_of(selector->matches, selector->match_count * sizeof(*selector->matches));
    for (size_t i = 0; i < selector->match_count; i++) {
        struct policy_values *values = &selector->matches[i].values;

        values->items = copy_of(values->items, values->count * sizeof(*values->items));
        for (size_t j = 0; j < values->count; j++)
            copy_string(&values->items[j].text);
    }
}

static void copy_arg(struct policy_arg *arg)
{
    arg->label = arg->label ? strdup(arg->label) : NULL;
    arg->type_name = arg->type_name ? strdup(arg->type_name) : NULL;
}

static struct policy_hook *copy_hook(const struct policy_hook *from)
{
    struct policy_hook *hook = copy_of(from, sizeof(*from));

    cr_assert(hook);
    copy_string(&hook->subsystem);
    copy_string(&hook->event);
    copy_string(&hook->path);
    hook->functions = copy_of(hook->functions, hook->function_count * sizeof(*hook->functions));
    for (size_t i = 0; i < hook->function_count; i++)
        copy_string(&hook->functions[i]);
    hook->offsets = copy_of(hook->offsets, hook->offset_count * sizeof(*hook->offsets));
    for (size_t i = 0; i < hook->arg_count; i++)
        copy_arg(&hook->args[i]);
    copy_arg(&hook->return_arg);
    for (size_t i = 0; i < hook->selector_count; i++)
        copy_matches(&hook->selectors[i]);
    hook->message = hook->message ? strdup(hook->message) : NULL;
    for (size_t i = 0; i < hook->tag_count; i++)
        hook->tags[i] = strdup(hook->tags[i]);
    return hook;
}

void hook_test_policy(struct policy *ret, const struct policy_hook *hook, uint64_t digest)
{
    char name[32];

    (void)snprintf(name, sizeof(name), "test%.0llu", (unsigned long long)(digest == 1 ? 0 : digest));
    *ret = (struct policy){.digest = digest, .hooks = copy_hook(hook), .hook_count = 1};
    ret->name.data = strdup(name);
    ret->name.size = strlen(name);
}

int hook_test_try(
    struct hook_test *t, const struct policy_hook *hook, uint64_t digest, struct hook_error *error)
{
    struct policy policy;
    int r;

    hook_test_policy(&policy, hook, digest);
    r = hooks_load(t->hooks, &policy, error);
    policy_deinit(&policy);
    return r;
}

void hook_test_load(struct hook_test *t, const struct policy_hook *hook, uint64_t digest)
{
    struct hook_error error = {0};
    int r = hook_test_try(t, hook, digest, &error);

    cr_assert_eq(r, 0, "%s", error.text);
}

void hook_test_drain(struct hook_test *t)
{
    observe_drain(t->observer);
    hooks_on_drained(t->hooks);
}

const struct record_hook *hook_test_find(const struct hook_test *t, pid_t tgid, size_t nth)
{
    return observe_find(t->observer, RECORD_HOOK, tgid, nth);
}

size_t hook_test_count(const struct hook_test *t, pid_t tgid)
{
    return observe_count(t->observer, RECORD_HOOK, tgid);
}

static struct record_bytes value_of(const struct record_hook *hook, unsigned index)
{
    cr_assert_eq(hook->args[index].flags & RECORD_ARG_ERROR, 0, "argument %u could not be read", index);
    cr_assert_neq(hook->args[index].value.size, 0, "argument %u is absent", index);
    return record_get_bytes(&hook->header, hook->args[index].value);
}

uint64_t hook_arg_number(const struct record_hook *hook, unsigned index)
{
    uint64_t number;
    struct record_bytes value = value_of(hook, index);

    cr_assert_eq(value.size, sizeof(number));
    memcpy(&number, value.data, sizeof(number));
    return number;
}

const char *hook_arg_text(const struct record_hook *hook, unsigned index)
{
    const struct record_arg *arg = &hook->args[index];
    struct record_ref ref = arg->value;
    size_t fixed = arg->type == RECORD_ARG_STRING || arg->type == RECORD_ARG_BYTES
                       ? sizeof(struct record_arg_bytes)
                       : sizeof(struct record_arg_path);

    (void)value_of(hook, index);
    ref.offset = (uint16_t)(ref.offset + fixed);
    ref.size = (uint16_t)(ref.size - fixed);
    return observe_text(hook, ref);
}

const struct record_arg_sock *hook_arg_sock(const struct record_hook *hook, unsigned index)
{
    struct record_bytes value = value_of(hook, index);

    cr_assert_eq(value.size, sizeof(struct record_arg_sock));
    return (const void *)value.data;
}

const struct record_arg_path *hook_arg_path(const struct record_hook *hook, unsigned index)
{
    struct record_bytes value = value_of(hook, index);

    cr_assert(value.data && value.size >= sizeof(struct record_arg_path));
    return (const void *)value.data;
}

uint64_t hook_arg_original_size(const struct record_hook *hook, unsigned index)
{
    struct record_bytes value = value_of(hook, index);
    struct record_arg_bytes bytes;

    cr_assert(value.data && value.size >= sizeof(bytes));
    memcpy(&bytes, value.data, sizeof(bytes));
    return bytes.original_size;
}
