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

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Words of a raw tracepoint: as many as it has. */
static __always_inline void words_of_raw(struct hook_slot *s, const struct hook_config *c, void *ctx)
{
    __u32 size = c->word_count * sizeof(__u64);

    if (size > HOOK_WORDS_MAX * sizeof(__u64))
        size = HOOK_WORDS_MAX * sizeof(__u64);
    bpf_probe_read_kernel(s->words, size, ctx);
}

/* The hook's configuration and a slot for it; false: there is nothing to do. */
static __always_inline bool begin(void *ctx, struct hook_config **ret_config, struct hook_slot **ret_slot)
{
    __u64 cookie = hook_cookie_get(ctx);

    *ret_config = hook_config_find(cookie);
    if (!*ret_config)
        return false;
    *ret_slot = hook_slot_claim();
    if (!*ret_slot) {
        hook_refuse();
        return false;
    }
    (*ret_slot)->hook.hook_id = cookie;
    return true;
}

static __always_inline int end(void *ctx, struct hook_config *c, struct hook_slot *s)
{
    int result;

    hook_run(ctx, s, c);
    result = s->result;
    hook_slot_release(s);
    return result;
}

SEC("raw_tp")
int hook_raw_tp(void *ctx)
{
    struct hook_config *c;
    struct hook_slot *s;

    if (!begin(ctx, &c, &s))
        return 0;
    words_of_raw(s, c, ctx);
    end(ctx, c, s);
    return 0;
}
