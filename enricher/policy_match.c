/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/policy_match.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "enricher/container_table.h"
#include "enricher/pod_table.h"

enum scope { SCOPE_POD, SCOPE_CONTAINER };
enum operation {
    OPERATION_IN,
    OPERATION_NOT_IN,
    OPERATION_EXISTS,
    OPERATION_DOES_NOT_EXIST,
    OPERATION_COUNT
};

static const char *const operation_names[OPERATION_COUNT] = {"In", "NotIn", "Exists", "DoesNotExist"};

#define WORDS_MIN 4 /* scope key operator count */

struct requirement {
    enum scope scope;
    enum operation operation;
    const char *key; /* of a label; containers are asked for their name */
    const char **values;
    size_t value_count;
};

/* Answers stay right as long as the container has the same Pod in the same version. */
#define CACHE_SLOTS 512
struct answer {
    uint64_t container; /* its serial, 0: none */
    uint32_t version;   /* of its Pod */
    enum policy_verdict verdict;
};

struct policy_match {
    char *name_space; /* NULL: any */
    char *words;      /* NUL-terminated, owned: keys and values point into it */
    const char **values;
    struct requirement *requirements;
    size_t requirement_count;
    bool malformed;
    struct answer answers[CACHE_SLOTS];
};

/* ---- reading the words ------------------------------------------------------------------------------------- */

struct words {
    const char *at, *end; /* end: the NUL behind the last word, which may be an empty one */
};

/* NULL: there is none. */
static const char *next_word(struct words *words)
{
    const char *word = words->at;

    if (word > words->end)
        return NULL;
    words->at += strlen(word) + 1;
    return word;
}

static bool read_scope(const char *word, const char *key, enum scope *ret)
{
    if (!word || !key)
        return false;
    *ret = strcmp(word, "pod") ? SCOPE_CONTAINER : SCOPE_POD;
    return *ret == SCOPE_POD || (!strcmp(word, "container") && !strcmp(key, "name"));
}

static bool read_operation(const char *word, enum operation *ret)
{
    for (int i = 0; word && i < OPERATION_COUNT; i++) {
        if (!strcmp(word, operation_names[i])) {
            *ret = (enum operation)i;
            return true;
        }
    }
    return false;
}

static bool read_count(const char *word, size_t *ret)
{
    char *end;
    unsigned long value;

    if (!word || *word < '0' || *word > '9' || strlen(word) > 5)
        return false;
    value = strtoul(word, &end, 10);
    *ret = value;
    return !*end;
}

/* One group of words; *values is where its values go. */
static bool read_requirement(
    struct words *words, struct requirement *ret, const char **values, size_t values_left)
{
    const char *scope = next_word(words);

    ret->key = next_word(words);
    if (!read_scope(scope, ret->key, &ret->scope) || !read_operation(next_word(words), &ret->operation) ||
        !read_count(next_word(words), &ret->value_count) || ret->value_count > values_left)
        return false;
    if ((ret->operation == OPERATION_IN || ret->operation == OPERATION_NOT_IN) != (ret->value_count > 0))
        return false;
    ret->values = values;
    for (size_t i = 0; i < ret->value_count; i++) {
        values[i] = next_word(words);
        if (!values[i])
            return false;
    }
    return true;
}

static size_t count_words(const char *words, size_t size)
{
    size_t count = 1;

    for (size_t i = 0; i < size; i++)
        count += words[i] == '\0';
    return count;
}

/* `count`: of words, and of what there is room for among the values; a requirement has WORDS_MIN of them. */
static bool read_all(struct policy_match *match, size_t size, size_t count)
{
    struct words words = {match->words, match->words + size};
    size_t values = 0;

    while (size && words.at <= words.end) {
        struct requirement *next = &match->requirements[match->requirement_count];

        if (!read_requirement(&words, next, match->values + values, count - values))
            return false;
        values += next->value_count;
        match->requirement_count++;
    }
    return true;
}

struct policy_match *policy_match_new(
    const char *name_space, size_t name_space_size, const char *words, size_t words_size)
{
    struct policy_match *match = calloc(1, sizeof(*match));
    size_t count = count_words(words, words_size);

    if (!match)
        return NULL;
    match->words = calloc(1, words_size + 1);
    match->values = calloc(count, sizeof(*match->values));
    match->requirements = calloc(count / WORDS_MIN + 1, sizeof(*match->requirements));
    if (name_space_size)
        match->name_space = strndup(name_space, name_space_size);
    if (!match->words || !match->values || !match->requirements || (name_space_size && !match->name_space))
        return policy_match_free(match);
    if (words_size)
        memcpy(match->words, words, words_size);
    match->malformed = !read_all(match, words_size, count);
    return match;
}

struct policy_match *policy_match_free(struct policy_match *match)
{
    if (!match)
        return NULL;
    free(match->name_space);
    free(match->words);
    free(match->values);
    free(match->requirements);
    free(match);
    return NULL;
}

bool policy_match_is_malformed(const struct policy_match *match)
{
    return match->malformed;
}

/* ---- judging ------------------------------------------------------------------------------------------------- */

static const char *find_label(const struct pod *pod, const char *key)
{
    for (size_t i = 0; i < pod->label_count; i++) {
        if (!strcmp(pod->labels[i].key, key))
            return pod->labels[i].value ? pod->labels[i].value : "";
    }
    return NULL;
}

/* value: NULL when there is none. */
static bool holds(const struct requirement *requirement, const char *value)
{
    bool in = false;

    switch (requirement->operation) {
    case OPERATION_EXISTS:
        return value;
    case OPERATION_DOES_NOT_EXIST:
        return !value;
    default:
        break;
    }
    for (size_t i = 0; value && i < requirement->value_count && !in; i++)
        in = !strcmp(value, requirement->values[i]);
    return in == (requirement->operation == OPERATION_IN);
}

static enum policy_verdict judge_requirement(
    const struct requirement *requirement, const struct container *container)
{
    const struct pod *pod = container->pod;
    const char *id = container->identity.container_id, *value = NULL;

    if (requirement->scope == SCOPE_POD) {
        if (!pod->complete)
            return POLICY_UNDECIDED;
        value = find_label(pod, requirement->key);
    } else if (id[0]) {
        const struct pod_container *status = pod_find_container(pod, id);

        if (!status || !status->name)
            return POLICY_UNDECIDED;
        value = status->name;
    }
    return holds(requirement, value) ? POLICY_MATCHES : POLICY_DIFFERS;
}

static enum policy_verdict judge(const struct policy_match *match, const struct container *container)
{
    const struct pod *pod = container->pod;
    enum policy_verdict result = match->malformed ? POLICY_UNDECIDED : POLICY_MATCHES;

    if (match->name_space && !pod->namespace_)
        result = POLICY_UNDECIDED;
    else if (match->name_space && strcmp(match->name_space, pod->namespace_) != 0)
        return POLICY_DIFFERS;
    for (size_t i = 0; i < match->requirement_count && !match->malformed; i++) {
        enum policy_verdict verdict = judge_requirement(&match->requirements[i], container);

        if (verdict == POLICY_DIFFERS)
            return verdict; /* M2 */
        if (verdict == POLICY_UNDECIDED)
            result = verdict;
    }
    return result;
}

enum policy_verdict policy_match_judge(struct policy_match *match, const struct container *container)
{
    const struct pod *pod = container->pod;
    struct answer *answer = &match->answers[container->serial % CACHE_SLOTS];

    if (container->state == CONTAINER_HOST)
        return POLICY_DIFFERS; /* M1 */
    if (!pod)
        return POLICY_UNDECIDED;
    if (answer->container != container->serial || answer->version != (uint32_t)pod->version)
        *answer = (struct answer){container->serial, (uint32_t)pod->version, judge(match, container)};
    return answer->verdict;
}
