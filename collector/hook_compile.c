/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hook_compile.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int hook_error_set(struct hook_error *error, struct policy_place place, int r, const char *format, ...)
{
    va_list arguments;

    error->place = place;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    return r;
}

const char *hook_attach_name(enum hook_attach attach)
{
    static const char *const names[HOOK_ATTACH_COUNT] = {
        [HOOK_ATTACH_RAW_TP] = "raw tracepoint",
        [HOOK_ATTACH_TRACEPOINT] = "tracepoint",
        [HOOK_ATTACH_RAW_SYSCALL] = "raw system call tracepoint",
        [HOOK_ATTACH_FENTRY] = "fentry",
        [HOOK_ATTACH_FEXIT] = "fexit",
        [HOOK_ATTACH_FMOD_RET] = "fmod_ret",
        [HOOK_ATTACH_KPROBE] = "kprobe",
        [HOOK_ATTACH_KRETPROBE] = "kretprobe",
        [HOOK_ATTACH_KPROBE_MULTI] = "kprobe.multi",
        [HOOK_ATTACH_KRETPROBE_MULTI] = "kretprobe.multi",
        [HOOK_ATTACH_LSM] = "lsm",
        [HOOK_ATTACH_UPROBE] = "uprobe",
        [HOOK_ATTACH_URETPROBE] = "uretprobe",
    };

    return (unsigned)attach < HOOK_ATTACH_COUNT ? names[attach] : "?";
}

/* ---- arguments ------------------------------------------------------------------------------------------------------ */

/* How the types are read. Those that the kernel passes by address name the struct that it must be. */
static const struct arg_kind {
    enum hook_read read;
    uint8_t width;
    bool is_signed;
    const char *pointee; /* NULL: any */
} arg_kinds[RECORD_ARG_TYPE_COUNT] = {
    [RECORD_ARG_INT] = {HOOK_READ_INTEGER, 4, true, NULL},
    [RECORD_ARG_UINT] = {HOOK_READ_INTEGER, 4, false, NULL},
    [RECORD_ARG_LONG] = {HOOK_READ_INTEGER, 8, true, NULL},
    [RECORD_ARG_ULONG] = {HOOK_READ_INTEGER, 8, false, NULL},
    [RECORD_ARG_SIZE] = {HOOK_READ_INTEGER, 8, false, NULL},
    [RECORD_ARG_STRING] = {HOOK_READ_STRING, 0, false, NULL},
    [RECORD_ARG_BYTES] = {HOOK_READ_BYTES, 0, false, NULL},
    [RECORD_ARG_FILE] = {HOOK_READ_FILE, 0, false, "file"},
    [RECORD_ARG_PATH] = {HOOK_READ_PATH, 0, false, "path"},
    [RECORD_ARG_FD] = {HOOK_READ_FD, 4, true, NULL},
    [RECORD_ARG_BINPRM] = {HOOK_READ_BINPRM, 0, false, "linux_binprm"},
    [RECORD_ARG_SOCK] = {HOOK_READ_SOCK, 0, false, "sock"},
    [RECORD_ARG_SKB] = {HOOK_READ_SKB, 0, false, "sk_buff"},
    [RECORD_ARG_SOCKADDR] = {HOOK_READ_SOCKADDR, 0, false, "sockaddr"},
    [RECORD_ARG_CRED] = {HOOK_READ_CRED, 0, false, "cred"},
    [RECORD_ARG_CAPABILITY] = {HOOK_READ_INTEGER, 4, true, NULL},
    [RECORD_ARG_SYSCALL] = {HOOK_READ_INTEGER, 8, false, NULL},
};

/* Types of the policy that stand for more than one of the kernel's. */
static const struct {
    enum record_arg_type type;
    const char *pointee;
    enum hook_read read;
} variants[] = {
    {RECORD_ARG_STRING, "filename", HOOK_READ_FILENAME},
    {RECORD_ARG_BYTES, "iov_iter", HOOK_READ_IOV_ITER},
    {RECORD_ARG_BYTES, "iovec", HOOK_READ_IOVEC},
    {RECORD_ARG_PATH, "dentry", HOOK_READ_DENTRY},
    {RECORD_ARG_SOCK, "socket", HOOK_READ_SOCKET},
    {RECORD_ARG_SOCKADDR, "sockaddr_in", HOOK_READ_SOCKADDR},
    {RECORD_ARG_SOCKADDR, "sockaddr_in6", HOOK_READ_SOCKADDR},
    {RECORD_ARG_SOCKADDR, "__kernel_sockaddr_storage", HOOK_READ_SOCKADDR},
    {RECORD_ARG_SOCKADDR, "sockaddr_unsized", HOOK_READ_SOCKADDR},
    {RECORD_ARG_SOCK, "tcp_sock", HOOK_READ_SOCK},
    {RECORD_ARG_SOCK, "inet_sock", HOOK_READ_SOCK},
    {RECORD_ARG_SOCK, "udp_sock", HOOK_READ_SOCK},
};

static bool is_number(enum record_arg_type type)
{
    return arg_kinds[type].read == HOOK_READ_INTEGER;
}

static bool has_text(enum record_arg_type type)
{
    return type >= RECORD_ARG_STRING && type <= RECORD_ARG_BINPRM;
}

static bool has_socket(enum record_arg_type type)
{
    return type == RECORD_ARG_SOCK || type == RECORD_ARG_SKB || type == RECORD_ARG_SOCKADDR;
}

/* "auto": the type that says most about what the kernel has there. */
static enum record_arg_type type_of_source(const struct hook_source *source)
{
    if (!source->is_known)
        return RECORD_ARG_NONE;
    if (!source->is_pointer) {
        if (source->field == HOOK_FIELD_ADDRESS || source->field == HOOK_FIELD_DATA_LOC ||
            source->field == HOOK_FIELD_REL_LOC)
            return RECORD_ARG_STRING;
        if (source->width > 4)
            return source->is_signed ? RECORD_ARG_LONG : RECORD_ARG_ULONG;
        return source->is_signed ? RECORD_ARG_INT : RECORD_ARG_UINT;
    }
    for (unsigned type = 0; type < RECORD_ARG_TYPE_COUNT; type++) {
        if (arg_kinds[type].pointee && strcmp(arg_kinds[type].pointee, source->pointee) == 0)
            return type;
    }
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        if (strcmp(variants[i].pointee, source->pointee) == 0)
            return variants[i].type;
    }
    return strcmp(source->pointee, "char") == 0 ? RECORD_ARG_STRING : RECORD_ARG_ULONG;
}

/* The reader for a type at a source; NONE: the kernel has something else there. */
static enum hook_read reader_of(
    enum record_arg_type type, const char *type_name, const struct hook_source *source)
{
    enum hook_read read = arg_kinds[type].read;

    if (type == RECORD_ARG_PATH && type_name && strcmp(type_name, "dentry") == 0)
        read = HOOK_READ_DENTRY;
    if (type == RECORD_ARG_BYTES && type_name && strcmp(type_name, "char_iovec") == 0)
        read = HOOK_READ_IOVEC;
    if (!source->is_known || !source->is_pointer || !*source->pointee)
        return read;
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        if (variants[i].type == type && strcmp(variants[i].pointee, source->pointee) == 0)
            return variants[i].read;
    }
    if (read == HOOK_READ_DENTRY) /* "dentry", where the kernel has none */
        return strcmp(source->pointee, "path") == 0 ? HOOK_READ_PATH : HOOK_READ_NONE;
    if (arg_kinds[type].pointee && strcmp(source->pointee, arg_kinds[type].pointee) != 0)
        return HOOK_READ_NONE;
    return read;
}

static uint8_t flags_of(
    enum record_arg_type type, const struct hook_source *source, const struct hook_target *target)
{
    bool in_kernel = source->field != HOOK_FIELD_NONE && source->field != HOOK_FIELD_VALUE;

    return (uint8_t)((arg_kinds[type].is_signed ? HOOK_ARG_SIGNED : 0) |
                     (source->is_signed ? HOOK_ARG_FIELD_SIGNED : 0) |
                     (target->from_process && !in_kernel ? HOOK_ARG_USER : 0));
}

static int compile_arg(struct hook_arg *ret, const struct policy_arg *arg, const struct hook_source *source,
    const struct hook_source *size, const struct hook_target *target, struct hook_error *error)
{
    bool is_nop = arg->type_name && strcmp(arg->type_name, "nop") == 0;
    enum record_arg_type type = arg->type || is_nop ? arg->type : type_of_source(source);
    enum hook_read read;
    uint32_t most = arg->max_bytes ? arg->max_bytes : HOOK_BYTES_DEFAULT;

    if (is_nop)
        return 0;

    if (source->word == HOOK_WORD_NONE)
        return hook_error_set(error, arg->place, -EINVAL, "%s %s has no such argument",
            hook_attach_name(target->attach), target->name);
    if (type == RECORD_ARG_NONE)
        return hook_error_set(error, arg->place, -EINVAL,
            "type auto: the kernel does not tell the type of this argument of %s; expected a type by name",
            target->name);
    read = reader_of(type, arg->type_name, source);
    if (read == HOOK_READ_NONE)
        return hook_error_set(error, arg->place, -EINVAL, "type %s: this argument of %s is a struct %s",
            arg->type_name ? arg->type_name : "?", target->name, source->pointee);
    *ret = (struct hook_arg){
        .type = (uint8_t)type,
        .read = (uint8_t)read,
        .word = source->word,
        .size_word = size ? size->word : HOOK_WORD_NONE,
        .flags = flags_of(type, source, target),
        .field = source->field,
        .width = arg_kinds[type].width,
        .field_width = source->field_width,
        .field_offset = source->field_offset,
        .bytes_max = (uint16_t)(most > HOOK_VALUE_MAX ? HOOK_VALUE_MAX : most),
    };
    if (arg->type == RECORD_ARG_NONE && is_number(type) && source->field == HOOK_FIELD_NONE && source->width)
        ret->width = source->width;
    if (source->field == HOOK_FIELD_DATA_LOC || source->field == HOOK_FIELD_REL_LOC)
        ret->size_word = (uint8_t)(HOOK_WORD_FIELD_SIZE + source->word);
    return 0;
}

static int compile_args(struct hook_compiled *ret, const struct policy_hook *hook,
    const struct hook_target *target, struct hook_error *error)
{
    int r = 0;

    for (size_t i = 0; i < hook->arg_count && r == 0; i++)
        r = compile_arg(&ret->config.args[i], &hook->args[i], &target->args[i],
            hook->args[i].size_arg_index >= 0 ? &target->sizes[i] : NULL, target, error);

    if (r == 0 && hook->return_arg.type != RECORD_ARG_NONE)
        r = compile_arg(
            &ret->config.args[RECORD_HOOK_RETURN], &hook->return_arg, &target->result, NULL, target, error);
    ret->config.arg_count = (uint8_t)hook->arg_count;
    return r;
}

/* ---- matches -------------------------------------------------------------------------------------------------------- */

struct compile {
    struct hook_compiled *ret;
    const struct policy_hook *hook;
    const struct hook_host *host;
    struct hook_error *error;
    unsigned match_count, range_count;
};

static int add_range(struct compile *c, const struct policy_match *match, uint64_t low, uint64_t high)
{
    if (c->range_count == HOOK_RANGES_MAX)
        return hook_error_set(
            c->error, match->place, -E2BIG, "more than %d ranges and numbers in one hook", HOOK_RANGES_MAX);
    c->ret->config.ranges[c->range_count++] = (struct hook_range){.low = low, .high = high};
    return 0;
}

static struct hook_entry *add_entry(struct compile *c, enum hook_table table)
{
    struct hook_compiled *ret = c->ret;

    if (ret->entry_count == ret->entry_capacity) {
        size_t capacity = ret->entry_capacity ? ret->entry_capacity * 2 : 8;
        struct hook_entry *entries = reallocarray(ret->entries, capacity, sizeof(*entries));

        if (!entries)
            return NULL;
        ret->entries = entries;
        ret->entry_capacity = capacity;
    }
    ret->entries[ret->entry_count] = (struct hook_entry){.table = table};
    return &ret->entries[ret->entry_count++];
}

static bool are_single(const struct policy_values *values)
{
    for (size_t i = 0; i < values->count; i++) {
        if (values->items[i].low != values->items[i].high)
            return false;
    }
    return true;
}

#define RANGES_PER_LIST 8 /* beyond, a look into a table costs less */

static int add_ranges(struct compile *c, const struct policy_match *match, struct hook_match *m)
{
    int r = 0;

    m->range_first = (uint8_t)c->range_count;
    for (size_t i = 0; i < match->values.count && r == 0; i++)
        r = add_range(c, match, match->values.items[i].low, match->values.items[i].high);
    m->range_count = (uint8_t)(c->range_count - m->range_first);
    return r;
}

static int compile_number_set(struct compile *c, const struct policy_match *match, struct hook_match *m)
{
    m->op = HOOK_MATCH_NUMBER_SET;
    m->set = c->ret->set_count++;
    for (size_t i = 0; i < match->values.count; i++) {
        struct hook_entry *entry = add_entry(c, HOOK_TABLE_NUMBERS);

        if (!entry)
            return -ENOMEM;
        entry->key.number.set = m->set;
        entry->key.number.value = match->values.items[i].low;
    }
    return 0;
}

/* value > low, value < low: any of them, so the widest. */
static int compile_open_range(struct compile *c, const struct policy_match *match, struct hook_match *m)
{
    bool greater = match->op == POLICY_GREATER;
    uint64_t most = m->is_signed ? INT64_MAX : UINT64_MAX, least = m->is_signed ? (uint64_t)INT64_MIN : 0;
    int r = 0;

    m->range_first = (uint8_t)c->range_count;
    for (size_t i = 0; i < match->values.count && r == 0; i++) {
        uint64_t value = match->values.items[i].low;

        if (greater ? value == most : value == least)
            continue;
        r = greater ? add_range(c, match, value + 1, most) : add_range(c, match, least, value - 1);
    }
    m->range_count = (uint8_t)(c->range_count - m->range_first);
    return r;
}

static int compile_number(struct compile *c, const struct policy_match *match, struct hook_match *m)
{
    uint8_t type = c->ret->config.args[match->arg].type;

    m->op = HOOK_MATCH_NUMBER;
    m->is_signed = arg_kinds[type].is_signed;
    switch (match->op) {
    case POLICY_GREATER:
    case POLICY_LESS:
        return compile_open_range(c, match, m);
    case POLICY_MASK: {
        uint64_t mask = 0;

        for (size_t i = 0; i < match->values.count; i++)
            mask |= match->values.items[i].low;
        m->op = HOOK_MATCH_MASK;
        m->range_first = (uint8_t)c->range_count;
        m->range_count = 1;
        return add_range(c, match, mask, mask);
    }
    default:
        if (match->values.count > RANGES_PER_LIST && are_single(&match->values))
            return compile_number_set(c, match, m);
        return add_ranges(c, match, m);
    }
}

static void reverse(uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size / 2; i++) {
        uint8_t byte = data[i];

        data[i] = data[size - 1 - i];
        data[size - 1 - i] = byte;
    }
}

static int add_text(struct compile *c, const struct policy_match *match, const struct hook_match *m,
    const struct policy_string *text)
{
    enum hook_table table = m->op == HOOK_MATCH_TEXT     ? HOOK_TABLE_TEXTS
                            : m->op == HOOK_MATCH_PREFIX ? HOOK_TABLE_PREFIXES
                                                         : HOOK_TABLE_POSTFIXES;
    size_t most = table == HOOK_TABLE_TEXTS ? HOOK_PATTERN_MAX : HOOK_PREFIX_MAX;
    struct hook_entry *entry;

    if (text->size > most)
        return hook_error_set(
            c->error, match->place, -E2BIG, "a text of %zu bytes; expected at most %zu", text->size, most);
    entry = add_entry(c, table);
    if (!entry)
        return -ENOMEM;
    if (table == HOOK_TABLE_TEXTS) {
        entry->key.text.set = m->set;
        entry->key.text.size = (uint32_t)text->size;
        memcpy(entry->key.text.data, text->data, text->size);
        return 0;
    }
    entry->key.prefix.set = m->set;
    entry->key.prefix.bits = 32 + (uint32_t)text->size * 8;
    memcpy(entry->key.prefix.data, text->data, text->size);
    if (table == HOOK_TABLE_POSTFIXES)
        reverse(entry->key.prefix.data, text->size);
    return 0;
}

static int compile_text(struct compile *c, const struct policy_match *match, struct hook_match *m)
{
    int r = 0;

    switch (match->op) {
    case POLICY_PREFIX:
    case POLICY_NOT_PREFIX:
        m->op = HOOK_MATCH_PREFIX;
        break;
    case POLICY_POSTFIX:
    case POLICY_NOT_POSTFIX:
        m->op = HOOK_MATCH_POSTFIX;
        break;
    default:
        m->op = HOOK_MATCH_TEXT;
        break;
    }
    m->set = c->ret->set_count++;
    for (size_t i = 0; i < match->values.count && r == 0; i++)
        r = add_text(c, match, m, &match->values.items[i].text);
    return r;
}

static int compile_network(struct compile *c, const struct policy_match *match, struct hook_match *m)
{
    m->set = c->ret->set_count++;
    for (size_t i = 0; i < match->values.count; i++) {
        const struct policy_value *value = &match->values.items[i];
        struct hook_entry *entry = add_entry(c, HOOK_TABLE_NETWORKS);

        if (!entry)
            return -ENOMEM;
        entry->key.network.set = m->set;
        entry->key.network.bits = 64 + value->prefix_bits;
        entry->key.network.family = value->family == AF_INET6 ? 6 : 4;
        memcpy(entry->key.network.address, value->address, value->family == AF_INET6 ? 16 : 4);
    }
    return 0;
}

static int compile_socket(struct compile *c, const struct policy_match *match, struct hook_match *m)
{
    switch (match->op) {
    case POLICY_SADDR:
    case POLICY_NOT_SADDR:
        m->op = HOOK_MATCH_SADDR;
        return compile_network(c, match, m);
    case POLICY_DADDR:
    case POLICY_NOT_DADDR:
        m->op = HOOK_MATCH_DADDR;
        return compile_network(c, match, m);
    case POLICY_SPORT:
    case POLICY_NOT_SPORT:
        m->op = HOOK_MATCH_SPORT;
        break;
    case POLICY_DPORT:
    case POLICY_NOT_DPORT:
        m->op = HOOK_MATCH_DPORT;
        break;
    case POLICY_PROTOCOL:
        m->op = HOOK_MATCH_PROTOCOL;
        break;
    case POLICY_FAMILY:
        m->op = HOOK_MATCH_FAMILY;
        break;
    default:
        m->op = HOOK_MATCH_STATE;
        break;
    }
    return add_ranges(c, match, m);
}

static int compile_arg_match(struct compile *c, const struct policy_match *match, struct hook_match *m)
{
    enum record_arg_type type = c->ret->config.args[match->arg & 7].type;

    m->arg = match->arg;
    if (match->arg > RECORD_HOOK_RETURN || type == RECORD_ARG_NONE)
        return hook_error_set(c->error, match->place, -EINVAL, "%s: the hook has no such argument",
            match->arg == RECORD_HOOK_RETURN ? "matchReturnArgs" : "matchArgs");
    if (match->op >= POLICY_SADDR && match->op <= POLICY_STATE) {
        if (!has_socket(type))
            return hook_error_set(c->error, match->place, -EINVAL, "operator %s: the argument is no socket",
                policy_operator_name(match->op));
        return compile_socket(c, match, m);
    }
    if (has_text(type) && match->op <= POLICY_NOT_POSTFIX)
        return compile_text(c, match, m);
    if (is_number(type) &&
        (match->op <= POLICY_NOT_EQUAL || (match->op >= POLICY_GREATER && match->op <= POLICY_MASK)))
        return compile_number(c, match, m);
    return hook_error_set(c->error, match->place, -EINVAL, "operator %s does not go with the argument's type",
        policy_operator_name(match->op));
}

static int compile_process_set(struct compile *c, const struct policy_match *match, struct hook_match *m)
{
    struct hook_compiled *ret = c->ret;
    enum policy_operator op = POLICY_EQUAL;

    if (match->op == POLICY_PREFIX || match->op == POLICY_NOT_PREFIX)
        op = POLICY_PREFIX;
    else if (match->op == POLICY_POSTFIX || match->op == POLICY_NOT_POSTFIX)
        op = POLICY_POSTFIX;
    if (ret->process_set_count == HOOK_PROCESS_SETS_PER_HOOK)
        return hook_error_set(c->error, match->place, -E2BIG,
            "more than %d matchBinaries and matchPIDs in one hook", HOOK_PROCESS_SETS_PER_HOOK);
    m->op = HOOK_MATCH_PROCESS;
    m->set = (uint32_t)ret->process_set_count;
    ret->process_sets[ret->process_set_count++] = (struct hook_process_set){
        .kind = match->kind,
        .op = op,
        .follow = match->follow,
        .namespace_pid = match->namespace_pid,
        .values = &match->values,
        .match = (uint8_t)c->match_count,
    };
    return 0;
}

static int compile_namespaces(struct compile *c, const struct policy_match *match, struct hook_match *m)
{
    int r;

    m->op = HOOK_MATCH_NAMESPACE;
    m->arg = (uint8_t)match->name_space;
    r = add_ranges(c, match, m);
    if (r == 0 && match->host_namespace) {
        uint32_t host = c->host->namespaces[match->name_space];

        if (!host)
            return hook_error_set(
                c->error, match->place, -EINVAL, "host_ns: the host's namespaces are not known here");
        r = add_range(c, match, host, host);
        m->range_count++;
    }
    return r;
}

static int compile_match(struct compile *c, const struct policy_match *match, struct hook_match *m)
{
    switch (match->kind) {
    case POLICY_MATCH_BINARIES:
        return compile_process_set(c, match, m);
    case POLICY_MATCH_PIDS:
        if (match->follow)
            return compile_process_set(c, match, m);
        m->op = HOOK_MATCH_PID;
        m->arg = match->namespace_pid;
        return add_ranges(c, match, m);
    case POLICY_MATCH_ARG:
        return compile_arg_match(c, match, m);
    case POLICY_MATCH_NAMESPACE:
        return compile_namespaces(c, match, m);
    case POLICY_MATCH_CAPABILITIES:
        m->op = HOOK_MATCH_CAPABILITY;
        m->arg = (uint8_t)match->capability_set;
        m->range_first = (uint8_t)c->range_count;
        m->range_count = 1;
        return add_range(c, match, match->capabilities, match->namespace_capability);
    }
    return -EINVAL;
}

/* HC1 */
static unsigned cost_of(const struct policy_match *match, const struct hook_config *config)
{
    if (match->kind != POLICY_MATCH_ARG)
        return match->kind == POLICY_MATCH_PIDS || match->kind == POLICY_MATCH_BINARIES ? 0 : 1;
    if (match->arg <= RECORD_HOOK_RETURN && is_number(config->args[match->arg].type))
        return 2;
    return match->op >= POLICY_SADDR ? 3 : 4;
}

static int compile_selector(struct compile *c, const struct policy_selector *selector, unsigned number)
{
    struct hook_match *matches = c->ret->config.matches;
    unsigned first = c->match_count;

    if (first + (selector->match_count ? selector->match_count : 1) > HOOK_MATCHES_MAX)
        return hook_error_set(
            c->error, selector->place, -E2BIG, "more than %d matches in one hook", HOOK_MATCHES_MAX);
    for (unsigned cost = 0; cost <= 4; cost++) {
        for (size_t i = 0; i < selector->match_count; i++) {
            const struct policy_match *match = &selector->matches[i];
            int r;

            if (cost_of(match, &c->ret->config) != cost)
                continue;
            matches[c->match_count] = (struct hook_match){.negate = policy_operator_is_negative(match->op)};
            r = compile_match(c, match, &matches[c->match_count]);
            if (r < 0)
                return r;
            c->match_count++;
        }
    }
    if (c->match_count == first)
        matches[c->match_count++] = (struct hook_match){.op = HOOK_MATCH_ALWAYS};
    for (unsigned i = first; i < c->match_count; i++) {
        matches[i].selector = (uint8_t)number;
        matches[i].fail = (uint8_t)c->match_count;
    }
    matches[c->match_count - 1].last = 1;
    return 0;
}

/* ---- actions -------------------------------------------------------------------------------------------------------- */

static void compile_action(struct hook_action *ret, const struct policy_action *action)
{
    switch (action->kind) {
    case POLICY_ACTION_POST:
        ret->rate_ns = action->rate_limit_ns;
        ret->rate_scope = (uint8_t)action->rate_scope;
        if (action->kernel_stack)
            ret->flags |= HOOK_ACTION_STACK;
        break;
    case POLICY_ACTION_NO_POST:
        ret->flags &= (uint8_t)~HOOK_ACTION_POST;
        break;
    case POLICY_ACTION_SIGKILL:
        ret->signal = SIGKILL;
        ret->reported = RECORD_HOOK_SIGKILL;
        break;
    case POLICY_ACTION_SIGNAL:
        ret->signal = (uint8_t)action->value;
        ret->reported = RECORD_HOOK_SIGNAL;
        ret->reported_value = action->value;
        break;
    case POLICY_ACTION_OVERRIDE:
        ret->flags |= HOOK_ACTION_OVERRIDE;
        ret->override = action->value;
        ret->reported = RECORD_HOOK_OVERRIDE;
        ret->reported_value = action->value;
        break;
    }
}

static void compile_actions(struct hook_compiled *ret, const struct policy_hook *hook)
{
    for (size_t i = 0; i < HOOK_SELECTORS_MAX; i++) {
        struct hook_action *action = &ret->config.actions[i];

        action->flags = HOOK_ACTION_POST;
        if (i >= hook->selector_count)
            continue;
        for (size_t j = 0; j < hook->selectors[i].action_count; j++)
            compile_action(action, &hook->selectors[i].actions[j]);
        ret->acts |= action->signal || action->flags & HOOK_ACTION_OVERRIDE;
    }
}

int hook_compile(struct hook_compiled *ret, const struct policy_hook *hook, const struct hook_target *target,
    const struct hook_host *host, struct hook_error *error)
{
    static const struct policy_selector everything = {0};
    struct compile c = {.ret = ret, .hook = hook, .host = host, .error = error};
    int r;

    *ret = (struct hook_compiled){0};
    r = compile_args(ret, hook, target, error);
    for (size_t i = 0; i < hook->selector_count && r == 0; i++)
        r = compile_selector(&c, &hook->selectors[i], (unsigned)i);
    if (r == 0 && hook->selector_count == 0)
        r = compile_selector(&c, &everything, 0);
    if (r < 0)
        return r;
    compile_actions(ret, hook);
    ret->config.match_count = (uint8_t)c.match_count;
    ret->config.word_count = target->word_count;
    ret->config.flags = target->is_syscall ? HOOK_SYSCALL : 0;
    if (target->attach == HOOK_ATTACH_RAW_SYSCALL) {
        ret->config.flags = target->is_exit ? HOOK_SYSCALL_EXIT : HOOK_SYSCALL_ENTER;
        ret->config.syscall = (uint64_t)target->syscall_number;
    }
    return 0;
}

void hook_compiled_deinit(struct hook_compiled *compiled)
{
    free(compiled->entries);
    *compiled = (struct hook_compiled){0};
}
