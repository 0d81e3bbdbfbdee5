/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hook_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/hook_plan_btf.h"
#include "collector/hook_plan_format.h"
#include "collector/policy_number.h"
#include "common/cleanup.h"

#if defined(__x86_64__)
#define SYSCALL_PREFIX "__x64_"
#elif defined(__aarch64__)
#define SYSCALL_PREFIX "__arm64_"
#endif

/* A trampoline takes a program of its own for each function; beyond as many, kprobe.multi is preferred, which shares one. */
#define MANY_FUNCTIONS 8

static struct hook_target *add_target(struct hook_targets *targets)
{
    struct hook_target *items = reallocarray(targets->items, targets->count + 1, sizeof(*items));

    if (!items)
        return NULL;
    targets->items = items;
    items[targets->count] = (struct hook_target){0};
    return &items[targets->count++];
}

/* ---- where the words come from -------------------------------------------------------------------------------------- */

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

static void fill_word(struct hook_source *ret, uint32_t index)
{
    *ret = (struct hook_source){.word = index < 6 ? (uint8_t)index : HOOK_WORD_NONE};
}

/* By number alone: the kernel does not tell the types. */
static void fill_words(struct hook_target *target, const struct policy_hook *hook)
{
    const struct hook_source result = {.word = HOOK_WORD_RETURN};

    for (size_t i = 0; i < hook->arg_count; i++) {
        const struct policy_arg *arg = &hook->args[i];

        if (arg->from == POLICY_FROM_RETURN)
            target->args[i] = result;
        else
            fill_word(&target->args[i], arg->index);
        if (arg->size_arg_index == RECORD_HOOK_RETURN && arg->return_copy)
            target->sizes[i] = result;
        else if (arg->size_arg_index >= 0)
            fill_word(&target->sizes[i], (uint32_t)arg->size_arg_index);
    }
    target->result = result;
    target->result.is_known = target->is_syscall;
    target->result.is_signed = true;
    target->result.width = 8;
}

static bool wants_return(const struct policy_hook *hook)
{
    bool wants = hook->has_return || hook->return_arg.type != RECORD_ARG_NONE;

    for (size_t i = 0; i < hook->arg_count; i++)
        wants |= hook->args[i].from == POLICY_FROM_RETURN || hook->args[i].return_copy;
    return wants;
}

static const struct policy_action *find_override(const struct policy_hook *hook)
{
    for (size_t i = 0; i < hook->selector_count; i++) {
        for (size_t j = 0; j < hook->selectors[i].action_count; j++) {
            if (hook->selectors[i].actions[j].kind == POLICY_ACTION_OVERRIDE)
                return &hook->selectors[i].actions[j];
        }
    }
    return NULL;
}

static int refuse_override(const struct policy_hook *hook, const char *what, struct hook_error *error)
{
    const struct policy_action *override = find_override(hook);

    if (!override)
        return 0;
    return hook_error_set(error, override->place, -EOPNOTSUPP,
        "Override: %s cannot be overridden; expected an LSM hook, a system call or a security_… function",
        what);
}

/* ---- tracepoints ---------------------------------------------------------------------------------------------------- */

static int plan_raw_tracepoint(struct hook_target *target, const struct hook_kernel *kernel,
    const struct policy_hook *hook, struct hook_error *error)
{
    struct hook_prototype prototype;

    target->attach = HOOK_ATTACH_RAW_TP;
    if (hook_prototype_of_raw_tracepoint(&prototype, kernel->btf, target->name) < 0)
        return hook_error_set(
            error, hook->event.place, -ENOENT, "this kernel has no raw tracepoint %s", target->name);
    target->word_count = (uint8_t)hook_prototype_arg_count(&prototype);
    fill_sources(target, hook, &prototype);
    return 0;
}

/* The fields of a system call's tracepoint have their places: its number, then arguments or result. So the tracepoint of all system calls will do, for
 * whoever is not allowed perf or cannot read tracefs. */
#define SYSCALL_FIELD_NUMBER 4
#define SYSCALL_FIELD_FIRST  5

static void fill_syscall_fields(struct hook_target *target, const struct policy_hook *hook)
{
    for (size_t i = 0; i < hook->arg_count; i++) {
        struct hook_source *source = &target->args[i];
        uint32_t index = hook->args[i].index;

        *source = (struct hook_source){.word = HOOK_WORD_NONE};
        if (index == SYSCALL_FIELD_NUMBER)
            source->word = HOOK_WORD_SYSCALL;
        else if (target->is_exit && index == SYSCALL_FIELD_FIRST)
            source->word = HOOK_WORD_RETURN;
        else if (!target->is_exit && index >= SYSCALL_FIELD_FIRST && index < SYSCALL_FIELD_FIRST + 6)
            source->word = (uint8_t)(index - SYSCALL_FIELD_FIRST);
    }
    target->result.word = HOOK_WORD_NONE;
}

/* true: *target is it. */
static bool plan_raw_syscall(
    struct hook_target *target, const struct hook_kernel *kernel, const struct policy_hook *hook)
{
    uint64_t number;

    if ((kernel->has_perf && *kernel->tracefs) || strcmp(target->subsystem, "syscalls") != 0)
        return false;
    target->is_exit = strncmp(target->name, "sys_exit_", 9) == 0;
    if (!target->is_exit && strncmp(target->name, "sys_enter_", 10) != 0)
        return false;
    if (!policy_syscall_number(target->name + (target->is_exit ? 9 : 10), &number))
        return false;
    target->attach = HOOK_ATTACH_RAW_SYSCALL;
    target->syscall_number = (int)number;
    fill_syscall_fields(target, hook);
    return true;
}

static int read_format(struct hook_format *ret, const struct hook_target *target,
    const struct hook_kernel *kernel, const struct policy_hook *hook, struct hook_error *error)
{
    CLEANUP_FILE FILE *file = NULL;
    char path[640];

    if (!*kernel->tracefs)
        return hook_error_set(error, hook->place, -ENOENT,
            "tracepoints: tracefs is not mounted; it is needed at /sys/kernel/tracing");
    (void)snprintf(
        path, sizeof(path), "%s/events/%s/%s/format", kernel->tracefs, target->subsystem, target->name);
    file = fopen(path, "re");
    if (!file)
        return hook_error_set(error, hook->event.place, -errno, "this kernel has no tracepoint %s/%s: %s: %s",
            target->subsystem, target->name, path, strerror(errno));
    if (hook_format_read(ret, file) < 0)
        return hook_error_set(error, hook->event.place, -EBADMSG, "%s: not the format of a tracepoint", path);
    return 0;
}

/* A size stands in another of the hook's own arguments. */
static int find_size(
    struct hook_target *target, const struct policy_hook *hook, size_t i, struct hook_error *error)
{
    int wanted = hook->args[i].size_arg_index;

    if (wanted < 0)
        return 0;
    for (size_t j = 0; j < hook->arg_count; j++) {
        if (hook->args[j].index == (uint32_t)wanted) {
            target->sizes[i] = target->args[j];
            return 0;
        }
    }
    return hook_error_set(
        error, hook->args[i].place, -EINVAL, "sizeArgIndex: field %d is not among the hook's args", wanted);
}

static int plan_tracepoint(struct hook_targets *ret, const struct hook_kernel *kernel,
    const struct policy_hook *hook, struct hook_error *error)
{
    struct hook_target *target = add_target(ret);
    struct hook_format format;
    int r;

    if (!target)
        return -ENOMEM;
    (void)snprintf(target->name, sizeof(target->name), "%s", hook->event.data);
    (void)snprintf(target->subsystem, sizeof(target->subsystem), "%s", hook->subsystem.data);
    r = refuse_override(hook, "a tracepoint", error);
    if (r < 0 || hook->is_raw)
        return r < 0 ? r : plan_raw_tracepoint(target, kernel, hook, error);
    target->attach = HOOK_ATTACH_TRACEPOINT;
    target->from_process = strcmp(target->subsystem, "syscalls") == 0;
    if (plan_raw_syscall(target, kernel, hook)) {
        for (size_t i = 0; i < hook->arg_count && r == 0; i++)
            r = find_size(target, hook, i, error);
        return r;
    }
    r = read_format(&format, target, kernel, hook, error);
    for (size_t i = 0; i < hook->arg_count && r == 0; i++)
        hook_format_source(&target->args[i], &format, hook->args[i].index, (uint8_t)i);
    for (size_t i = 0; i < hook->arg_count && r == 0; i++)
        r = find_size(target, hook, i, error);
    target->result.word = HOOK_WORD_NONE;
    return r;
}

/* ---- functions ------------------------------------------------------------------------------------------------------ */

static void name_function(struct hook_target *target, const struct policy_hook *hook, const char *name)
{
    if (!hook->is_syscall) {
        (void)snprintf(target->name, sizeof(target->name), "%s", name);
        return;
    }
    target->is_syscall = target->from_process = true;
    if (strncmp(name, SYSCALL_PREFIX, sizeof(SYSCALL_PREFIX) - 1) == 0)
        name += sizeof(SYSCALL_PREFIX) - 1;
    (void)snprintf(target->name, sizeof(target->name), SYSCALL_PREFIX "%s%s",
        strncmp(name, "sys_", 4) == 0 ? "" : "sys_", name);
}

/* A system call's own function has the registers for its only argument; what they mean is said by the one that it calls, if the compiler
 * left it. */
static void fill_syscall(
    struct hook_target *target, const struct hook_kernel *kernel, const struct policy_hook *hook)
{
    struct hook_prototype prototype;
    char name[300];

    fill_words(target, hook);
    (void)snprintf(name, sizeof(name), "__do_%s", target->name + sizeof(SYSCALL_PREFIX) - 1);
    if (hook_prototype_of_function(&prototype, kernel->btf, name) < 0)
        return;
    for (size_t i = 0; i < hook->arg_count; i++) {
        if (hook->args[i].from == POLICY_FROM_INDEX)
            hook_prototype_arg(&target->args[i], &prototype, hook->args[i].index);
    }
}

static int choose_attach(struct hook_target *target, const struct hook_kernel *kernel,
    const struct policy_hook *hook, bool is_in_btf, struct policy_place place, struct hook_error *error)
{
    bool returns = wants_return(hook);

    if (find_override(hook)) {
        if (!target->is_syscall && strncmp(target->name, "security_", 9) != 0)
            return refuse_override(hook, target->name, error);
        if (returns)
            return hook_error_set(error, find_override(hook)->place, -EOPNOTSUPP,
                "Override: a function that is overridden does not return; expected return: false");
        if (find_override(hook)->value == 0)
            return hook_error_set(error, find_override(hook)->place, -EINVAL,
                "Override: argError 0 would let the call go on; expected a negative error");
        if (!kernel->has_fentry || !is_in_btf)
            return hook_error_set(error, find_override(hook)->place, -EOPNOTSUPP,
                "Override: this kernel cannot; BPF trampolines (CONFIG_FUNCTION_TRACER, "
                "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS) are needed");
        target->attach = HOOK_ATTACH_FMOD_RET;
        return 0;
    }
    if (kernel->has_multi && (hook->function_count > MANY_FUNCTIONS || !kernel->has_fentry || !is_in_btf))
        target->attach = returns ? HOOK_ATTACH_KRETPROBE_MULTI : HOOK_ATTACH_KPROBE_MULTI;
    else if (kernel->has_fentry && is_in_btf)
        target->attach = returns ? HOOK_ATTACH_FEXIT : HOOK_ATTACH_FENTRY;
    else if (kernel->has_kprobe)
        target->attach = returns ? HOOK_ATTACH_KRETPROBE : HOOK_ATTACH_KPROBE;
    else if (kernel->has_fentry)
        return hook_error_set(
            error, place, -ENOENT, "this kernel has no function %s that can be traced", target->name);
    else
        return hook_error_set(error, place, -EOPNOTSUPP,
            "kprobes: this kernel has neither BPF trampolines nor kprobes; CONFIG_FUNCTION_TRACER or "
            "CONFIG_KPROBES is needed");
    return 0;
}

static int plan_function(struct hook_targets *ret, const struct hook_kernel *kernel,
    const struct policy_hook *hook, const struct policy_string *function, struct hook_error *error)
{
    struct hook_target *target = add_target(ret);
    struct hook_prototype prototype;
    bool is_in_btf;

    if (!target)
        return -ENOMEM;
    name_function(target, hook, function->data);
    is_in_btf = hook_prototype_of_function(&prototype, kernel->btf, target->name) == 0;
    if (target->is_syscall)
        fill_syscall(target, kernel, hook);
    else if (is_in_btf)
        fill_sources(target, hook, &prototype);
    else
        fill_words(target, hook);
    return choose_attach(target, kernel, hook, is_in_btf, function->place, error);
}

static int plan_lsm(struct hook_targets *ret, const struct hook_kernel *kernel,
    const struct policy_hook *hook, const struct policy_string *function, struct hook_error *error)
{
    struct hook_target *target = add_target(ret);
    struct hook_prototype prototype;
    char name[300];

    if (!target)
        return -ENOMEM;
    target->attach = HOOK_ATTACH_LSM;
    (void)snprintf(target->name, sizeof(target->name), "%s", function->data);
    (void)snprintf(name, sizeof(name), "bpf_lsm_%s", target->name);
    if (hook_prototype_of_function(&prototype, kernel->btf, name) < 0)
        return hook_error_set(
            error, function->place, -ENOENT, "this kernel has no LSM hook %s", target->name);
    if (!kernel->has_lsm)
        return hook_error_set(error, hook->place, -EOPNOTSUPP, "lsmhooks: %s", kernel->lsm_reason);
    fill_sources(target, hook, &prototype);
    return 0;
}

static int plan_uprobe(struct hook_targets *ret, const struct hook_kernel *kernel,
    const struct policy_hook *hook, const struct policy_string *function, uint64_t offset,
    struct hook_error *error)
{
    struct hook_target *target = add_target(ret);
    int r;

    if (!target)
        return -ENOMEM;
    if (!kernel->has_uprobe)
        return hook_error_set(
            error, hook->place, -EOPNOTSUPP, "uprobes: this kernel has none; CONFIG_UPROBE_EVENTS is needed");
    r = refuse_override(hook, "a function of a program", error);
    target->attach = wants_return(hook) ? HOOK_ATTACH_URETPROBE : HOOK_ATTACH_UPROBE;
    target->from_process = true;
    target->offset = offset;
    if (function)
        (void)snprintf(target->name, sizeof(target->name), "%s", function->data);
    (void)snprintf(target->subsystem, sizeof(target->subsystem), "%s", hook->path.data);
    fill_words(target, hook);
    return r;
}

int hook_plan(struct hook_targets *ret, const struct hook_kernel *kernel, const struct policy_hook *hook,
    struct hook_error *error)
{
    int r = 0;

    *ret = (struct hook_targets){0};
    if (hook->kind == RECORD_HOOK_TRACEPOINT)
        return plan_tracepoint(ret, kernel, hook, error);
    for (size_t i = 0; i < hook->function_count && r == 0; i++) {
        if (hook->kind == RECORD_HOOK_KPROBE)
            r = plan_function(ret, kernel, hook, &hook->functions[i], error);
        else if (hook->kind == RECORD_HOOK_LSM)
            r = plan_lsm(ret, kernel, hook, &hook->functions[i], error);
        else
            r = plan_uprobe(ret, kernel, hook, &hook->functions[i], 0, error);
    }
    for (size_t i = 0; i < hook->offset_count && r == 0; i++)
        r = plan_uprobe(ret, kernel, hook, NULL, hook->offsets[i], error);
    return r;
}

bool hook_plan_fall_back(struct hook_target *target, const struct hook_kernel *kernel)
{
    switch (target->attach) {
    case HOOK_ATTACH_FENTRY:
    case HOOK_ATTACH_KPROBE_MULTI:
        target->attach = HOOK_ATTACH_KPROBE;
        return kernel->has_kprobe;
    case HOOK_ATTACH_FEXIT:
    case HOOK_ATTACH_KRETPROBE_MULTI:
        target->attach = HOOK_ATTACH_KRETPROBE;
        return kernel->has_kprobe;
    default:
        return false;
    }
}

void hook_targets_deinit(struct hook_targets *targets)
{
    free(targets->items);
    *targets = (struct hook_targets){0};
}
