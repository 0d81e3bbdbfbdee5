/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_values.h"

#include <stdlib.h>
#include <string.h>

#include "collector/policy_number.h"

#define PID_MAX ((uint64_t)1 << 22)

struct values_out {
    const struct policy_type *type;
    struct policy_match *match;
};

static struct policy_value *add_value(const struct policy_at *at, struct policy_match *match)
{
    struct policy_value *value;

    if (match->values.count == POLICY_VALUES_MAX) {
        policy_fail(at, "more than %d values", POLICY_VALUES_MAX);
        return NULL;
    }
    value = policy_grow(at, &match->values.items, &match->values.count, sizeof(*value));
    if (!value)
        return NULL;
    value->text.data = malloc(at->node->size + 1);
    if (!value->text.data) {
        policy_fail_memory(at);
        return NULL;
    }
    memcpy(value->text.data, at->node->text, at->node->size + 1);
    value->text.size = at->node->size;
    value->text.place = at->node->place;
    return value;
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

static void read_number(
    const struct policy_at *at, const struct policy_type *type, struct policy_match *match)
{
    bool is_range = match->op == POLICY_IN_RANGE || match->op == POLICY_NOT_IN_RANGE;
    bool is_signed = type->is_signed && match->op != POLICY_MASK;
    uint64_t low = 0, high = 0;
    enum policy_number_result result;
    struct policy_value *value;
    const char *word;

    if (!policy_read_word(at, POLICY_PATTERN_MAX, &word))
        return;
    if (is_range)
        result = policy_parse_range(word, is_signed, type->bits, &low, &high);
    else
        result = policy_parse_number(word, strlen(word), is_signed, type->bits, &low);
    if (result == POLICY_NUMBER_OUT_OF_RANGE)
        policy_fail(at, "\"%.60s\" is out of range for type %s: %u bits, %s", word, type->name, type->bits,
            is_signed ? "signed" : "unsigned");
    else if (result == POLICY_NUMBER_BAD)
        policy_fail(at, "\"%.60s\": expected %s", word,
            is_range ? "a number, or LOW:HIGH with LOW not above HIGH" : "a number, such as 17, -1 or 0x1f");
    else if (match->op == POLICY_MASK && low == 0)
        policy_fail(at, "\"%.60s\": expected a mask that is not 0", word);
    else if ((value = add_value(at, match))) {
        value->low = low;
        value->high = is_range ? high : low;
    }
}

static void read_pattern(
    const struct policy_at *at, const struct policy_type *type, struct policy_match *match)
{
    const struct policy_node *node = at->node;
    const char *word;

    /* Bytes may be anything, also a NUL; what the kernel ends with a NUL has none. */
    if (type->type == RECORD_ARG_BYTES && node->kind == POLICY_NODE_SCALAR && node->size > 0 &&
        node->size <= POLICY_PATTERN_MAX)
        (void)add_value(at, match);
    else if (policy_read_word(at, POLICY_PATTERN_MAX, &word))
        (void)add_value(at, match);
}

static bool parse_named(
    const char *word, bool (*find)(const char *name, uint64_t *ret), unsigned bits, uint64_t *ret)
{
    return find(word, ret) || policy_parse_number(word, strlen(word), false, bits, ret) == POLICY_NUMBER_FINE;
}

static void read_named(const struct policy_at *at, struct policy_match *match,
    bool (*find)(const char *name, uint64_t *ret), unsigned bits, const char *expected)
{
    struct policy_value *value;
    uint64_t number = 0;
    const char *word;

    if (!policy_read_word(at, POLICY_PATTERN_MAX, &word))
        return;
    if (!parse_named(word, find, bits, &number))
        policy_fail(at, "\"%.60s\": expected %s", word, expected);
    else if ((value = add_value(at, match)))
        value->low = value->high = number;
}

static void read_port(const struct policy_at *at, struct policy_match *match)
{
    uint64_t low = 0, high = 0;
    struct policy_value *value;
    const char *word;

    if (!policy_read_word(at, POLICY_PATTERN_MAX, &word))
        return;
    if (policy_parse_range(word, false, 16, &low, &high) != POLICY_NUMBER_FINE)
        policy_fail(at, "\"%.60s\": expected a port from 0 to 65535, or LOW:HIGH", word);
    else if ((value = add_value(at, match))) {
        value->low = low;
        value->high = high;
    }
}

static void read_network(const struct policy_at *at, struct policy_match *match)
{
    struct policy_value parsed = {0}, *value;
    const char *word;

    if (!policy_read_word(at, POLICY_PATTERN_MAX, &word))
        return;
    if (!policy_parse_network(word, &parsed))
        policy_fail(at, "\"%.60s\": expected an IPv4 or IPv6 address, or a network such as 10.0.0.0/8", word);
    else if ((value = add_value(at, match))) {
        memcpy(value->address, parsed.address, sizeof(value->address));
        value->family = parsed.family;
        value->prefix_bits = parsed.prefix_bits;
    }
}

static bool find_capability(const char *name, uint64_t *ret)
{
    unsigned number;

    if (!policy_capability_number(name, &number))
        return false;
    *ret = number;
    return true;
}

/* list:NAME, for numbers of system calls. */
static void read_call_list(const struct policy_at *at, const char *name, struct policy_match *match)
{
    const struct policy_reading *reading = at->reading;

    for (size_t i = 0; i < reading->list_count; i++) {
        const struct policy_call_list *list = &reading->lists[i];

        if (strcmp(list->name, name) != 0)
            continue;
        if (!list->is_of_syscalls)
            policy_fail(at, "list \"%.60s\" is not of type syscalls", name);
        for (size_t j = 0; list->is_of_syscalls && list->values && j < list->values->count; j++) {
            struct policy_at item = *at;

            item.node = list->values->entries[j].value;
            if (item.node->kind == POLICY_NODE_SCALAR) /* else it has been told there */
                read_named(&item, match, policy_syscall_number, 32, "a system call's name or number");
        }
        return;
    }
    policy_fail(at, "there is no list \"%.60s\" in spec.lists", name);
}

static void read_syscall(const struct policy_at *at, struct policy_match *match)
{
    const char *word;

    if (!policy_read_word(at, POLICY_PATTERN_MAX, &word))
        return;
    if (strncmp(word, "list:", 5) == 0)
        read_call_list(at, word + 5, match);
    else
        read_named(at, match, policy_syscall_number, 32, "a system call's name or number, or list:NAME");
}

static void read_socket_value(const struct policy_at *at, struct policy_match *match)
{
    switch (match->op) {
    case POLICY_SADDR:
    case POLICY_NOT_SADDR:
    case POLICY_DADDR:
    case POLICY_NOT_DADDR:
        read_network(at, match);
        break;
    case POLICY_PROTOCOL:
        read_named(at, match, policy_protocol_number, 16, "a protocol such as IPPROTO_TCP, or its number");
        break;
    case POLICY_FAMILY:
        read_named(at, match, policy_family_number, 16, "an address family such as AF_INET, or its number");
        break;
    case POLICY_STATE:
        read_named(at, match, policy_tcp_state_number, 8, "a state such as TCP_ESTABLISHED, or its number");
        break;
    default:
        read_port(at, match);
    }
}

static void read_arg_value(const struct policy_at *at, void *out)
{
    const struct values_out *values = out;

    switch (values->type->type_class) {
    case POLICY_CLASS_NUMBER:
        read_number(at, values->type, values->match);
        break;
    case POLICY_CLASS_TEXT:
        read_pattern(at, values->type, values->match);
        break;
    case POLICY_CLASS_CAPABILITY:
        read_named(
            at, values->match, find_capability, 6, "a capability such as CAP_SYS_ADMIN, or its number");
        break;
    case POLICY_CLASS_SYSCALL:
        read_syscall(at, values->match);
        break;
    case POLICY_CLASS_SOCKET:
    case POLICY_CLASS_SOCKET_ADDRESS:
        read_socket_value(at, values->match);
        break;
    case POLICY_CLASS_NONE: /* no operator fits */
        break;
    }
}

static void read_values(
    const struct policy_at *at, void (*read)(const struct policy_at *at, void *out), void *out)
{
    if (at->node->kind == POLICY_NODE_LIST && at->node->count == 0)
        policy_fail(at, "expected at least one value");
    else
        policy_read_list(at, POLICY_VALUES_MAX, read, out);
}

void policy_read_arg_values(
    const struct policy_at *at, const struct policy_type *type, struct policy_match *match)
{
    struct values_out out = {type, match};
    bool is_single = match->op == POLICY_GREATER || match->op == POLICY_LESS;

    if (is_single && at->node->kind == POLICY_NODE_LIST && at->node->count > 1)
        policy_fail(at, "%zu values: expected one", at->node->count);
    else
        read_values(at, read_arg_value, &out);
}

/* ---- the process ------------------------------------------------------------------------------------------------- */

static void read_pid(const struct policy_at *at, void *out)
{
    struct policy_value *value;
    uint64_t pid = 0;
    const char *word;

    if (!policy_read_word(at, POLICY_PATTERN_MAX, &word))
        return;
    if (policy_parse_number(word, strlen(word), false, 32, &pid) != POLICY_NUMBER_FINE || pid > PID_MAX)
        policy_fail(at, "\"%.60s\": expected a pid, from 0 to %llu", word, (unsigned long long)PID_MAX);
    else if ((value = add_value(at, out)))
        value->low = value->high = pid;
}

void policy_read_pid_values(const struct policy_at *at, struct policy_match *match)
{
    read_values(at, read_pid, match);
}

static void read_binary(const struct policy_at *at, void *out)
{
    const char *word;

    if (policy_read_word(at, POLICY_PATTERN_MAX, &word))
        (void)add_value(at, out);
}

void policy_read_binary_values(const struct policy_at *at, struct policy_match *match)
{
    read_values(at, read_binary, match);
}

static void read_namespace(const struct policy_at *at, void *out)
{
    struct policy_match *match = out;
    struct policy_value *value;
    uint64_t number = 0;
    const char *word;

    if (!policy_read_word(at, POLICY_PATTERN_MAX, &word))
        return;
    if (strcmp(word, "host_ns") == 0)
        match->host_namespace = true;
    else if (policy_parse_number(word, strlen(word), false, 32, &number) != POLICY_NUMBER_FINE)
        policy_fail(at, "\"%.60s\": expected host_ns, or a namespace's inode number", word);
    else if ((value = add_value(at, match)))
        value->low = value->high = number;
}

void policy_read_namespace_values(const struct policy_at *at, struct policy_match *match)
{
    read_values(at, read_namespace, match);
}

static void read_capability(const struct policy_at *at, void *out)
{
    struct policy_match *match = out;
    unsigned number;
    const char *word;

    if (!policy_read_word(at, POLICY_PATTERN_MAX, &word))
        return;
    if (policy_capability_number(word, &number))
        match->capabilities |= UINT64_C(1) << number;
    else
        policy_fail(at, "\"%.60s\": expected a capability such as CAP_SYS_ADMIN", word);
}

void policy_read_capability_values(const struct policy_at *at, struct policy_match *match)
{
    read_values(at, read_capability, match);
}
