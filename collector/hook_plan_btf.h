/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the kernel's BTF says of a function's or a raw tracepoint's arguments. */
#include <stdbool.h>
#include <stdint.h>

#include "collector/hook_compile.h"

struct btf;

/* A function as the kernel has it; parameters are borrowed of its BTF. */
struct hook_prototype {
    const struct btf *btf;
    const void *parameters; /* struct btf_param */
    uint32_t count, first;  /* `first`: parameters that are not arguments */
    uint32_t result;        /* type id, 0: void */
    bool is_variadic;
};

/* 0; -ENOENT: the kernel has none of this name. */
int hook_prototype_of_function(struct hook_prototype *ret, const struct btf *btf, const char *name);
int hook_prototype_of_raw_tracepoint(struct hook_prototype *ret, const struct btf *btf, const char *name);

/* Arguments that can be asked for. */
uint32_t hook_prototype_arg_count(const struct hook_prototype *prototype);
/* word HOOK_WORD_NONE when there is no such argument, or it is no single word. */
void hook_prototype_arg(struct hook_source *ret, const struct hook_prototype *prototype, uint32_t index);
void hook_prototype_result(struct hook_source *ret, const struct hook_prototype *prototype);
