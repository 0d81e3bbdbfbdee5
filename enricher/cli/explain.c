// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/explain.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include "common/cleanup.h"
#include "common/log.h"
#include "common/text.h"
#include "enricher/cgroup_path.h"
#include "enricher/cli/client.h"
#include "enricher/cli/command.h"

const char command_explain_help[] =
    "podkin explain PID [options]\n"
    "podkin explain --cgroup-path [PATH]\n"
    "\n"
    "Says step by step how a process comes to its Pod, where each piece is from and\n"
    "what is missing. Without a running enricher it tells what the cgroup alone says.\n"
    "\n"
    "  --events-socket PATH   of the enricher; default " CLIENT_SOCKET_DEFAULT "\n"
    "  -o, --output FORMAT    text or json (the enricher's answer as it is)\n"
    "  --cgroup-path          what a cgroup path says: PATH, or each line of stdin, as\n"
    "                         pod_uid TAB container_id TAB role, empty where there is none;\n"
    "                         role: container, sandbox, monitor, pod or none\n"
    "\n"
    "Exit status: 0 fine, 1 no such process or no answer, 2 bad use.\n";

static void append_step(struct text *out, unsigned number, const char *step, const char *value,
    const char *source, const char *missing)
{
    text_append_format(out, "%2u. ", number);
    text_append_neutral(out, step, strlen(step));
    text_append_string(out, ": ");
    if (value && *value)
        text_append_neutral(out, value, strlen(value));
    else
        text_append_string(out, "-");
    if (source && *source) {
        text_append_string(out, "   (from ");
        text_append_neutral(out, source, strlen(source));
        text_append_char(out, ')');
    }
    text_append_char(out, '\n');
    if (missing && *missing) {
        text_append_string(out, "    missing: ");
        text_append_neutral(out, missing, strlen(missing));
        text_append_char(out, '\n');
    }
}

static const char *member(const json_t *object, const char *name, char number[32])
{
    const json_t *value = json_object_get(object, name);

    if (json_is_integer(value)) {
        (void)snprintf(number, 32, "%lld", (long long)json_integer_value(value));
        return number;
    }
    if (json_is_boolean(value))
        return json_is_true(value) ? "yes" : "no";
    return json_string_value(value);
}

/* "asked_ns": 1234567890 as "asked: boot_ns 1234567890, 2.104 s ago". */
static void append_time(struct text *out, const char *name, int64_t ns, int64_t now_ns)
{
    int64_t apart_ns = now_ns > ns ? now_ns - ns : ns - now_ns;

    text_append_string(out, "    ");
    for (size_t i = 0; i + 3 < strlen(name); i++)
        text_append_neutral(out, name[i] == '_' ? " " : &name[i], 1);
    text_append_format(out, ": boot_ns %" PRId64 ", ", ns);
    text_append_format(out,
        now_ns >= ns ? "%" PRId64 ".%03" PRId64 " s ago\n" : "in %" PRId64 ".%03" PRId64 " s\n",
        apart_ns / 1000000000, apart_ns / 1000000 % 1000);
}

static void append_times(struct text *out, json_t *step, int64_t now_ns)
{
    const char *name;
    json_t *value;

    json_object_foreach(step, name, value)
    {
        size_t size = strlen(name);

        if (size > 3 && strcmp(name + size - 3, "_ns") == 0 && json_is_integer(value) &&
            json_integer_value(value) > 0)
            append_time(out, name, json_integer_value(value), now_ns);
    }
}

int explain_show_answer(const char *answer, size_t size, struct text *out)
{
    json_t *root = json_loadb(answer, size, 0, NULL);
    const json_t *steps = json_object_get(root, "steps");
    const char *error = json_string_value(json_object_get(root, "error"));
    size_t i;
    json_t *step;
    int r = 0;

    if (error) {
        text_append_neutral(out, error, strlen(error));
        r = -ESRCH;
    } else if (!json_is_array(steps)) {
        r = -EBADMSG;
    }
    json_array_foreach(steps, i, step)
    {
        char value[32] = "", name[32] = "", source[32] = "", missing[32] = "";
        const char *title = member(step, "step", name);

        append_step(out, (unsigned)i + 1, title ? title : "?", member(step, "value", value),
            member(step, "source", source), member(step, "missing", missing));
        append_times(out, step, json_integer_value(json_object_get(root, "now_ns")));
    }
    json_decref(root);
    return r;
}

/* "4:memory:/path": the path; NULL: no such line. A named hierarchy is none that podkin goes by. */
static char *path_of_line(char *line)
{
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;

    line[strcspn(line, "\n")] = '\0';
    return path && strncmp(controllers, ":name=", 6) != 0 ? path + 1 : NULL;
}

/* The path that names a container, v2's first; else v2's, else any. Which hierarchy counts only the collector knows. */
static int read_cgroup(const char *proc, pid_t pid, char path[PATH_MAX + 8])
{
    char name[PATH_MAX], line[PATH_MAX + 64];
    CLEANUP_FILE FILE *file = NULL;
    int best = 0;

    (void)snprintf(name, sizeof(name), "%s/%d/cgroup", proc, (int)pid);
    file = fopen(name, "re");
    if (!file)
        return -errno;
    while (fgets(line, sizeof(line), file)) {
        struct cgroup_identity identity;
        const char *found = path_of_line(line);
        int rank = strncmp(line, "0::", 3) == 0 ? 2 : 1;

        if (!found)
            continue;
        cgroup_path_parse(found, strlen(found), &identity);
        if (identity.role != CGROUP_ROLE_NONE)
            rank += 2;
        if (rank > best)
            (void)snprintf(path, PATH_MAX + 8, "%s", found);
        best = rank > best ? rank : best;
    }
    if (ferror(file))
        return -EIO;
    return best ? 0 : -ENODATA;
}

int explain_show_locally(const char *proc, pid_t pid, struct text *out)
{
    char path[PATH_MAX + 8] = "", number[16];
    struct cgroup_identity identity;
    struct cgroup_shape shape;
    int r = read_cgroup(proc, pid, path);

    if (r == -ENODATA)
        path[0] = '\0';
    else if (r)
        return r;
    (void)snprintf(number, sizeof(number), "%d", (int)pid);
    append_step(out, 1, "process", number, proc, NULL);
    append_step(out, 2, "cgroup path", path, "its cgroup file",
        r ? "it is in no cgroup of a hierarchy that podkin can go by" : NULL);
    if (r)
        return 0;
    cgroup_path_parse(path, strlen(path), &identity);
    if (identity.role == CGROUP_ROLE_NONE) {
        append_step(out, 3, "Pod", "none: a process of the host", "the cgroup path", NULL);
        return 0;
    }
    shape = cgroup_path_shape(path, strlen(path));
    append_step(out, 3, "role", cgroup_role_name(identity.role), "the cgroup path", NULL);
    append_step(out, 4, "Pod UID", identity.pod_uid, "the cgroup path",
        identity.pod_uid[0] ? NULL : "the path does not name it: it is found by the container id");
    append_step(out, 5, "container id", identity.container_id, "the cgroup path",
        identity.container_id[0]
            ? NULL
            : "the path does not name it: the Pod's own cgroup, or a runtime that is not known");
    append_step(out, 6, "cgroup driver", shape.driver, "the cgroup path", NULL);
    append_step(out, 7, "runtime", shape.runtime, "the cgroup path",
        shape.runtime ? NULL : "the path does not name it");
    append_step(out, 8, "Pod", "", NULL, "namespace and name are known to a running enricher only");
    return 0;
}

void explain_cgroup_path(const char *path, size_t size, struct text *out)
{
    struct cgroup_identity identity;

    cgroup_path_parse(path, size, &identity);
    text_append_format(
        out, "%s\t%s\t%s\n", identity.pod_uid, identity.container_id, cgroup_role_name(identity.role));
}

static int print(const struct text *out)
{
    if (out->failed) {
        log_error("out of memory");
        return COMMAND_FAILED;
    }
    (void)fwrite(out->data, 1, out->size, stdout);
    return COMMAND_DONE;
}

static int explain_paths(const char *path)
{
    CLEANUP(text_deinit) struct text out = {0};
    CLEANUP_FREE char *line = NULL;
    size_t capacity = 0;
    ssize_t size;

    if (path) {
        explain_cgroup_path(path, strlen(path), &out);
        return print(&out);
    }
    while ((size = getline(&line, &capacity, stdin)) >= 0) {
        if (size && line[size - 1] == '\n')
            size--;
        text_clear(&out);
        explain_cgroup_path(line, (size_t)size, &out);
        if (print(&out))
            return COMMAND_FAILED;
    }
    if (ferror(stdin)) {
        log_error("cannot read stdin: %s", strerror(errno));
        return COMMAND_FAILED;
    }
    return COMMAND_DONE;
}

static int explain_without_enricher(pid_t pid, const char *path, int error)
{
    CLEANUP(text_deinit) struct text out = {0};
    int r = explain_show_locally("/proc", pid, &out);

    if (r) {
        log_error(
            r == -ENOENT || r == -ESRCH ? "no process %d" : "cannot read the cgroup of process %d", (int)pid);
        return COMMAND_FAILED;
    }
    log_warning("no enricher at %s (%s): this is what the cgroup alone says", path, strerror(-error));
    return print(&out);
}

static int explain_process(pid_t pid, const char *path, bool json)
{
    CLEANUP(text_deinit) struct text out = {0};
    CLEANUP_FREE char *answer = NULL;
    char request[64];
    size_t size;
    int r;

    (void)snprintf(request, sizeof(request), "explain %d\n", (int)pid);
    r = client_ask(path, request, &answer, &size);
    if (r)
        return explain_without_enricher(pid, path, r);
    r = explain_show_answer(answer, size, &out);
    if (r == -EBADMSG) {
        log_error(
            "the answer from %s is not understood: is it the enricher's socket, and of this version?", path);
        return COMMAND_FAILED;
    }
    if (json) {
        (void)fwrite(answer, 1, size, stdout);
    } else if (r) {
        log_error("%s", text_terminate(&out));
    } else {
        return print(&out);
    }
    return r ? COMMAND_FAILED : COMMAND_DONE;
}

static int parse_pid(const char *word, pid_t *ret)
{
    char *end;
    long pid;

    errno = 0;
    pid = strtol(word, &end, 10);
    if (*word < '0' || *word > '9' || *end || errno || pid < 1 || pid > INT_MAX)
        return -EINVAL;
    *ret = (pid_t)pid;
    return 0;
}

int command_explain(int argc, char **argv)
{
    static const struct option long_options[] = {{"cgroup-path", no_argument, NULL, 'c'},
        {"output", required_argument, NULL, 'o'}, {"events-socket", required_argument, NULL, 's'}, {0}};
    const char *path = CLIENT_SOCKET_DEFAULT;
    bool cgroup_path = false, json = false;
    int option, rest;
    pid_t pid;

    optind = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":o:", long_options, NULL)) != -1) {
        if (option == '?' || option == ':')
            return command_refuse_option(argc, argv, option);
        if (option == 'c') {
            cgroup_path = true;
        } else if (option == 's') {
            path = optarg;
        } else if (strcmp(optarg, "json") == 0 || strcmp(optarg, "text") == 0) {
            json = *optarg == 'j';
        } else {
            log_error("--output: expected text or json, not '%s'", optarg);
            return COMMAND_BAD_USE;
        }
    }
    rest = argc - optind;
    if (cgroup_path && rest <= 1)
        return explain_paths(argv[optind]);
    if (rest != 1 || parse_pid(argv[optind], &pid)) {
        log_error(rest == 1 ? "'%s' is no process id; see podkin help explain"
                            : "explain takes one process id; see podkin help explain",
            rest == 1 ? argv[optind] : "");
        return COMMAND_BAD_USE;
    }
    return explain_process(pid, path, json);
}
