/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Policy hooks: the front ends. Each brings the raw words of a call into a slot and runs the one engine on them; what it does with them says the
 * hook's configuration (hook_config.h), found by the attachment's cookie, or by a constant of this load where there is no cookie.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/hook_engine.bpf.h"
#include "bpf/hook_process.bpf.h"
#include "bpf/hook_words.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define HOOK_ERRNO_MAX 4095

/* Calls on their way whose return is wanted. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 8192);
    __type(key, struct hook_call_key);
    __type(value, struct hook_call);
} hook_calls SEC(".maps");

/* The hook's configuration and a slot for it; false: there is nothing to do. */
static __always_inline bool begin(__u64 cookie, struct hook_config *c, struct hook_slot **ret)
{
    if (!c)
        return false;
    *ret = hook_slot_claim();
    if (!*ret) {
        hook_refuse();
        return false;
    }
    (*ret)->hook.hook_id = cookie;
    return true;
}

static __always_inline int end(void *ctx, struct hook_config *c, struct hook_slot *s)
{
    int result;

    if (c->flags & HOOK_SYSCALL)
        words_of_syscall(s, s->words[0]);
    hook_run(ctx, s, c);
    result = s->result;
    hook_slot_release(s);
    return result;
}

/* ---- tracepoints --------------------------------------------------------------------------------------- */

SEC("raw_tp")
int hook_raw_tp(void *ctx)
{
    __u64 cookie = hook_cookie_get(ctx);
    struct hook_config *c = hook_config_find(cookie);
    struct hook_slot *s;

    if (gate_is_shut())
        return 0;
    if (!begin(cookie, c, &s))
        return 0;
    words_of_raw(s, c, ctx);
    end(ctx, c, s);
    return 0;
}

/* sys_enter(registers, number), sys_exit(registers, result), for one system call; the fields as its own tracepoint has them. */
SEC("raw_tp")
int hook_raw_syscall(__u64 *ctx)
{
    __u64 cookie = hook_cookie_get(ctx), number = ctx[1];
    struct hook_config *c = hook_config_find(cookie);
    struct hook_slot *s;

    if (gate_is_shut())
        return 0;
    if (!c)
        return 0;
#if defined(__TARGET_ARCH_x86)
    if (c->flags & HOOK_SYSCALL_EXIT)
        bpf_probe_read_kernel(&number, sizeof(number), &((struct pt_regs *)ctx[0])->orig_rax);
#else
    if (c->flags & HOOK_SYSCALL_EXIT)
        return 0;
#endif
    if (number != c->syscall || !begin(cookie, c, &s))
        return 0;
    words_of_syscall(s, ctx[0]);
    s->words[HOOK_WORD_SYSCALL] = number;
    s->words[HOOK_WORD_RETURN] = ctx[1];
    end(ctx, c, s);
    return 0;
}

SEC("tp")
int hook_tracepoint(void *ctx)
{
    __u64 cookie = hook_cookie_get(ctx);
    struct hook_config *c = hook_config_find(cookie);
    struct hook_slot *s;

    if (gate_is_shut())
        return 0;
    if (!begin(cookie, c, &s))
        return 0;
    words_of_fields(s, c, ctx);
    end(ctx, c, s);
    return 0;
}

/* ---- kprobes and uprobes ------------------------------------------------------------------------------- */

static __always_inline int on_probe(struct pt_regs *ctx)
{
    __u64 cookie = hook_cookie_get(ctx);
    struct hook_config *c = hook_config_find(cookie);
    struct hook_slot *s;

    if (gate_is_early())
        return 0;
    if (!begin(cookie, c, &s))
        return 0;
    words_of_registers(s, ctx);
    end(ctx, c, s);
    return 0;
}

/* The words of a call whose return is wanted; what they point to is read at the return. Not gated: the gate may open before the return. */
static __always_inline int on_call(struct pt_regs *ctx)
{
    __u64 cookie = hook_cookie_get(ctx);
    struct hook_call_key key = {.thread = bpf_get_current_pid_tgid(), .hook = cookie};
    struct hook_call call = {};

    if (!hook_config_find(cookie))
        return 0;
    call.words[0] = PT_REGS_PARM1(ctx);
    call.words[1] = PT_REGS_PARM2(ctx);
    call.words[2] = PT_REGS_PARM3(ctx);
    call.words[3] = PT_REGS_PARM4(ctx);
    call.words[4] = PT_REGS_PARM5(ctx);
#if defined(__TARGET_ARCH_x86)
    call.words[5] = ctx->r9;
#endif
    if (bpf_map_update_elem(&hook_calls, &key, &call, BPF_ANY))
        hook_refuse();
    return 0;
}

static __always_inline int on_return(struct pt_regs *ctx)
{
    __u64 cookie = hook_cookie_get(ctx);
    struct hook_config *c = hook_config_find(cookie);
    struct hook_call_key key = {.thread = bpf_get_current_pid_tgid(), .hook = cookie};
    struct hook_call *call = bpf_map_lookup_elem(&hook_calls, &key);
    struct hook_slot *s;

    if (!call) /* it was on its way before the hook came */
        return 0;
    if (!gate_is_early() && begin(cookie, c, &s)) {
        __builtin_memcpy(s->words, call->words, sizeof(call->words));
        s->words[HOOK_WORD_RETURN] = PT_REGS_RC(ctx);
        end(ctx, c, s);
    }
    bpf_map_delete_elem(&hook_calls, &key);
    return 0;
}

SEC("kprobe")
int hook_kprobe(struct pt_regs *ctx)
{
    return on_probe(ctx);
}

SEC("kprobe")
int hook_kprobe_call(struct pt_regs *ctx)
{
    return on_call(ctx);
}

SEC("kretprobe")
int hook_kprobe_return(struct pt_regs *ctx)
{
    return on_return(ctx);
}

SEC("kprobe.multi")
int hook_multi(struct pt_regs *ctx)
{
    return on_probe(ctx);
}

SEC("kprobe.multi")
int hook_multi_call(struct pt_regs *ctx)
{
    return on_call(ctx);
}

SEC("kretprobe.multi")
int hook_multi_return(struct pt_regs *ctx)
{
    return on_return(ctx);
}

/* ---- trampolines: one load for each function ----------------------------------------------------------- */

static __always_inline int on_function(void *ctx, bool has_result)
{
    __u64 cookie = hook_cookie;
    struct hook_config *c = hook_config_find(cookie);
    struct hook_slot *s;

    if (gate_is_early())
        return 0;
    if (!begin(cookie, c, &s))
        return 0;
    words_of_function(s, ctx);
    if (has_result) {
        __u64 result = 0;

        bpf_get_func_ret(ctx, &result);
        s->words[HOOK_WORD_RETURN] = result;
    }
    return end(ctx, c, s);
}

SEC("fentry")
int hook_fentry(void *ctx)
{
    on_function(ctx, false);
    return 0;
}

SEC("fexit")
int hook_fexit(void *ctx)
{
    on_function(ctx, true);
    return 0;
}

/* Not 0: the function is not called, and this is what it returns. */
SEC("fmod_ret")
int hook_fmod_ret(void *ctx)
{
    return on_function(ctx, false);
}

SEC("lsm")
int hook_lsm(void *ctx)
{
    int result = on_function(ctx, false);

    FORGET(result);
    if (result < -HOOK_ERRNO_MAX || result > 0)
        return 0;
    return result;
}
