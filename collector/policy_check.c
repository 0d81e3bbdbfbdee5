/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_check.h"

#include <stdio.h>
#include <string.h>

#include "collector/policy_set.h"
#include "common/log.h"
#include "common/text.h"

enum { OUTPUT_TEXT, OUTPUT_JSON };

struct check {
    int output;
    policy_plan_fn *plan; /* NULL: none */
    void *arg;
    struct text faults; /* lines, or members of a JSON array */
};

static void on_fault(const struct policy_fault *fault, void *arg)
{
    struct check *check = arg;

    if (check->output == OUTPUT_TEXT) {
        policy_fault_append(fault, &check->faults);
        text_append_char(&check->faults, '\n');
        return;
    }
    text_append_string(&check->faults, check->faults.size > 0 ? ",{\"file\":" : "{\"file\":");
    text_append_json_string(&check->faults, fault->file);
    text_append_format(
        &check->faults, ",\"line\":%u,\"column\":%u,\"path\":", fault->place.line, fault->place.column);
    text_append_json_string(&check->faults, fault->path);
    text_append_string(&check->faults, ",\"message\":");
    text_append_json_string(&check->faults, fault->message);
    text_append_char(&check->faults, '}');
}

/* What a hook is put on: "sys_openat", "raw_syscalls/sys_enter", "/bin/bash:readline". */
static void append_target(struct text *out, const struct policy_hook *hook, size_t number)
{
    if (hook->kind == RECORD_HOOK_TRACEPOINT)
        text_append_format(out, "%s/%s", hook->subsystem.data, hook->event.data);
    else if (hook->kind == RECORD_HOOK_UPROBE && number >= hook->function_count)
        text_append_format(out, "%s+0x%llx", hook->path.data, (unsigned long long)hook->offsets[number]);
    else if (hook->kind == RECORD_HOOK_UPROBE)
        text_append_format(out, "%s:%s", hook->path.data, hook->functions[number].data);
    else
        text_append_string(out, hook->functions[number].data);
}

static size_t target_count(const struct policy_hook *hook)
{
    return hook->kind == RECORD_HOOK_TRACEPOINT ? 1 : hook->function_count + hook->offset_count;
}

static void append_hook_text(struct text *out, const struct policy_hook *hook)
{
    for (size_t i = 0; i < target_count(hook); i++) {
        struct text target = {0};

        append_target(&target, hook, i);
        text_append_format(out, "  %-10s ", policy_hook_kind_name(hook->kind));
        text_append_neutral(out, target.data, target.size);
        text_append_format(out, "  line %u, %zu arguments, %zu selectors\n", hook->place.line,
            hook->arg_count, hook->selector_count);
        text_deinit(&target);
    }
}

/* The lines of the plan, indented. */
static void append_plan_text(struct text *out, const struct check *check, const struct policy_hook *hook)
{
    struct text plan = {0};
    char *line, *rest;

    if (!check->plan)
        return;
    check->plan(&plan, hook, check->arg);
    rest = (char *)text_terminate(&plan);
    while ((line = strsep(&rest, "\n")) && rest) {
        text_append_string(out, "    ");
        text_append_neutral(out, line, strlen(line));
        text_append_char(out, '\n');
    }
    text_deinit(&plan);
}

static void append_plan_json(struct text *out, const struct check *check, const struct policy_hook *hook)
{
    struct text plan = {0};
    const char *separator = "";
    char *line, *rest;

    if (check->plan)
        check->plan(&plan, hook, check->arg);
    rest = (char *)text_terminate(&plan);
    while ((line = strsep(&rest, "\n")) && rest) {
        text_append_string(out, separator);
        text_append_json_string(out, line);
        separator = ",";
    }
    text_deinit(&plan);
}

static void append_hook_json(struct text *out, const struct policy_hook *hook)
{
    for (size_t i = 0; i < target_count(hook); i++) {
        struct text target = {0};

        append_target(&target, hook, i);
        text_append_format(
            out, "%s{\"kind\":\"%s\",\"target\":", i > 0 ? "," : "", policy_hook_kind_name(hook->kind));
        text_append_json_string(out, text_terminate(&target));
        text_append_format(out, ",\"line\":%u,\"column\":%u,\"args\":%zu,\"selectors\":%zu}",
            hook->place.line, hook->place.column, hook->arg_count, hook->selector_count);
        text_deinit(&target);
    }
}

static void append_policy_text(struct text *out, const struct check *check, const struct policy *policy)
{
    const struct policy_action *action = policy_enforces(policy);

    text_append_neutral(out, policy->file, strlen(policy->file));
    text_append_format(out, ": %s%s%s: OK", policy->name_space ? policy->name_space : "",
        policy->name_space ? "/" : "", policy->name.data);
    if (action)
        text_append_format(
            out, ", and enforces (%s): needs --allow-enforcement", policy_action_name(action->kind));
    text_append_char(out, '\n');
    for (size_t i = 0; i < policy->hook_count; i++) {
        append_hook_text(out, &policy->hooks[i]);
        append_plan_text(out, check, &policy->hooks[i]);
    }
}

static void append_policy_json(struct text *out, const struct check *check, const struct policy *policy)
{
    text_append_string(out, "{\"file\":");
    text_append_json_string(out, policy->file);
    text_append_format(out, ",\"name\":\"%s\",\"namespace\":\"%s\",\"enforces\":%s,\"hooks\":[",
        policy->name.data, policy->name_space ? policy->name_space : "",
        policy_enforces(policy) ? "true" : "false");
    for (size_t i = 0; i < policy->hook_count; i++) {
        if (i > 0 && target_count(&policy->hooks[i]) > 0)
            text_append_char(out, ',');
        append_hook_json(out, &policy->hooks[i]);
    }
    text_append_string(out, "],\"plan\":[");
    for (size_t i = 0; i < policy->hook_count; i++) { /* a list for each of the file's hooks */
        text_append_string(out, i > 0 ? ",[" : "[");
        append_plan_json(out, check, &policy->hooks[i]);
        text_append_char(out, ']');
    }
    text_append_string(out, "]}");
}

static void append_all(struct text *out, const struct check *check, const struct policy_list *list)
{
    if (check->output == OUTPUT_JSON)
        text_append_string(out, "{\"policies\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (check->output == OUTPUT_TEXT) {
            append_policy_text(out, check, &list->items[i]);
            continue;
        }
        text_append_string(out, i > 0 ? "," : "");
        append_policy_json(out, check, &list->items[i]);
    }
    if (check->output == OUTPUT_JSON)
        text_append_string(out, "],\"faults\":[");
    text_append(out, check->faults.data, check->faults.size);
    if (check->output == OUTPUT_JSON)
        text_append_string(out, "]}\n");
}

static int check_paths(struct check *check, const struct option_list *paths)
{
    const struct policy_set_options options = {.paths = paths, .allow_enforcement = true};
    struct policy_list list;
    struct text out = {0};
    int r = policy_set_read(&list, &options, on_fault, check);

    append_all(&out, check, &list);
    if (out.failed || check->faults.failed || fwrite(out.data, 1, out.size, stdout) != out.size ||
        fflush(stdout))
        r = -1;
    text_deinit(&out);
    text_deinit(&check->faults);
    policy_list_deinit(&list);
    return r < 0 ? 1 : 0;
}

int policy_check_main(int argc, char **argv, policy_plan_fn *plan, void *arg)
{
    static const char *const outputs[] = {[OUTPUT_TEXT] = "text", [OUTPUT_JSON] = "json", NULL};
    struct check check = {.plan = plan, .arg = arg};
    const struct option_spec specs[] = {
        {.name = "output", .kind = OPTION_CHOICE, .value = &check.output, .choices = outputs},
        {.name = "o", .kind = OPTION_CHOICE, .value = &check.output, .choices = outputs},
    };
    char error[OPTIONS_ERROR_MAX];
    int rest = 0;

    if (options_parse(specs, sizeof(specs) / sizeof(specs[0]), argc, argv, &rest, error) < 0) {
        log_error("%s", error);
        return 2;
    }
    if (rest == 0) {
        log_error("--check-policy: expected files or folders with policies");
        return 2;
    }
    return check_paths(&check, &(struct option_list){argv + 1, (size_t)rest});
}
