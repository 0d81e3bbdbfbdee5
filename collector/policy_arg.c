/* SPDX-License-Identifier: Apache-2.0 */
/* args and returnArg of a hook (policy_hook.h). */
#include <string.h>

#include "collector/policy_hook.h"
#include "collector/policy_type.h"
#include "common/text.h"

#define FUNCTION_INDEX_MAX   5 /* arguments in registers, x86-64 */
#define RAW_INDEX_MAX        11
#define TRACEPOINT_INDEX_MAX 63
#define COUNT(array)         (sizeof(array) / sizeof((array)[0]))

struct arg_out {
    const struct policy_hook *hook;
    struct policy_arg *arg;
};

static void fail_type(const struct policy_at *at, const char *word, bool numbers_only)
{
    const struct policy_type *type;
    struct text known = {0};

    for (unsigned i = 0; (type = policy_type_at(i)); i++) {
        if (numbers_only && type->type_class != POLICY_CLASS_NUMBER)
            continue;
        text_append_string(&known, known.size > 0 ? ", " : "");
        text_append_string(&known, type->name);
    }
    policy_fail(at, "\"%.60s\" is none of %s", word, text_terminate(&known));
    text_deinit(&known);
}

static void set_type(const struct policy_at *at, const char *word, bool numbers_only, struct policy_arg *arg)
{
    const struct policy_type *type = policy_type_find(word);

    if (!type || (numbers_only && type->type_class != POLICY_CLASS_NUMBER)) {
        fail_type(at, word, numbers_only);
        return;
    }
    arg->type = type->type;
    arg->type_name = strdup(type->name);
    if (!arg->type_name)
        policy_fail_memory(at);
}

static void read_type(const struct policy_at *at, void *out)
{
    const char *word;

    if (policy_read_word(at, POLICY_WORD_MAX, &word))
        set_type(at, word, false, ((struct arg_out *)out)->arg);
}

static int64_t index_max(const struct policy_hook *hook)
{
    if (hook->kind != RECORD_HOOK_TRACEPOINT)
        return FUNCTION_INDEX_MAX;
    return hook->is_raw ? RAW_INDEX_MAX : TRACEPOINT_INDEX_MAX;
}

static void read_index(const struct policy_at *at, void *out)
{
    const struct arg_out *arg = out;
    int64_t index = 0;

    if (policy_read_integer(at, 0, index_max(arg->hook), &index))
        arg->arg->index = (uint32_t)index;
}

static bool is_buffer(const struct policy_arg *arg)
{
    return arg->type_name && strcmp(arg->type_name, "char_buf") == 0;
}

/* Numbered from 1 in files, so that 0 can be none. */
static void read_size_index(const struct policy_at *at, void *out)
{
    const struct arg_out *arg = out;
    int64_t number = 0;

    if (!policy_read_integer(at, 0, index_max(arg->hook) + 1, &number))
        return;
    if (number == 0 && arg->arg->type == RECORD_ARG_BYTES && !(is_buffer(arg->arg) && arg->arg->return_copy))
        policy_fail(at, "0 is none: %s has its size in another argument", arg->arg->type_name);
    if (number == 0)
        return;
    if (arg->arg->type_name && arg->arg->type != RECORD_ARG_BYTES)
        policy_fail_key(at, "not for type %s: only char_buf and char_iovec have their size elsewhere",
            arg->arg->type_name);
    arg->arg->size_arg_index = (int)number - 1;
}

static void read_return_copy(const struct policy_at *at, void *out)
{
    const struct arg_out *arg = out;

    if (!policy_read_bool(at, &arg->arg->return_copy) || !arg->arg->return_copy)
        return;
    if (arg->hook->kind != RECORD_HOOK_KPROBE)
        policy_fail_key(at, "only a kprobe sees its function return");
    else if (!arg->hook->has_return)
        policy_fail_key(at, "needs return: true");
}

static void read_max_data(const struct policy_at *at, void *out)
{
    const struct arg_out *arg = out;
    bool is_wanted = false;

    if (!policy_read_bool(at, &is_wanted) || !is_wanted)
        return;
    if (arg->arg->type_name && arg->arg->type != RECORD_ARG_BYTES)
        policy_fail_key(at, "not for type %s: only char_buf and char_iovec have more", arg->arg->type_name);
    arg->arg->max_bytes = UINT32_MAX;
}

static void read_label(const struct policy_at *at, void *out)
{
    policy_take_text(at, POLICY_WORD_MAX, &((struct arg_out *)out)->arg->label);
}

/* What stands in the process's memory: pointers that it gave to a system call, and all that user-space functions have. */
static bool is_kernel_text(const struct policy_hook *hook, const struct policy_arg *arg)
{
    if (!arg->type_name || strcmp(arg->type_name, "string") != 0 || hook->is_syscall)
        return false;
    if (hook->kind == RECORD_HOOK_TRACEPOINT)
        return !hook->subsystem.data || strcmp(hook->subsystem.data, "syscalls") != 0;
    return hook->kind != RECORD_HOOK_UPROBE;
}

static void finish_arg(const struct policy_at *at, const struct policy_hook *hook, struct policy_arg *arg)
{
    arg->is_kernel_text = is_kernel_text(hook, arg);
    if (!arg->type_name && !policy_node_find(at->node, "type")) {
        arg->type_name = strdup("auto");
        if (!arg->type_name)
            policy_fail_memory(at);
    }
    if (!arg->type_name || arg->type != RECORD_ARG_BYTES)
        return;
    if (arg->return_copy && is_buffer(arg))
        arg->size_arg_index = RECORD_HOOK_RETURN;
    else if (!policy_node_find(at->node, "sizeArgIndex"))
        policy_fail_missing(at, "sizeArgIndex",
            is_buffer(arg)
                ? "a char_buf needs the number, from 1, of the argument that has its size, or returnCopy"
                : "a char_iovec needs the number, from 1, of the argument that has its count");
}

static const struct policy_field arg_fields[] = {
    {.name = "index", .read = read_index, .is_required = true},
    {.name = "type", .read = read_type},
    {.name = "returnCopy", .read = read_return_copy},
    {.name = "sizeArgIndex", .read = read_size_index},
    {.name = "maxData", .read = read_max_data},
    {.name = "label", .read = read_label},
    {.name = "resolve", .reason = "members of an argument are not read, only the argument"},
    {.name = "source", .reason = "only a function's own arguments are read"},
    {.name = "btfType", .reason = "types are those of type"},
};

static void read_arg(const struct policy_at *at, void *out)
{
    struct policy_hook *hook = out;
    struct arg_out arg_out = {hook, &hook->args[hook->arg_count++]};

    arg_out.arg->place = at->node->place;
    arg_out.arg->from = POLICY_FROM_INDEX;
    arg_out.arg->size_arg_index = -1;
    policy_read_map(at, arg_fields, COUNT(arg_fields), &arg_out);
    if (at->node->kind == POLICY_NODE_MAP)
        finish_arg(at, hook, arg_out.arg);
}

void policy_read_args(const struct policy_at *at, void *out)
{
    policy_read_list(at, RECORD_HOOK_ARGS_MAX, read_arg, out);
}

static void read_return_index(const struct policy_at *at, void *out)
{
    int64_t index;

    (void)out;
    (void)policy_read_integer(at, 0, 0, &index);
}

static void read_return_type(const struct policy_at *at, void *out)
{
    const char *word;

    if (policy_read_word(at, POLICY_WORD_MAX, &word))
        set_type(at, word, true, ((struct arg_out *)out)->arg);
}

void policy_read_return_arg(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "index", .read = read_return_index},
        {.name = "type", .read = read_return_type, .is_required = true},
        {.name = "label", .read = read_label},
        {.name = "sizeArgIndex", .reason = "what is returned is a number"},
        {.name = "returnCopy", .reason = "what is returned is a number"},
        {.name = "maxData", .reason = "what is returned is a number"},
        {.name = "resolve", .reason = "members of an argument are not read, only the argument"},
        {.name = "source", .reason = "only a function's own arguments are read"},
        {.name = "btfType", .reason = "types are those of type"},
    };
    struct policy_hook *hook = out;
    struct arg_out arg_out = {hook, &hook->return_arg};

    hook->return_arg.place = at->node->place;
    hook->return_arg.from = POLICY_FROM_RETURN;
    hook->return_arg.size_arg_index = -1;
    policy_read_map(at, fields, COUNT(fields), &arg_out);
}
