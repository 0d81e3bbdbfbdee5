/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_hook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/policy_number.h"

#define NAME_CHARACTERS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
#define FUNCTION_CHARACTERS NAME_CHARACTERS ".$"
#define EVENT_CHARACTERS    NAME_CHARACTERS "-."
#define COUNT(array)        (sizeof(array) / sizeof((array)[0]))

#define REASON_DATA        "only a function's own arguments are read"
#define REASON_IGNORE      "what the kernel does not have is told, and that policy alone is not loaded"
#define REASON_MACROS      "selectors are written out"
#define REASON_SOCK_TRACK  "sockets are not followed"
#define REASON_REFERENCES  "reference counters of user-space probes are not kept"
#define REASON_RETURN_USER "a user-space function's return is not hooked"

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* A name of the kernel's. False: it is none, which is told. */
static bool read_name(const struct policy_at *at, const char *characters, const char *what, const char **ret)
{
    if (!policy_read_word(at, POLICY_WORD_MAX, ret))
        return false;
    if (strspn(*ret, characters) == strlen(*ret))
        return true;
    policy_fail(at, "\"%.60s\": expected the name of %s", *ret, what);
    return false;
}

static void take_name(const struct policy_at *at, const char *name, struct policy_string *ret)
{
    ret->data = strdup(name);
    if (!ret->data)
        policy_fail_memory(at);
    ret->size = strlen(name);
    ret->place = at->node->place;
}

static void add_function(
    const struct policy_at *at, struct policy_hook *hook, const char *prefix, const char *name)
{
    struct policy_string *function =
        policy_grow(at, &hook->functions, &hook->function_count, sizeof(*function));
    int size;

    if (!function)
        return;
    size = asprintf(&function->data, "%s%s", prefix, name);
    if (size < 0) {
        function->data = NULL;
        policy_fail_memory(at);
        return;
    }
    function->size = (size_t)size;
    function->place = at->node->place;
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

static void read_list_name(const struct policy_at *at, void *out)
{
    struct policy_call_list *list = out;

    (void)policy_read_word(at, POLICY_WORD_MAX, &list->name);
}

static void read_list_type(const struct policy_at *at, void *out)
{
    struct policy_call_list *list = out;
    const char *word;

    if (!policy_read_word(at, POLICY_WORD_MAX, &word))
        return;
    if (strcmp(word, "generated_syscalls") == 0 || strcmp(word, "generated_ftrace") == 0)
        policy_fail(at, "\"%s\" is not supported: name the calls in values", word);
    else if (strcmp(word, "syscalls") == 0)
        list->is_of_syscalls = true;
    else if (strcmp(word, "none") != 0)
        policy_fail(at, "\"%.60s\" is none of none, syscalls", word);
}

static void check_list_value(const struct policy_at *at, void *out)
{
    const struct policy_call_list *list = out;
    const char *word;

    if (list->is_of_syscalls && at->node->kind == POLICY_NODE_SCALAR &&
        (strncmp(at->node->text, "i386/", 5) == 0 || strncmp(at->node->text, "0x80/", 5) == 0))
        policy_fail(at, "\"%.60s\" is not supported: system calls of the 32-bit ABI are not told apart",
            at->node->text);
    else
        (void)read_name(at, list->is_of_syscalls ? NAME_CHARACTERS : FUNCTION_CHARACTERS,
            list->is_of_syscalls ? "a system call" : "a function", &word);
}

static void read_list_values(const struct policy_at *at, void *out)
{
    struct policy_call_list *list = out;

    if (at->node->kind == POLICY_NODE_LIST)
        list->values = at->node;
    policy_read_list(at, POLICY_FUNCTIONS_MAX, check_list_value, list);
}

static void read_call_list(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "name", .read = read_list_name, .is_required = true},
        {.name = "type", .read = read_list_type},
        {.name = "values", .read = read_list_values, .is_required = true},
        {.name = "pattern", .reason = "name the calls in values"},
        {.name = "validated", .reason = "calls are always looked for"},
    };
    struct policy_reading *reading = at->reading;
    struct policy_call_list list = {0}, *added;

    (void)out;
    policy_read_map(at, fields, COUNT(fields), &list);
    if (!list.name)
        return;
    for (size_t i = 0; i < reading->list_count; i++) {
        if (strcmp(reading->lists[i].name, list.name) == 0)
            policy_fail(at, "there is already a list \"%.60s\"", list.name);
    }
    added = policy_grow(at, &reading->lists, &reading->list_count, sizeof(*added));
    if (added)
        *added = list;
}

void policy_read_call_lists(const struct policy_at *at, void *out)
{
    policy_read_list(at, POLICY_HOOKS_MAX, read_call_list, out);
}

/* ---- what hooks have in common ----------------------------------------------------------------------------------- */

static struct policy_hook *add_hook(
    const struct policy_at *at, struct policy *policy, enum record_hook_kind kind)
{
    struct policy_hook *hook;

    if (policy->hook_count == POLICY_HOOKS_MAX) {
        policy_fail(at, "more than %d hooks", POLICY_HOOKS_MAX);
        return NULL;
    }
    hook = policy_grow(at, &policy->hooks, &policy->hook_count, sizeof(*hook));
    if (!hook)
        return NULL;
    hook->kind = kind;
    hook->place = at->node->place;
    return hook;
}

static void read_message(const struct policy_at *at, void *out)
{
    policy_take_text(at, POLICY_MESSAGE_MAX, &((struct policy_hook *)out)->message);
}

static void read_tag(const struct policy_at *at, void *out)
{
    struct policy_hook *hook = out;

    policy_take_text(at, POLICY_WORD_MAX, &hook->tags[hook->tag_count]);
    if (hook->tags[hook->tag_count])
        hook->tag_count++;
}

static void read_tags(const struct policy_at *at, void *out)
{
    policy_read_list(at, POLICY_TAGS_MAX, read_tag, out);
}

/* ---- kprobes ----------------------------------------------------------------------------------------------------- */

static void read_is_syscall(const struct policy_at *at, void *out)
{
    (void)policy_read_bool(at, &((struct policy_hook *)out)->is_syscall);
}

/* One call of a hook. `is_said`: syscall is in the file, so that it is not guessed. */
static void add_call(const struct policy_at *at, struct policy_hook *hook, const char *name, bool is_said)
{
    const char *base = policy_syscall_base(name);

    if (hook->is_syscall && !is_said && !base)
        policy_fail(at,
            "\"%.60s\" has no sys_ before it, and syscall is not given, which means true: "
            "say syscall: false for a function of the kernel",
            name);
    else if (hook->is_syscall)
        add_function(at, hook, "sys_", base ? base : name);
    else
        add_function(at, hook, "", name);
}

static const struct policy_call_list *find_call_list(const struct policy_reading *reading, const char *name)
{
    for (size_t i = 0; i < reading->list_count; i++) {
        if (strcmp(reading->lists[i].name, name) == 0)
            return &reading->lists[i];
    }
    return NULL;
}

static void add_calls_of_list(
    const struct policy_at *at, struct policy_hook *hook, const char *name, bool is_said)
{
    const struct policy_call_list *list = find_call_list(at->reading, name);

    if (!list) {
        policy_fail(at, "there is no list \"%.60s\" in spec.lists", name);
        return;
    }
    if (list->is_of_syscalls && !hook->is_syscall) {
        policy_fail(at, "list \"%.60s\" is of system calls, and syscall is false", name);
        return;
    }
    if (list->values && list->values->count == 0)
        policy_fail(at, "list \"%.60s\" is empty", name);
    for (size_t i = 0; list->values && i < list->values->count; i++) {
        struct policy_at item = *at;

        item.node = list->values->entries[i].value;
        if (item.node->kind == POLICY_NODE_SCALAR)
            add_call(&item, hook, item.node->text, is_said || list->is_of_syscalls);
    }
}

static void read_call(const struct policy_at *at, void *out)
{
    struct policy_hook *hook = out;
    bool is_said = policy_node_find(at->up->node, "syscall") != NULL;
    const char *name;

    if (at->node->kind == POLICY_NODE_SCALAR && strncmp(at->node->text, "list:", 5) == 0)
        add_calls_of_list(at, hook, at->node->text + 5, is_said);
    else if (read_name(at, FUNCTION_CHARACTERS, "a kernel function or system call, or list:NAME", &name))
        add_call(at, hook, name, is_said);
}

static void read_has_return(const struct policy_at *at, void *out)
{
    (void)policy_read_bool(at, &((struct policy_hook *)out)->has_return);
}

static void read_return_action(const struct policy_at *at, void *out)
{
    const char *word;

    (void)out;
    if (policy_read_word(at, POLICY_WORD_MAX, &word) && strcmp(word, "Post") != 0)
        policy_fail(at, "\"%.60s\" is not supported: " REASON_SOCK_TRACK, word);
}

/* What only the whole hook shows. */
static void check_kprobe(const struct policy_at *at, const struct policy_hook *hook)
{
    const char *base = hook->function_count > 0 ? hook->functions[0].data : NULL;
    const struct policy_entry *call = policy_node_find(at->node, "call");

    if (hook->has_return && !policy_node_find(at->node, "returnArg"))
        policy_fail_missing(at, "returnArg", "return: true needs it, with the type of what is returned");
    if (!hook->has_return && hook->return_arg.type_name)
        policy_fail_missing(at, "return", "returnArg needs return: true");
    if (!hook->is_syscall && base && hook->arg_count > 0 && policy_syscall_base(base) && base[0] == '_') {
        const struct policy_at below = {.reading = at->reading,
            .up = at,
            .key = "call",
            .key_place = call->key_place,
            .node = call->value};

        policy_fail(&below,
            "\"%.60s\" is the entry of a system call: its arguments are those of the call with syscall: true "
            "only",
            base);
    }
}

static void read_kprobe(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "syscall", .read = read_is_syscall},
        {.name = "call", .read = read_call, .is_required = true},
        {.name = "return", .read = read_has_return},
        {.name = "args", .read = policy_read_args},
        {.name = "returnArg", .read = policy_read_return_arg},
        {.name = "returnArgAction", .read = read_return_action},
        {.name = "message", .read = read_message},
        {.name = "tags", .read = read_tags},
        {.name = "selectors", .read = policy_read_selectors},
        {.name = "data", .reason = REASON_DATA},
        {.name = "ignore", .reason = REASON_IGNORE},
        {.name = "macros", .reason = REASON_MACROS},
    };
    struct policy_hook *hook = add_hook(at, out, RECORD_HOOK_KPROBE);

    if (!hook)
        return;
    hook->is_syscall = true; /* as Tetragon's schema has it */
    policy_read_map(at, fields, COUNT(fields), hook);
    if (at->node->kind == POLICY_NODE_MAP)
        check_kprobe(at, hook);
}

void policy_read_kprobes(const struct policy_at *at, void *out)
{
    policy_read_list(at, POLICY_HOOKS_MAX, read_kprobe, out);
}

/* ---- tracepoints ------------------------------------------------------------------------------------------------- */

static void read_subsystem(const struct policy_at *at, void *out)
{
    const char *name;

    if (read_name(at, EVENT_CHARACTERS, "a tracepoint's subsystem", &name))
        take_name(at, name, &((struct policy_hook *)out)->subsystem);
}

static void read_event(const struct policy_at *at, void *out)
{
    const char *name;

    if (read_name(at, EVENT_CHARACTERS, "a tracepoint", &name))
        take_name(at, name, &((struct policy_hook *)out)->event);
}

static void read_is_raw(const struct policy_at *at, void *out)
{
    (void)policy_read_bool(at, &((struct policy_hook *)out)->is_raw);
}

static void read_tracepoint(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "subsystem", .read = read_subsystem, .is_required = true},
        {.name = "event", .read = read_event, .is_required = true},
        {.name = "raw", .read = read_is_raw},
        {.name = "args", .read = policy_read_args},
        {.name = "message", .read = read_message},
        {.name = "tags", .read = read_tags},
        {.name = "selectors", .read = policy_read_selectors},
        {.name = "macros", .reason = REASON_MACROS},
    };
    struct policy_hook *hook = add_hook(at, out, RECORD_HOOK_TRACEPOINT);

    if (hook)
        policy_read_map(at, fields, COUNT(fields), hook);
}

void policy_read_tracepoints(const struct policy_at *at, void *out)
{
    policy_read_list(at, POLICY_HOOKS_MAX, read_tracepoint, out);
}

/* ---- LSM hooks --------------------------------------------------------------------------------------------------- */

static void read_lsm_name(const struct policy_at *at, void *out)
{
    const char *name;

    if (read_name(at, NAME_CHARACTERS, "an LSM hook, such as file_open", &name))
        add_function(at, out, "", name);
}

static void read_lsm_hook(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "hook", .read = read_lsm_name, .is_required = true},
        {.name = "args", .read = policy_read_args},
        {.name = "message", .read = read_message},
        {.name = "tags", .read = read_tags},
        {.name = "selectors", .read = policy_read_selectors},
        {.name = "macros", .reason = REASON_MACROS},
    };
    struct policy_hook *hook = add_hook(at, out, RECORD_HOOK_LSM);

    if (hook)
        policy_read_map(at, fields, COUNT(fields), hook);
}

void policy_read_lsm_hooks(const struct policy_at *at, void *out)
{
    policy_read_list(at, POLICY_HOOKS_MAX, read_lsm_hook, out);
}

/* ---- uprobes ----------------------------------------------------------------------------------------------------- */

static void read_binary_path(const struct policy_at *at, void *out)
{
    struct policy_hook *hook = out;
    const char *path;

    if (!policy_read_word(at, RECORD_PATH_MAX, &path))
        return;
    if (*path == '/')
        take_name(at, path, &hook->path);
    else
        policy_fail(at, "\"%.60s\": expected a path that begins with /", path);
}

static void read_symbol(const struct policy_at *at, void *out)
{
    const char *name;

    if (policy_read_word(at, POLICY_WORD_MAX, &name))
        add_function(at, out, "", name);
}

static void read_symbols(const struct policy_at *at, void *out)
{
    policy_read_list(at, POLICY_FUNCTIONS_MAX, read_symbol, out);
}

static void read_offset(const struct policy_at *at, void *out)
{
    struct policy_hook *hook = out;
    uint64_t value = 0, *offset;
    const char *word;

    if (!policy_read_word(at, POLICY_WORD_MAX, &word))
        return;
    if (policy_parse_number(word, strlen(word), false, 64, &value) != POLICY_NUMBER_FINE || value == 0)
        policy_fail(at, "\"%.60s\": expected an offset in the file, such as 0x1f40", word);
    else if ((offset = policy_grow(at, &hook->offsets, &hook->offset_count, sizeof(*offset))))
        *offset = value;
}

static void read_offsets(const struct policy_at *at, void *out)
{
    policy_read_list(at, POLICY_FUNCTIONS_MAX, read_offset, out);
}

static bool has_content(const struct policy_node *map, const char *key)
{
    const struct policy_entry *entry = policy_node_find(map, key);

    return entry && entry->value->kind != POLICY_NODE_NULL &&
           (entry->value->kind != POLICY_NODE_LIST || entry->value->count > 0);
}

static bool names_a_place(const struct policy_node *map)
{
    return has_content(map, "symbols") || has_content(map, "symbol") || has_content(map, "offsets");
}

static void read_uprobe(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "path", .read = read_binary_path, .is_required = true},
        {.name = "symbols", .read = read_symbols},
        {.name = "symbol", .read = read_symbol},
        {.name = "offsets", .read = read_offsets},
        {.name = "args", .read = policy_read_args},
        {.name = "message", .read = read_message},
        {.name = "tags", .read = read_tags},
        {.name = "selectors", .read = policy_read_selectors},
        {.name = "addrs", .reason = "give symbols or offsets"},
        {.name = "refCtrOffsets", .reason = REASON_REFERENCES},
        {.name = "return", .reason = REASON_RETURN_USER},
        {.name = "returnArg", .reason = REASON_RETURN_USER},
        {.name = "data", .reason = REASON_DATA},
        {.name = "btfPath", .reason = "types are given in args"},
        {.name = "ignore", .reason = REASON_IGNORE},
        {.name = "macros", .reason = REASON_MACROS},
    };
    struct policy_hook *hook = add_hook(at, out, RECORD_HOOK_UPROBE);

    if (!hook)
        return;
    policy_read_map(at, fields, COUNT(fields), hook);
    if (at->node->kind != POLICY_NODE_MAP)
        return;
    /* Empty ones say nothing either. */
    if (hook->function_count + hook->offset_count == 0 && !names_a_place(at->node))
        policy_fail_missing(at, "symbols", "symbols or offsets say where in the file");
    else if (hook->function_count > 0 && hook->offset_count > 0)
        policy_fail(at, "symbols and offsets: expected one of them");
}

void policy_read_uprobes(const struct policy_at *at, void *out)
{
    policy_read_list(at, POLICY_HOOKS_MAX, read_uprobe, out);
}
