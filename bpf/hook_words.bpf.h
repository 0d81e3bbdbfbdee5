/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/* Where each kind of hook has the raw words of a call. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/hook_slot.bpf.h"
#include "bpf/verifier.bpf.h"

#define HOOK_FUNCTION_WORDS 6

/* A raw tracepoint has as many as it has. */
static __always_inline void words_of_raw(struct hook_slot *s, const struct hook_config *c, void *ctx)
{
    __u32 size = c->word_count * sizeof(__u64);

    FORGET(size);
    if (size > HOOK_WORDS_MAX * sizeof(__u64))
        size = HOOK_WORDS_MAX * sizeof(__u64);
    bpf_probe_read_kernel(s->words, size, ctx);
}

/* The registers of a system call, which its function gets as its only argument. */
static __always_inline void words_of_syscall(struct hook_slot *s, __u64 registers)
{
    struct pt_regs *regs = (void *)s->path; /* the stack is short */

    if (bpf_probe_read_kernel(regs, sizeof(*regs), (void *)registers))
        return;
#if defined(__TARGET_ARCH_x86)
    s->words[0] = regs->rdi;
    s->words[1] = regs->rsi;
    s->words[2] = regs->rdx;
    s->words[3] = regs->r10;
    s->words[4] = regs->r8;
    s->words[5] = regs->r9;
#else
    for (int i = 0; i < 6; i++)
        s->words[i] = ((__u64 *)regs)[i];
#endif
}

static __always_inline void words_of_registers(struct hook_slot *s, struct pt_regs *regs)
{
    s->words[0] = PT_REGS_PARM1(regs);
    s->words[1] = PT_REGS_PARM2(regs);
    s->words[2] = PT_REGS_PARM3(regs);
    s->words[3] = PT_REGS_PARM4(regs);
    s->words[4] = PT_REGS_PARM5(regs);
#if defined(__TARGET_ARCH_x86)
    s->words[5] = regs->r9;
#else
    s->words[5] = ((struct user_pt_regs *)regs)->regs[5];
#endif
}

/* fentry, fexit, fmod_ret, LSM: whatever the function's type. */
static __always_inline void words_of_function(struct hook_slot *s, void *ctx)
{
#pragma unroll
    for (__u32 i = 0; i < HOOK_FUNCTION_WORDS; i++) {
        __u64 word = 0;

        bpf_get_func_arg(ctx, i, &word);
        s->words[i] = word;
    }
}

static __always_inline __u64 word_of_field(const struct hook_arg *arg, void *ctx)
{
    void *at = ctx + arg->field_offset;
    bool is_signed = arg->flags & HOOK_ARG_FIELD_SIGNED;
    __u64 word = 0;

    switch (arg->field_width) {
    case 1:
        bpf_probe_read_kernel(&word, 1, at);
        return is_signed ? (__u64)(__s64)(__s8)word : word;
    case 2:
        bpf_probe_read_kernel(&word, 2, at);
        return is_signed ? (__u64)(__s64)(__s16)word : word;
    case 4:
        bpf_probe_read_kernel(&word, 4, at);
        return is_signed ? (__u64)(__s64)(__s32)word : word;
    default:
        bpf_probe_read_kernel(&word, 8, at);
        return word;
    }
}

/* A tracepoint's fields, argument by argument. */
static __always_inline void words_of_fields(struct hook_slot *s, const struct hook_config *c, void *ctx)
{
    for (__u32 i = 0; i < RECORD_HOOK_ARGS_MAX; i++) {
        const struct hook_arg *arg = &c->args[i];
        __u64 word = 0;

        if (arg->field == HOOK_FIELD_NONE)
            continue;
        if (arg->field == HOOK_FIELD_ADDRESS)
            word = (__u64)ctx + arg->field_offset;
        else
            word = word_of_field(arg, ctx);
        if (arg->field == HOOK_FIELD_DATA_LOC || arg->field == HOOK_FIELD_REL_LOC) {
            s->words[HOOK_WORD_FIELD_SIZE + i] = word >> 16 & 0xffff;
            word = (__u64)ctx + (word & 0xffff);
            if (arg->field == HOOK_FIELD_REL_LOC)
                word += arg->field_offset + 4;
        }
        s->words[i] = word;
    }
}
