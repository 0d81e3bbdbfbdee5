/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_set.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

struct set {
    const struct policy_set_options *options;
    struct policy_list *list;
    policy_fault_fn on_fault;
    void *arg;
    bool has_fault;
};

static void tell(
    struct set *set, const char *file, struct policy_place place, const char *path, const char *message)
{
    set->has_fault = true;
    set->on_fault(&(struct policy_fault){file, place, path, message}, set->arg);
}

static const struct policy *find_same_name(const struct policy_list *list, size_t number)
{
    const struct policy *policy = &list->items[number];

    for (size_t i = 0; i < number; i++) {
        const struct policy *other = &list->items[i];

        if (strcmp(other->name.data, policy->name.data) == 0 &&
            strcmp(other->name_space ? other->name_space : "",
                policy->name_space ? policy->name_space : "") == 0)
            return other;
    }
    return NULL;
}

/* False: it may not be in the set, which is told. */
static bool is_fit(struct set *set, size_t number)
{
    const struct policy *policy = &set->list->items[number], *other = find_same_name(set->list, number);
    const struct policy_action *action = policy_enforces(policy);
    CLEANUP_FREE char *message = NULL;
    struct policy_place place = policy->name.place;
    int r = 0;

    if (other)
        r = asprintf(&message, "\"%s\" is also the name of the policy in %s:%u:%u", policy->name.data,
            other->file, other->name.place.line, other->name.place.column);
    else if (action && !set->options->allow_enforcement)
        r = asprintf(&message, "action %s needs --allow-enforcement", policy_action_name(action->kind));
    else
        return true;
    if (r < 0)
        message = NULL;
    if (!other)
        place = action->place;
    tell(set, policy->file, place, other ? "metadata.name" : "", message ? message : "out of memory");
    return false;
}

static void read_file(struct set *set, const char *path)
{
    struct policy_list *list = set->list;
    size_t kept = list->count;

    if (policy_read_file(list, path, set->on_fault, set->arg) < 0)
        set->has_fault = true;
    while (kept < list->count) {
        if (is_fit(set, kept)) {
            kept++;
            continue;
        }
        policy_deinit(&list->items[kept]);
        memmove(&list->items[kept], &list->items[kept + 1], (list->count - kept - 1) * sizeof(*list->items));
        list->count--;
    }
}

static int is_policy_file(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return entry->d_name[0] != '.' && dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort: the order must not depend on the locale */
}

bool policy_set_has_files(const char *folder)
{
    CLEANUP_FREE struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_policy_file, NULL);

    for (int i = 0; i < count; i++)
        free(entries[i]);
    return count > 0;
}

static void read_folder(struct set *set, const char *folder, bool missing_ok)
{
    CLEANUP_FREE struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_policy_file, by_name);

    if (count < 0 && !(missing_ok && errno == ENOENT))
        tell(set, folder, (struct policy_place){0}, "", strerror(errno));
    for (int i = 0; i < count; i++) {
        CLEANUP_FREE char *path = NULL;

        if (asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0) {
            path = NULL;
            tell(set, folder, (struct policy_place){0}, "", "out of memory");
        } else {
            read_file(set, path);
        }
        free(entries[i]);
    }
}

int policy_set_read(
    struct policy_list *ret, const struct policy_set_options *options, policy_fault_fn on_fault, void *arg)
{
    struct set set = {.options = options, .list = ret, .on_fault = on_fault, .arg = arg};

    *ret = (struct policy_list){0};
    for (size_t i = 0; options->paths && i < options->paths->count; i++) {
        const char *path = options->paths->items[i];
        struct stat status;

        if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
            read_folder(&set, path, false);
        else
            read_file(&set, path);
    }
    if (options->folder)
        read_folder(&set, options->folder, true);
    return set.has_fault ? -EINVAL : 0;
}
