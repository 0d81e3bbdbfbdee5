/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_pods.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX           317 /* a prefix of 253 bytes, '/', a name of 63 */
#define VALUE_MAX         63
#define EXPRESSIONS_MAX   64
#define EXPRESSION_VALUES 64
#define ALPHANUMERIC      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define COUNT(array)      (sizeof(array) / sizeof((array)[0]))

enum { OPERATOR_IN, OPERATOR_NOT_IN, OPERATOR_EXISTS, OPERATOR_DOES_NOT_EXIST };

static const char *const operator_names[] = {[OPERATOR_IN] = "In",
    [OPERATOR_NOT_IN] = "NotIn",
    [OPERATOR_EXISTS] = "Exists",
    [OPERATOR_DOES_NOT_EXIST] = "DoesNotExist",
    NULL};

/* Which of the two selectors is read; `out` of everything below it. */
struct pods_out {
    struct policy *policy;
    const char *scope;
};

struct expression_out {
    const struct pods_out *pods;
    const char *key;
    size_t operator_number;
    bool has_operator;
    const char *values[EXPRESSION_VALUES];
    size_t value_count;
};

/* ---- words ------------------------------------------------------------------------------------------------------- */

/* Words with a NUL between them. */
static void add_word(const struct policy_at *at, struct policy *policy, const char *word)
{
    size_t used = policy->pod_selector_bytes, start = used > 0 ? used + 1 : 0, size = strlen(word);
    char *bytes;

    if (start + size > POLICY_POD_WORDS_MAX) {
        policy_fail(
            at, "podSelector and containerSelector are larger than %d bytes together", POLICY_POD_WORDS_MAX);
        return;
    }
    bytes = realloc(policy->pod_selector, start + size + 1);
    if (!bytes) {
        policy_fail_memory(at);
        return;
    }
    memcpy(bytes + start, word, size + 1);
    policy->pod_selector = bytes;
    policy->pod_selector_bytes = start + size;
}

static void add_requirement(const struct policy_at *at, const struct expression_out *expression)
{
    struct policy *policy = expression->pods->policy;
    char count[24];

    (void)snprintf(count, sizeof(count), "%zu", expression->value_count);
    add_word(at, policy, expression->pods->scope);
    add_word(at, policy, expression->key);
    add_word(at, policy, operator_names[expression->operator_number]);
    add_word(at, policy, count);
    for (size_t i = 0; i < expression->value_count; i++)
        add_word(at, policy, expression->values[i]);
}

/* ---- keys and values --------------------------------------------------------------------------------------------- */

/* False: no key of a label (or of what a container has), which is told at `at`. */
static bool check_key(const struct policy_at *at, const struct pods_out *pods, const char *key)
{
    size_t size = strlen(key);

    if (strcmp(pods->scope, "container") == 0) {
        if (strcmp(key, "name") == 0)
            return true;
        policy_fail_key(at, "\"%.*s\": expected name, the one thing that a container is selected by",
            size < 60 ? (int)size : 60, key);
        return false;
    }
    if (size > 0 && size <= KEY_MAX && strspn(key, ALPHANUMERIC "-_./:") == size &&
        strchr(ALPHANUMERIC, key[0]) && strchr(ALPHANUMERIC, key[size - 1]))
        return true;
    policy_fail_key(at, "\"%.60s\": expected the key of a label", key);
    return false;
}

/* NULL: it is no value of a label, which is told. Empty is a value too. */
static const char *read_label_value(const struct policy_at *at)
{
    const struct policy_node *node = at->node;

    if (node->kind == POLICY_NODE_SCALAR && node->size <= VALUE_MAX &&
        !memchr(node->text, '\0', node->size) && strspn(node->text, ALPHANUMERIC "-_.") == node->size &&
        (node->size == 0 ||
            (strchr(ALPHANUMERIC, node->text[0]) && strchr(ALPHANUMERIC, node->text[node->size - 1]))))
        return node->text;
    policy_fail(at, "expected the value of a label: at most %d letters, digits, '-', '_' and '.'", VALUE_MAX);
    return NULL;
}

/* ---- matchLabels ------------------------------------------------------------------------------------------------- */

static void read_labels(const struct policy_at *at, void *out)
{
    const struct pods_out *pods = out;

    if (at->node->kind != POLICY_NODE_MAP) {
        policy_fail(at, "expected keys and values");
        return;
    }
    for (size_t i = 0; i < at->node->count; i++) {
        const struct policy_entry *entry = &at->node->entries[i];
        const struct policy_at below = {.reading = at->reading,
            .up = at,
            .key = entry->key,
            .key_place = entry->key_place,
            .node = entry->value};
        struct expression_out expression = {
            .pods = pods, .key = entry->key, .operator_number = OPERATOR_IN, .value_count = 1};
        bool is_key = check_key(&below, pods, entry->key);

        expression.values[0] = read_label_value(&below);
        if (is_key && expression.values[0])
            add_requirement(&below, &expression);
    }
}

/* ---- matchExpressions -------------------------------------------------------------------------------------------- */

static void read_key(const struct policy_at *at, void *out)
{
    struct expression_out *expression = out;
    const char *key;

    if (policy_read_word(at, KEY_MAX, &key) && check_key(at, expression->pods, key))
        expression->key = key;
}

static void read_operator(const struct policy_at *at, void *out)
{
    struct expression_out *expression = out;

    expression->has_operator = policy_read_choice(at, operator_names, &expression->operator_number);
}

static void read_value(const struct policy_at *at, void *out)
{
    struct expression_out *expression = out;
    const char *value = read_label_value(at);

    if (value)
        expression->values[expression->value_count++] = value;
}

static void read_values(const struct policy_at *at, void *out)
{
    policy_read_list(at, EXPRESSION_VALUES, read_value, out);
}

static void read_expression(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "key", .read = read_key, .is_required = true},
        {.name = "operator", .read = read_operator, .is_required = true},
        {.name = "values", .read = read_values},
    };
    struct expression_out expression = {.pods = out};
    const struct policy_entry *values;
    bool wants_values, has_values;

    policy_read_map(at, fields, COUNT(fields), &expression);
    if (!expression.key || !expression.has_operator)
        return;
    values = policy_node_find(at->node, "values");
    has_values = values && values->value->kind == POLICY_NODE_LIST && values->value->count > 0;
    wants_values = expression.operator_number == OPERATOR_IN || expression.operator_number == OPERATOR_NOT_IN;
    if (wants_values && !has_values)
        policy_fail_missing(at, "values", "In and NotIn need at least one");
    else if (!wants_values && has_values)
        policy_fail(at, "values: Exists and DoesNotExist have none");
    else
        add_requirement(at, &expression);
}

static void read_expressions(const struct policy_at *at, void *out)
{
    policy_read_list(at, EXPRESSIONS_MAX, read_expression, out);
}

static void read_selector(const struct policy_at *at, struct policy *policy, const char *scope)
{
    static const struct policy_field fields[] = {
        {.name = "matchLabels", .read = read_labels},
        {.name = "matchExpressions", .read = read_expressions},
    };
    struct pods_out pods = {policy, scope};

    policy_read_map(at, fields, COUNT(fields), &pods);
}

void policy_read_pod_selector(const struct policy_at *at, void *out)
{
    read_selector(at, out, "pod");
}

void policy_read_container_selector(const struct policy_at *at, void *out)
{
    read_selector(at, out, "container");
}
