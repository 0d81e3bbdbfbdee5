/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hook_plan_btf.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct btf_type *without_modifiers(const struct btf *btf, uint32_t id)
{
    const struct btf_type *type = btf__type_by_id(btf, id);

    while (type && (btf_is_mod(type) || btf_is_typedef(type)))
        type = btf__type_by_id(btf, type->type);
    return type;
}

static int fill_prototype(
    struct hook_prototype *ret, const struct btf *btf, const struct btf_type *proto, uint32_t first)
{
    if (!proto || !btf_is_func_proto(proto) || btf_vlen(proto) < first)
        return -ENOENT;
    *ret = (struct hook_prototype){.btf = btf,
        .parameters = btf_params(proto),
        .count = btf_vlen(proto),
        .first = first,
        .result = proto->type};
    if (ret->count > first && btf_params(proto)[ret->count - 1].type == 0) { /* "…" */
        ret->is_variadic = true;
        ret->count--;
    }
    return 0;
}

int hook_prototype_of_function(struct hook_prototype *ret, const struct btf *btf, const char *name)
{
    int id = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);
    const struct btf_type *type = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

    return type ? fill_prototype(ret, btf, btf__type_by_id(btf, type->type), 0) : -ENOENT;
}

/* btf_trace_NAME is a pointer to the function that a program stands for, whose first argument is the tracepoint's own. */
int hook_prototype_of_raw_tracepoint(struct hook_prototype *ret, const struct btf *btf, const char *name)
{
    char type_name[256];
    const struct btf_type *type;
    int id;

    (void)snprintf(type_name, sizeof(type_name), "btf_trace_%s", name);
    id = btf__find_by_name_kind(btf, type_name, BTF_KIND_TYPEDEF);
    type = id > 0 ? without_modifiers(btf, (uint32_t)id) : NULL;
    return type && btf_is_ptr(type) ? fill_prototype(ret, btf, btf__type_by_id(btf, type->type), 1) : -ENOENT;
}

uint32_t hook_prototype_arg_count(const struct hook_prototype *prototype)
{
    return prototype->count - prototype->first;
}

static void describe_pointer(struct hook_source *ret, const struct btf *btf, const struct btf_type *type)
{
    const struct btf_type *target = type->type ? without_modifiers(btf, type->type) : NULL;
    const char *name = target ? btf__name_by_offset(btf, target->name_off) : "";

    ret->is_pointer = true;
    ret->width = 8;
    if (target && (btf_is_composite(target) || (btf_is_int(target) && target->size == 1)))
        (void)snprintf(ret->pointee, sizeof(ret->pointee), "%s", btf_is_int(target) ? "char" : name);
}

static void describe(struct hook_source *ret, const struct btf *btf, uint32_t id)
{
    const struct btf_type *type = without_modifiers(btf, id);

    if (!type)
        return;
    if (btf_is_ptr(type)) {
        ret->is_known = true;
        describe_pointer(ret, btf, type);
    } else if ((btf_is_int(type) || btf_is_any_enum(type)) && type->size <= 8) {
        ret->is_known = true;
        ret->width = (uint8_t)type->size;
        ret->is_signed = btf_is_int(type) ? (btf_int_encoding(type) & BTF_INT_SIGNED) != 0 : true;
    } else {
        ret->word = HOOK_WORD_NONE; /* a struct by value */
    }
}

void hook_prototype_arg(struct hook_source *ret, const struct hook_prototype *prototype, uint32_t index)
{
    const struct btf_param *parameters = prototype->parameters;

    *ret = (struct hook_source){.word = HOOK_WORD_NONE};
    if (index >= hook_prototype_arg_count(prototype) || index >= HOOK_WORDS_MAX)
        return;
    ret->word = (uint8_t)index;
    describe(ret, prototype->btf, parameters[prototype->first + index].type);
}

void hook_prototype_result(struct hook_source *ret, const struct hook_prototype *prototype)
{
    *ret = (struct hook_source){.word = HOOK_WORD_NONE};
    if (!prototype->result)
        return;
    ret->word = HOOK_WORD_RETURN;
    describe(ret, prototype->btf, prototype->result);
}
