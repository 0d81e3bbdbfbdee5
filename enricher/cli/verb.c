// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/verb.h"
#include <string.h>

static const struct verb verbs[LINE_TYPE_COUNT] = {
    [LINE_OTHER] = {"· ", "other", ROW_DIM},
    [LINE_EXEC] = {"🚀", "exec", ROW_GOOD},
    [LINE_FORK] = {"🌱", "fork", ROW_PLAIN},
    [LINE_EXIT] = {"💥", "exit", ROW_PLAIN},
    [LINE_KPROBE] = {"📌", "kprobe", ROW_FUNCTION},
    [LINE_TRACEPOINT] = {"📍", "trace", ROW_FUNCTION},
    [LINE_LSM] = {"🔒", "lsm", ROW_FUNCTION},
    [LINE_UPROBE] = {"📎", "uprobe", ROW_FUNCTION},
    [LINE_LOST] = {"⚠ ", "lost", ROW_BAD},
    [LINE_POD_UPDATE] = {"🏷 ", "pod", ROW_NOTE},
};

/* Kernel functions that people hook most, without the prefix of their family. */
static const struct {
    const char *name;
    struct verb verb;
} functions[] = {
    {"read", {"📚", "read", ROW_FUNCTION}},
    {"pread64", {"📚", "read", ROW_FUNCTION}},
    {"readv", {"📚", "read", ROW_FUNCTION}},
    {"vfs_read", {"📚", "read", ROW_FUNCTION}},
    {"write", {"📝", "write", ROW_FUNCTION}},
    {"pwrite64", {"📝", "write", ROW_FUNCTION}},
    {"writev", {"📝", "write", ROW_FUNCTION}},
    {"vfs_write", {"📝", "write", ROW_FUNCTION}},
    {"path_truncate", {"📝", "trunc", ROW_FUNCTION}},
    {"open", {"📬", "open", ROW_FUNCTION}},
    {"openat", {"📬", "open", ROW_FUNCTION}},
    {"openat2", {"📬", "open", ROW_FUNCTION}},
    {"fd_install", {"📬", "open", ROW_FUNCTION}},
    {"file_open", {"📬", "open", ROW_FUNCTION}},
    {"close", {"📪", "close", ROW_FUNCTION}},
    {"connect", {"🔌", "connect", ROW_FUNCTION}},
    {"tcp_connect", {"🔌", "connect", ROW_FUNCTION}},
    {"socket_connect", {"🔌", "connect", ROW_FUNCTION}},
    {"inet_csk_accept", {"🔌", "accept", ROW_FUNCTION}},
    {"tcp_close", {"🧹", "close", ROW_FUNCTION}},
    {"tcp_sendmsg", {"📤", "send", ROW_FUNCTION}},
    {"tcp_recvmsg", {"📥", "recv", ROW_FUNCTION}},
    {"mount", {"💾", "mount", ROW_FUNCTION}},
};

static struct slice without_family(struct slice name)
{
    static const char *const families[] = {
        "__x64_sys_", "__arm64_sys_", "__ia32_sys_", "__sys_", "sys_", "security_"};

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        size_t size = strlen(families[i]);

        if (slice_has_prefix(name, families[i]))
            return (struct slice){name.data + size, name.size - size};
    }
    return name;
}

/* security_file_permission(file, mask): MAY_WRITE is 2, MAY_READ is 4. */
static struct verb of_file_permission(const struct line *line, struct verb otherwise)
{
    static const char key[] = "\"int_arg\":";
    const char *at = line->args.data ? memmem(line->args.data, line->args.size, key, sizeof(key) - 1) : NULL;

    if (!at || at + sizeof(key) > line->args.data + line->args.size)
        return otherwise;
    switch (at[sizeof(key) - 1]) {
    case '2':
        return (struct verb){"📝", "write", ROW_FUNCTION};
    case '4':
        return (struct verb){"📚", "read", ROW_FUNCTION};
    default:
        return otherwise;
    }
}

struct verb verb_of(const struct line *line)
{
    struct verb verb = verbs[line->type];
    struct slice name;

    if (line->type != LINE_KPROBE || !line->function_name.data)
        return verb;
    name = without_family(line->function_name);
    if (SLICE_IS(name, "file_permission"))
        return of_file_permission(line, verb);
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        if (slice_is(name, functions[i].name, strlen(functions[i].name)))
            return functions[i].verb;
    }
    return verb;
}
