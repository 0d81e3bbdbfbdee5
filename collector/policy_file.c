/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/policy_hook.h"
#include "collector/policy_pods.h"
#include "common/cleanup.h"
#include "common/fd.h"

#define API_VERSION   "cilium.io/v1alpha1"
#define LABEL_MAX     63
#define DOCUMENTS_MAX 128
#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

/* RFC 1123 as Kubernetes has it: labels of lower-case letters, digits and '-', with dots between them where `dots` is. */
static bool is_dns_name(const char *name, bool dots)
{
    static const char alphanumeric[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    bool begins = true;

    for (; *name; name++) {
        bool ends = name[1] == '\0' || name[1] == '.';

        if (*name == '.' && dots && !begins)
            begins = true;
        else if (strchr(alphanumeric, *name) || (*name == '-' && !begins && !ends))
            begins = false;
        else
            return false;
    }
    return !begins;
}

static void read_name(const struct policy_at *at, void *out)
{
    struct policy *policy = out;

    policy_take_string(at, POLICY_NAME_MAX, &policy->name);
    if (policy->name.data && !is_dns_name(policy->name.data, true))
        policy_fail(at,
            "\"%.80s\": expected lower-case letters, digits, '-' and '.', letters or digits first and last",
            policy->name.data);
}

static void read_namespace(const struct policy_at *at, void *out)
{
    struct policy *policy = out;

    policy_take_text(at, LABEL_MAX, &policy->name_space);
    if (policy->name_space && !is_dns_name(policy->name_space, false))
        policy_fail(at,
            "\"%.80s\": expected lower-case letters, digits and '-', letters or digits first and last",
            policy->name_space);
}

/* Labels, annotations and what else there is are Kubernetes's own. */
static void read_metadata(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "name", .read = read_name, .is_required = true},
        {.name = "namespace", .read = read_namespace},
    };
    struct policy_node own = {.kind = POLICY_NODE_MAP, .place = at->node->place};
    struct policy_entry entries[COUNT(fields)];
    struct policy_at known = *at;

    if (at->node->kind != POLICY_NODE_MAP) {
        policy_read_map(at, fields, COUNT(fields), out);
        return;
    }
    for (size_t i = 0; i < COUNT(fields); i++) {
        const struct policy_entry *entry = policy_node_find(at->node, fields[i].name);

        if (entry)
            entries[own.count++] = *entry;
    }
    own.entries = entries;
    known.node = &own;
    policy_read_map(&known, fields, COUNT(fields), out);
}

/* ---- the document ------------------------------------------------------------------------------------------------ */

static void read_api_version(const struct policy_at *at, void *out)
{
    static const char *const versions[] = {API_VERSION, NULL};
    size_t number;

    (void)out;
    (void)policy_read_choice(at, versions, &number);
}

static void read_kind(const struct policy_at *at, void *out)
{
    static const char *const kinds[] = {"TracingPolicy", "TracingPolicyNamespaced", NULL};
    const struct policy_entry *metadata = policy_node_find(at->up->node, "metadata");
    const struct policy_entry *name_space = metadata ? policy_node_find(metadata->value, "namespace") : NULL;
    size_t number;

    (void)out;
    if (!policy_read_choice(at, kinds, &number))
        return;
    if (number == 1 && (!name_space || name_space->value->kind == POLICY_NODE_NULL))
        policy_fail(at, "TracingPolicyNamespaced needs metadata.namespace");
    if (number == 0 && name_space && name_space->value->kind != POLICY_NODE_NULL)
        policy_fail(at, "TracingPolicy is for the whole node, and metadata.namespace is given: "
                        "expected TracingPolicyNamespaced");
}

static void read_spec(const struct policy_at *at, void *out)
{
    static const struct policy_field fields[] = {
        {.name = "lists", .read = policy_read_call_lists},
        {.name = "kprobes", .read = policy_read_kprobes},
        {.name = "tracepoints", .read = policy_read_tracepoints},
        {.name = "lsmhooks", .read = policy_read_lsm_hooks},
        {.name = "uprobes", .read = policy_read_uprobes},
        {.name = "podSelector", .read = policy_read_pod_selector},
        {.name = "containerSelector", .read = policy_read_container_selector},
        {.name = "hostSelector", .reason = "a policy without selectors is for the host and all Pods"},
        {.name = "enforcers", .reason = "use Override or Sigkill in matchActions"},
        {.name = "killers", .reason = "use Override or Sigkill in matchActions"},
        {.name = "loader", .reason = "loading of binaries is seen as exec"},
        {.name = "usdts", .reason = "user-space probes are found by symbol or offset"},
        {.name = "fentries", .reason = "a kprobe is hooked by fentry where the kernel can"},
        {.name = "parsers", .reason = "contents are not parsed in the kernel"},
        {.name = "macros", .reason = "selectors are written out"},
        {.name = "selectorsMacros", .reason = "selectors are written out"},
        {.name = "options", .reason = "how a hook is attached is decided by what the kernel can do"},
    };
    struct policy *policy = out;

    policy_read_map(at, fields, COUNT(fields), policy);
    if (at->node->kind == POLICY_NODE_MAP && policy->hook_count == 0 &&
        policy_report_is_empty(at->reading->report))
        policy_fail(at, "nothing to hook: expected kprobes, tracepoints, lsmhooks or uprobes");
}

static void read_status(const struct policy_at *at, void *out)
{
    (void)at; /* an API server's own */
    (void)out;
}

/* The privileged side does not know Pods, so that it could not hold back what it does to those that are not meant. */
static void check_enforcement(struct policy_report *report, const struct policy *policy)
{
    const struct policy_action *action = policy_enforces(policy);

    if (action && policy_is_for_some_pods(policy))
        policy_report_add(report, action->place, NULL,
            "action %s is not supported together with podSelector, containerSelector or a namespace: "
            "they are applied after the event, to what is shown",
            policy_action_name(action->kind));
}

static void read_document(
    const char *file, const struct policy_node *root, struct policy *policy, struct policy_report *report)
{
    static const struct policy_field fields[] = {
        {.name = "apiVersion", .read = read_api_version, .is_required = true},
        {.name = "kind", .read = read_kind, .is_required = true},
        {.name = "metadata", .read = read_metadata, .is_required = true},
        {.name = "spec", .read = read_spec, .is_required = true},
        {.name = "status", .read = read_status},
    };
    struct policy_reading reading = {.report = report, .policy = policy};
    const struct policy_at at = {.reading = &reading, .key_place = root->place, .node = root};

    policy->place = root->place;
    policy->digest = policy_node_digest(root);
    policy->file = strdup(file);
    if (!policy->file)
        report->out_of_memory = true;
    policy_read_map(&at, fields, COUNT(fields), policy);
    check_enforcement(report, policy);
    free(reading.lists);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static int list_append(struct policy_list *list, struct policy_list *more)
{
    struct policy *items;

    if (more->count == 0)
        return 0;
    items = reallocarray(list->items, list->count + more->count, sizeof(*items));
    if (!items)
        return -ENOMEM;
    memcpy(items + list->count, more->items, more->count * sizeof(*items));
    list->items = items;
    list->count += more->count;
    free(more->items);
    *more = (struct policy_list){0};
    return 0;
}

static void read_documents(const char *file, const struct policy_documents *documents,
    struct policy_list *policies, struct policy_report *report)
{
    if (documents->count == 0 && policy_report_is_empty(report))
        policy_report_add(report, (struct policy_place){1, 1}, NULL, "there is no policy: the file is empty");
    if (documents->count > DOCUMENTS_MAX) {
        policy_report_add(
            report, documents->roots[DOCUMENTS_MAX]->place, NULL, "more than %d policies", DOCUMENTS_MAX);
        return;
    }
    policies->items = calloc(documents->count + 1, sizeof(*policies->items));
    if (!policies->items) {
        report->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < documents->count; i++)
        read_document(file, documents->roots[i], &policies->items[policies->count++], report);
}

int policy_read_text(struct policy_list *list, const char *file, const char *text, size_t size,
    policy_fault_fn on_fault, void *arg)
{
    struct policy_documents documents;
    struct policy_report report = {0};
    struct policy_list policies = {0};
    int r = 0;

    policy_yaml_read(&documents, text, size, &report);
    read_documents(file, &documents, &policies, &report);
    policy_documents_deinit(&documents);
    if (report.out_of_memory)
        r = -ENOMEM;
    else if (report.count > 0)
        r = -EINVAL;
    else
        r = list_append(list, &policies);
    policy_report_tell(&report, file, on_fault, arg);
    policy_report_deinit(&report);
    policy_list_deinit(&policies);
    return r;
}

/* A fifo without a writer is empty and not waited for; a pipe that somebody writes is read to its end. */
static int open_file(const char *path)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    if (!S_ISREG(status.st_mode) && fcntl(fd, F_SETFL, 0) < 0)
        return -errno;
    return take_fd(&fd);
}

static int read_whole(const char *path, char **ret, size_t *ret_size)
{
    CLEANUP_CLOSE int fd = open_file(path);

    return fd < 0 ? fd : fd_read_whole(fd, POLICY_FILE_BYTES_MAX, ret, ret_size);
}

int policy_read_file(struct policy_list *list, const char *path, policy_fault_fn on_fault, void *arg)
{
    CLEANUP_FREE char *data = NULL;
    size_t size = 0;
    int r = read_whole(path, &data, &size);

    if (r < 0) {
        on_fault(
            &(struct policy_fault){path, {0, 0}, "", r == -EFBIG ? "expected at most 1 MiB" : strerror(-r)},
            arg);
        return r;
    }
    return policy_read_text(list, path, data, size, on_fault, arg);
}
