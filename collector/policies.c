/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policies.h"

#include <stdlib.h>
#include <string.h>

#include "collector/policy_set.h"
#include "common/log.h"
#include "common/text.h"

/* Files that had a fault when they were read. */
struct faulty_files {
    char **items;
    size_t count;
};

static bool is_faulty(const struct faulty_files *files, const char *file)
{
    for (size_t i = 0; i < files->count; i++) {
        if (strcmp(files->items[i], file) == 0)
            return true;
    }
    return false;
}

static void on_fault(const struct policy_fault *fault, void *arg)
{
    struct faulty_files *files = arg;
    struct text text = {0};
    char **items;

    policy_fault_append(fault, &text);
    log_error("%s", text_terminate(&text));
    text_deinit(&text);
    if (!fault->file || is_faulty(files, fault->file))
        return;
    items = reallocarray(files->items, files->count + 1, sizeof(*items));
    if (!items)
        return;
    files->items = items;
    items[files->count] = strdup(fault->file);
    files->count += items[files->count] != NULL;
}

static void on_refused(const struct policy *policy, const struct hook_error *error, void *arg)
{
    const struct policy_fault fault = {
        .file = policy->file, .place = error->place, .path = policy->name.data, .message = error->text};
    struct text text = {0};

    (void)arg;
    policy_fault_append(&fault, &text);
    log_error("not in force: %s", text_terminate(&text));
    text_deinit(&text);
}

/* A file with a fault says nothing about its policies: those that it had stay. */
static bool is_of_faulty_file(const struct policy *policy, void *arg)
{
    return policy->file && is_faulty(arg, policy->file);
}

bool policies_are_used(const struct conf *conf)
{
    if (conf->policies.count > 0)
        return true;
    return conf->policy_dir &&
           (conf->policy_reload == POLICY_RELOAD_ON || policy_set_has_files(conf->policy_dir));
}

void policies_read(const struct conf *conf, struct hooks *hooks, struct intake *intake)
{
    const struct policy_set_options options = {
        .paths = &conf->policies, .folder = conf->policy_dir, .allow_enforcement = conf->allow_enforcement};
    struct faulty_files faulty = {0};
    struct policy_list list = {0};
    struct hooks_change change;

    (void)policy_set_read(&list, &options, on_fault, &faulty); /* what is left out has been told */
    intake_begin(intake);
    change = hooks_apply(hooks, &list, on_refused, is_of_faulty_file, &faulty);
    intake_end(intake);
    log_info("policies: %zu loaded, %zu unloaded, %zu kept, %zu refused, %zu files with faults; %zu hooks in "
             "force",
        change.loaded, change.unloaded, change.kept, change.refused, faulty.count, hooks_hook_count(hooks));
    policy_list_deinit(&list);
    for (size_t i = 0; i < faulty.count; i++)
        free(faulty.items[i]);
    free(faulty.items);
}
