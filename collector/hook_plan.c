/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hook_plan.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/hook_plan_btf.h"

/* ---- the kernel ----------------------------------------------------------------------------------------------------- */

static void read_host_namespaces(struct hook_host *ret)
{
    static const char *const names[POLICY_NS_COUNT] = {
        "uts", "ipc", "mnt", "pid", "pid_for_children", "net", "time", "time_for_children", "cgroup", "user"};
    char path[64];
    struct stat status;

    for (size_t i = 0; i < POLICY_NS_COUNT; i++) {
        (void)snprintf(path, sizeof(path), "/proc/1/ns/%s", names[i]);
        ret->namespaces[i] = stat(path, &status) == 0 ? (uint32_t)status.st_ino : 0;
    }
}

int hook_kernel_init(struct hook_kernel *ret, char error[HOOK_ERROR_MAX])
{
    static const char *const places[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};

    *ret = (struct hook_kernel){.btf = btf__load_vmlinux_btf(), .tracefs = ""};
    if (!ret->btf) {
        (void)snprintf(error, HOOK_ERROR_MAX, "the kernel's BTF: %s", strerror(errno));
        return -errno;
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !*ret->tracefs; i++) {
        char path[64];

        (void)snprintf(path, sizeof(path), "%s/events", places[i]);
        if (access(path, X_OK) == 0)
            ret->tracefs = places[i];
    }
    read_host_namespaces(&ret->host);
    return 0;
}

void hook_kernel_deinit(struct hook_kernel *kernel)
{
    btf__free(kernel->btf);
    *kernel = (struct hook_kernel){0};
}

/* ---- targets -------------------------------------------------------------------------------------------------------- */

static struct hook_target *add_target(struct hook_targets *targets)
{
    struct hook_target *items = reallocarray(targets->items, targets->count + 1, sizeof(*items));

    if (!items)
        return NULL;
    targets->items = items;
    items[targets->count] = (struct hook_target){0};
    return &items[targets->count++];
}

static void fill_sources(
    struct hook_target *target, const struct policy_hook *hook, const struct hook_prototype *prototype)
{
    for (size_t i = 0; i < hook->arg_count; i++) {
        const struct policy_arg *arg = &hook->args[i];

        if (arg->from == POLICY_FROM_RETURN)
            hook_prototype_result(&target->args[i], prototype);
        else
            hook_prototype_arg(&target->args[i], prototype, arg->index);
        if (arg->size_arg_index == RECORD_HOOK_RETURN && arg->return_copy)
            hook_prototype_result(&target->sizes[i], prototype);
        else if (arg->size_arg_index >= 0)
            hook_prototype_arg(&target->sizes[i], prototype, (uint32_t)arg->size_arg_index);
    }
    hook_prototype_result(&target->result, prototype);
}

static int plan_raw_tracepoint(struct hook_targets *ret, const struct hook_kernel *kernel,
    const struct policy_hook *hook, struct hook_error *error)
{
    struct hook_target *target = add_target(ret);
    struct hook_prototype prototype;

    if (!target)
        return -ENOMEM;
    target->attach = HOOK_ATTACH_RAW_TP;
    (void)snprintf(target->name, sizeof(target->name), "%s", hook->event.data);
    (void)snprintf(target->subsystem, sizeof(target->subsystem), "%s", hook->subsystem.data);
    if (hook_prototype_of_raw_tracepoint(&prototype, kernel->btf, target->name) < 0)
        return hook_error_set(
            error, hook->event.place, -ENOENT, "this kernel has no raw tracepoint %s", target->name);
    target->word_count = (uint8_t)hook_prototype_arg_count(&prototype);
    fill_sources(target, hook, &prototype);
    return 0;
}

int hook_plan(struct hook_targets *ret, const struct hook_kernel *kernel, const struct policy_hook *hook,
    struct hook_error *error)
{
    *ret = (struct hook_targets){0};
    if (hook->kind == RECORD_HOOK_TRACEPOINT && hook->is_raw)
        return plan_raw_tracepoint(ret, kernel, hook, error);
    return hook_error_set(error, hook->place, -EOPNOTSUPP, "hooks of kind %s are not there yet",
        policy_hook_kind_name(hook->kind));
}

void hook_targets_deinit(struct hook_targets *targets)
{
    free(targets->items);
    *targets = (struct hook_targets){0};
}
