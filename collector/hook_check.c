/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hook_check.h"

#include <errno.h>
#include <string.h>

#include "collector/hook_plan.h"
#include "collector/policy_file.h"

static void describe_target(struct text *out, const char *indent, const struct hook_target *target)
{
    text_append_format(out, "%s%-16s ", indent, hook_attach_name(target->attach));
    if (target->subsystem[0]) {
        text_append_string(out, target->subsystem);
        text_append_char(
            out, target->attach == HOOK_ATTACH_UPROBE || target->attach == HOOK_ATTACH_URETPROBE ? ':' : '/');
    }
    if (target->name[0])
        text_append_string(out, target->name);
    else
        text_append_format(out, "0x%llx", (unsigned long long)target->offset);
    text_append_char(out, '\n');
}

/* Plans a hook and compiles it for each of its targets. */
static int check_hook(struct text *out, const char *indent, const struct hook_kernel *kernel,
    const struct policy_hook *hook, struct hook_error *error)
{
    struct hook_targets targets = {0};
    struct hook_host host; /* which numbers its namespaces have does not matter here */
    int r = hook_plan(&targets, kernel, hook, error);

    memset(&host, 1, sizeof(host));
    for (size_t i = 0; i < targets.count && r == 0; i++) {
        struct hook_compiled compiled;

        r = hook_compile(&compiled, hook, &targets.items[i], &host, error);
        hook_compiled_deinit(&compiled);
        if (r == 0)
            describe_target(out, indent, &targets.items[i]);
    }
    hook_targets_deinit(&targets);
    return r;
}

int hook_check_policy(struct text *out, const struct hook_kernel *kernel, const struct policy *policy)
{
    struct hook_error error = {0};
    struct text lines = {0};
    int r = 0;

    for (size_t i = 0; i < policy->hook_count && r == 0; i++)
        r = check_hook(&lines, "  ", kernel, &policy->hooks[i], &error);
    if (r < 0) {
        const struct policy_fault fault = {
            .file = policy->file, .place = error.place, .path = policy->name.data, .message = error.text};

        policy_fault_append(&fault, out);
        text_append_char(out, '\n');
    } else {
        text_append_format(out, "%s: OK\n", policy->name.data);
        text_append(out, lines.data, lines.size);
    }
    text_deinit(&lines);
    return r < 0 ? -EINVAL : 0;
}

void hook_check_plan(struct text *out, const struct policy_hook *hook, void *arg)
{
    const struct hook_kernel *kernel = arg;
    struct hook_error error = {0};
    struct text lines = {0};

    if (check_hook(&lines, "", kernel, hook, &error) < 0)
        text_append_format(out, "not on this kernel: %s\n", error.text);
    else
        text_append(out, lines.data, lines.size);
    if (kernel->is_guessed)
        text_append_string(out, "(not tried: that takes CAP_BPF and CAP_PERFMON)\n");
    text_deinit(&lines);
}
