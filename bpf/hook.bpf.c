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

SEC("raw_tp")
int hook_raw_tp(void *ctx)
{
    struct hook_config *c = hook_config_find(ctx);
    struct hook_slot *s;

    if (!c)
        return 0;
    s = hook_slot_claim();
    if (!s) {
        hook_refuse();
        return 0;
    }
    words_of_raw(s, c, ctx);
    hook_run(ctx, s, c);
    hook_slot_release(s);
    return 0;
}
