/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/render_arg.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/record_check.h"
#include "common/text.h"
#include "enricher/kernel_names.h"
#include "enricher/policy_table.h"
#include "enricher/put.h"

/* A byte becomes six at most: \\u001b. Of what is longer than LONG_BYTES the size is counted, so that a long one does not claim what it does not take. */
#define JSON_GROWTH 6
#define LONG_BYTES  1024

/* Everything in an object but what grows with the value, and the label. */
#define FIXED_NUMBER 96
#define FIXED_BYTES  96
#define FIXED_PATH   512 /* the names of all open flags */
#define FIXED_SOCK   576
#define FIXED_CRED   3072 /* three sets of 41 capabilities, eight ids */

/* ---- what they share -------------------------------------------------------------------------------------------- */

static bool is_cut(const struct render_arg *a)
{
    return a->arg->flags & RECORD_ARG_TRUNCATED;
}

/* Members of an object end with a comma each; the last one becomes the brace. */
static char *close_object(char *to)
{
    if (to[-1] == ',')
        to[-1] = '}';
    else
        *to++ = '}';
    return to;
}

static char *put_end(char *to, const struct render_arg *a, bool truncated)
{
    if (truncated && a->own_fields)
        to = PUT(to, ",\"truncated\":true");
    return put(to, a->end->data, a->end->size);
}

static char *put_i64(char *to, int64_t value)
{
    if (value < 0)
        *to++ = '-';
    return put_u64(to, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

/* "key":"NAME", or the number where it has no name. */
static char *put_named(char *to, const char *key, const char *name, uint64_t number)
{
    *to++ = '"';
    to = put_string(to, key);
    to = PUT(to, "\":\"");
    to = name ? put_string(to, name) : put_u64(to, number);
    return PUT(to, "\",");
}

/* "key":7, unless it is 0. */
static char *put_nonzero(char *to, const char *key, uint64_t number)
{
    if (!number)
        return to;
    *to++ = '"';
    to = put_string(to, key);
    to = PUT(to, "\":");
    to = put_u64(to, number);
    *to++ = ',';
    return to;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

static uint64_t number_of(const struct render_arg *a)
{
    uint64_t value;

    memcpy(&value, (const char *)a->record + a->arg->value.offset, sizeof(value));
    return value;
}

static char *put_capability(char *to, uint64_t number)
{
    const char *name = number < 64 ? kernel_capability_name((unsigned)number) : NULL;

    to = PUT(to, "{\"capability_arg\":{\"value\":");
    to = put_i64(to, (int32_t)number);
    to = PUT(to, ",");
    if (name)
        to = put_named(to, "name", name, 0);
    return close_object(to);
}

static char *put_syscall(char *to, uint64_t value)
{
    bool compat = value >> 63;

    to = PUT(to, "{\"syscall_id\":{\"id\":");
    to = put_u64(to, (uint32_t)value);
#ifdef __aarch64__
    return compat ? PUT(to, ",\"abi\":\"arm32\"}") : PUT(to, ",\"abi\":\"arm64\"}");
#else
    return compat ? PUT(to, ",\"abi\":\"i386\"}") : PUT(to, ",\"abi\":\"x64\"}");
#endif
}

static char *put_number(char *to, const struct render_arg *a)
{
    uint64_t value = number_of(a);

    switch (a->arg->type) {
    case RECORD_ARG_INT:
        return put_i64(PUT(to, "{\"int_arg\":"), (int32_t)value);
    case RECORD_ARG_UINT:
        return put_u64(PUT(to, "{\"uint_arg\":"), (uint32_t)value);
    case RECORD_ARG_LONG:
        to = put_i64(PUT(to, "{\"long_arg\":\""), (int64_t)value);
        break;
    case RECORD_ARG_CAPABILITY:
        return put_capability(to, value);
    case RECORD_ARG_SYSCALL:
        return put_syscall(to, value);
    default: /* size_t, uint64: Tetragon has one form for both */
        to = put_u64(PUT(to, "{\"size_arg\":\""), value);
        break;
    }
    return PUT(to, "\"");
}

/* ---- strings and bytes --------------------------------------------------------------------------------------------- */

static const struct record_arg_bytes *bytes_of(const struct render_arg *a, struct record_bytes *ret)
{
    const char *value = (const char *)a->record + a->arg->value.offset;
    size_t size = a->arg->value.size - sizeof(struct record_arg_bytes);

    *ret = (struct record_bytes){value + sizeof(struct record_arg_bytes), size};
    return (const struct record_arg_bytes *)(const void *)value;
}

static char *put_string_arg(char *to, size_t room, const struct render_arg *a, bool *cut)
{
    struct record_bytes bytes;
    size_t taken = 0;

    (void)bytes_of(a, &bytes);
    to = PUT(to, "{\"string_arg\":\"");
    to = text_put_json(to, room - FIXED_BYTES, bytes.data, bytes.size, &taken);
    *cut |= taken < bytes.size;
    to = PUT(to, "\"");
    return put_end(to, a, taken < bytes.size || is_cut(a));
}

static char *put_bytes_arg(char *to, size_t room, const struct render_arg *a, bool *cut)
{
    struct record_bytes bytes;
    uint64_t original = bytes_of(a, &bytes)->original_size;
    size_t fits = (room - FIXED_BYTES) / 4 * 3, size = bytes.size < fits ? bytes.size : fits;
    bool truncated = size < bytes.size || is_cut(a) || original > bytes.size;

    *cut |= size < bytes.size;
    to = truncated ? PUT(to, "{\"truncated_bytes_arg\":{\"bytes_arg\":\"") : PUT(to, "{\"bytes_arg\":\"");
    to = put_base64(to, bytes.data, size);
    *to++ = '"';
    if (truncated) {
        to = PUT(to, ",\"orig_size\":\"");
        to = put_u64(to, original > bytes.size ? original : bytes.size);
        to = PUT(to, "\"}");
    }
    return put_end(to, a, false);
}

/* ---- paths ----------------------------------------------------------------------------------------------------------- */

static char *put_path_flags(char *to, uint8_t flags)
{
    bool truncated = flags & RECORD_ARG_TRUNCATED, unreachable = flags & RECORD_ARG_UNREACHABLE;

    if (!truncated && !unreachable)
        return to;
    to = PUT(to, "\"flags\":\"");
    if (truncated)
        to = PUT(to, "unresolvedPathComponents");
    if (truncated && unreachable)
        *to++ = ' ';
    if (unreachable)
        to = PUT(to, "unreachable");
    return PUT(to, "\",");
}

/* As ls -l has it. */
static char *put_permission(char *to, uint32_t mode)
{
    static const char types[16] = {[S_IFIFO >> 12] = 'p',
        [S_IFCHR >> 12] = 'c',
        [S_IFDIR >> 12] = 'd',
        [S_IFBLK >> 12] = 'b',
        [S_IFREG >> 12] = '-',
        [S_IFLNK >> 12] = 'l',
        [S_IFSOCK >> 12] = 's'};
    static const char letters[] = "rwxrwxrwx";
    char type = types[mode >> 12 & 15], *begin;

    to = PUT(to, "\"permission\":\"");
    begin = to;
    *to++ = type ? type : '?';
    for (int i = 0; i < 9; i++)
        *to++ = mode >> (8 - i) & 1 ? letters[i] : '-';
    if (mode & S_ISUID)
        begin[3] = mode & S_IXUSR ? 's' : 'S';
    if (mode & S_ISGID)
        begin[6] = mode & S_IXGRP ? 's' : 'S';
    if (mode & S_ISVTX)
        begin[9] = mode & S_IXOTH ? 't' : 'T';
    return PUT(to, "\",");
}

/* What open(2) takes; O_LARGEFILE and the like, which the kernel sets by itself, are left out. */
static char *put_open_flags(char *to, uint32_t flags)
{
    static const struct {
        uint32_t bits;
        const char *name;
    } names[] = {{O_CREAT, "|O_CREAT"}, {O_EXCL, "|O_EXCL"}, {O_NOCTTY, "|O_NOCTTY"}, {O_TRUNC, "|O_TRUNC"},
        {O_APPEND, "|O_APPEND"}, {O_NONBLOCK, "|O_NONBLOCK"}, {O_SYNC, "|O_SYNC"}, {O_DSYNC, "|O_DSYNC"},
        {O_DIRECT, "|O_DIRECT"}, {O_DIRECTORY, "|O_DIRECTORY"}, {O_NOFOLLOW, "|O_NOFOLLOW"},
        {O_NOATIME, "|O_NOATIME"}, {O_CLOEXEC, "|O_CLOEXEC"}, {O_PATH, "|O_PATH"}, {O_TMPFILE, "|O_TMPFILE"}};
    static const char *const access[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};

    to = PUT(to, "\"open_flags\":\"");
    to = put_string(to, access[flags & O_ACCMODE]);
    flags &= ~(uint32_t)O_ACCMODE;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((flags & names[i].bits) != names[i].bits)
            continue;
        to = put_string(to, names[i].name);
        if (names[i].bits == O_SYNC)
            flags &= ~(uint32_t)O_DSYNC; /* it is part of it */
    }
    return PUT(to, "\",");
}

static char *put_path_kind(char *to, uint8_t type)
{
    switch (type) {
    case RECORD_ARG_PATH:
        return PUT(to, "{\"path_arg\":{");
    case RECORD_ARG_BINPRM:
        return PUT(to, "{\"linux_binprm_arg\":{");
    default: /* a file by its number is a file */
        return PUT(to, "{\"file_arg\":{");
    }
}

static char *put_path_arg(char *to, size_t room, const struct render_arg *a, bool *cut)
{
    const struct record_arg_path *path = (const void *)((const char *)a->record + a->arg->value.offset);
    size_t size = a->arg->value.size - sizeof(*path), taken = 0;
    uint8_t type = a->arg->type;

    to = put_path_kind(to, type);
    if (size) {
        to = PUT(to, "\"path\":\"");
        to = text_put_json(to, room - FIXED_PATH, path + 1, size, &taken);
        to = PUT(to, "\",");
    }
    to = put_path_flags(to, a->arg->flags);
    if (path->mode)
        to = put_permission(to, path->mode);
    if (a->own_fields && path->flags && (type == RECORD_ARG_FILE || type == RECORD_ARG_FD))
        to = put_open_flags(to, path->flags);
    if (a->own_fields && path->fd >= 0 && type == RECORD_ARG_FD) {
        to = PUT(to, "\"fd\":");
        to = put_u64(to, (uint32_t)path->fd);
        *to++ = ',';
    }
    *cut |= taken < size;
    return put_end(close_object(to), a, taken < size);
}

/* ---- sockets ----------------------------------------------------------------------------------------------------------- */

static char *put_ipv4(char *to, const uint8_t address[4])
{
    for (int i = 0; i < 4; i++) {
        if (i)
            *to++ = '.';
        to = put_u64(to, address[i]);
    }
    return to;
}

static char *put_hex16(char *to, unsigned value)
{
    static const char hex[] = "0123456789abcdef";
    int shift = 12;

    while (shift > 0 && !(value >> shift))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *to++ = hex[value >> shift & 15];
    return to;
}

/* RFC 5952: the first of the longest runs of two or more zero groups becomes "::". */
static char *put_ipv6(char *to, const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    int zeros_at = -1, zeros = 1;

    if (!memcmp(address, mapped, sizeof(mapped)))
        return put_ipv4(PUT(to, "::ffff:"), address + 12);
    for (int i = 0, run = 0; i < 8; i++) {
        run = address[2 * i] || address[2 * i + 1] ? 0 : run + 1;
        if (run > zeros) {
            zeros = run;
            zeros_at = i + 1 - run;
        }
    }
    for (int i = 0; i < 8; i++) {
        if (i == zeros_at) {
            to = PUT(to, "::");
            i += zeros - 1;
            continue;
        }
        if (i && to[-1] != ':')
            *to++ = ':';
        to = put_hex16(to, (unsigned)address[2 * i] << 8 | address[2 * i + 1]);
    }
    return to;
}

static char *put_address(char *to, const char *key, uint16_t family, const uint8_t address[16])
{
    if (family != AF_INET && family != AF_INET6)
        return to;
    *to++ = '"';
    to = put_string(to, key);
    to = PUT(to, "\":\"");
    to = family == AF_INET ? put_ipv4(to, address) : put_ipv6(to, address);
    return PUT(to, "\",");
}

static char *put_protocol(char *to, const struct record_arg_sock *sock)
{
    return put_named(to, "protocol", kernel_protocol_name(sock->protocol), sock->protocol);
}

static char *put_ends(char *to, const struct record_arg_sock *sock)
{
    to = put_address(to, "saddr", sock->family, sock->saddr);
    to = put_address(to, "daddr", sock->family, sock->daddr);
    to = put_nonzero(to, "sport", sock->sport);
    return put_nonzero(to, "dport", sock->dport);
}

static char *put_sock(char *to, const struct record_arg_sock *sock)
{
    to = PUT(to, "{\"sock_arg\":{");
    to = put_named(to, "family", kernel_family_name(sock->family), sock->family);
    if (sock->type)
        to = put_named(to, "type", kernel_socket_type_name(sock->type), sock->type);
    to = put_protocol(to, sock);
    to = put_nonzero(to, "mark", sock->mark);
    to = put_nonzero(to, "priority", sock->priority);
    to = put_ends(to, sock);
    if (sock->cookie) {
        to = PUT(to, "\"cookie\":\"");
        to = put_u64(to, sock->cookie);
        to = PUT(to, "\",");
    }
    if (sock->state)
        to = put_named(to, "state", kernel_tcp_state_name(sock->state), sock->state);
    return close_object(to);
}

static char *put_skb(char *to, const struct record_arg_sock *sock)
{
    to = PUT(to, "{\"skb_arg\":{");
    to = put_nonzero(to, "len", sock->length);
    to = put_nonzero(to, "priority", sock->priority);
    to = put_nonzero(to, "mark", sock->mark);
    to = put_ends(to, sock);
    to = put_nonzero(to, "proto", sock->protocol);
    to = put_protocol(to, sock);
    to = put_named(to, "family", kernel_family_name(sock->family), sock->family);
    return close_object(to);
}

static char *put_sockaddr(char *to, const struct record_arg_sock *sock)
{
    to = PUT(to, "{\"sockaddr_arg\":{");
    to = put_named(to, "family", kernel_family_name(sock->family), sock->family);
    to = put_address(to, "addr", sock->family, sock->daddr);
    to = put_nonzero(to, "port", sock->dport);
    return close_object(to);
}

static char *put_socket_arg(char *to, const struct render_arg *a)
{
    const struct record_arg_sock *sock = (const void *)((const char *)a->record + a->arg->value.offset);

    switch (a->arg->type) {
    case RECORD_ARG_SOCK:
        return put_sock(to, sock);
    case RECORD_ARG_SKB:
        return put_skb(to, sock);
    default:
        return put_sockaddr(to, sock);
    }
}

/* ---- credentials --------------------------------------------------------------------------------------------------------- */

static char *put_id(char *to, const char *key, uint32_t id)
{
    *to++ = '"';
    to = put_string(to, key);
    to = PUT(to, "\":");
    to = put_u64(to, id);
    *to++ = ',';
    return to;
}

static char *put_set(char *to, const char *key, uint64_t set)
{
    if (!set)
        return to;
    *to++ = '"';
    to = put_string(to, key);
    to = PUT(to, "\":[");
    for (unsigned i = 0; i < 64; i++) {
        const char *name = set >> i & 1 ? kernel_capability_set_name(i) : NULL;

        if (!name)
            continue;
        *to++ = '"';
        to = put_string(to, name);
        to = PUT(to, "\",");
    }
    if (to[-1] == ',')
        to--;
    return PUT(to, "],");
}

static char *put_cred_arg(char *to, const struct render_arg *a)
{
    const struct record_arg_cred *cred = (const void *)((const char *)a->record + a->arg->value.offset);

    to = PUT(to, "{\"process_credentials_arg\":{");
    to = put_id(to, "uid", cred->uid);
    to = put_id(to, "gid", cred->gid);
    to = put_id(to, "euid", cred->euid);
    to = put_id(to, "egid", cred->egid);
    to = put_id(to, "suid", cred->suid);
    to = put_id(to, "sgid", cred->sgid);
    to = put_id(to, "fsuid", cred->fsuid);
    to = put_id(to, "fsgid", cred->fsgid);
    to = PUT(to, "\"caps\":{");
    to = put_set(to, "permitted", cred->cap_permitted);
    to = put_set(to, "effective", cred->cap_effective);
    to = put_set(to, "inheritable", cred->cap_inheritable);
    to = close_object(to);
    if (cred->user_ns) {
        to = PUT(to, ",\"user_ns\":{\"ns\":{\"inum\":");
        to = put_u64(to, cred->user_ns);
        to = PUT(to, "}}");
    }
    return PUT(to, "}");
}

/* ---- one of them --------------------------------------------------------------------------------------------------------- */

static char *put_error(char *to, const struct render_arg *a)
{
    return put_end(PUT(to, "{\"error_arg\":{\"message\":\"could not be read\"}"), a, false);
}

/* How a type is written, and what it takes without what grows. */
enum form { FORM_NUMBER, FORM_STRING, FORM_BYTES, FORM_PATH, FORM_SOCKET, FORM_CRED };
static const uint8_t forms[RECORD_ARG_TYPE_COUNT] = {
    [RECORD_ARG_STRING] = FORM_STRING,
    [RECORD_ARG_BYTES] = FORM_BYTES,
    [RECORD_ARG_FILE] = FORM_PATH,
    [RECORD_ARG_PATH] = FORM_PATH,
    [RECORD_ARG_FD] = FORM_PATH,
    [RECORD_ARG_BINPRM] = FORM_PATH,
    [RECORD_ARG_SOCK] = FORM_SOCKET,
    [RECORD_ARG_SKB] = FORM_SOCKET,
    [RECORD_ARG_SOCKADDR] = FORM_SOCKET,
    [RECORD_ARG_CRED] = FORM_CRED,
};
static const uint16_t fixed_bytes[] = {[FORM_NUMBER] = FIXED_NUMBER,
    [FORM_STRING] = FIXED_BYTES,
    [FORM_BYTES] = FIXED_BYTES,
    [FORM_PATH] = FIXED_PATH,
    [FORM_SOCKET] = FIXED_SOCK,
    [FORM_CRED] = FIXED_CRED};

size_t render_arg_bound(const struct render_arg *a)
{
    enum form form = (enum form)forms[a->arg->type];
    size_t size = a->arg->value.size, bound = fixed_bytes[form] + a->end->size;

    if (form == FORM_BYTES)
        return bound + size * 4 / 3 + 4;
    if (form != FORM_STRING && form != FORM_PATH)
        return bound;
    return bound + (size <= LONG_BYTES
                           ? size * JSON_GROWTH
                           : text_json_size((const char *)a->record + a->arg->value.offset, size));
}

char *render_arg(char *to, size_t room, const struct render_arg *a, bool *cut)
{
    enum form form = (enum form)forms[a->arg->type];

    if (!a->arg->value.size || a->arg->flags & RECORD_ARG_ERROR)
        return put_error(to, a);
    room -= a->end->size;
    if (fixed_bytes[form] > room) { /* not even its form */
        *cut = true;
        return put_end(PUT(to, "{\"error_arg\":{\"message\":\"no room in the line\"}"), a, true);
    }
    switch (form) {
    case FORM_STRING:
        return put_string_arg(to, room, a, cut);
    case FORM_BYTES:
        return put_bytes_arg(to, room, a, cut);
    case FORM_PATH:
        return put_path_arg(to, room, a, cut);
    case FORM_SOCKET:
        return put_end(put_socket_arg(to, a), a, false);
    case FORM_CRED:
        return put_end(put_cred_arg(to, a), a, false);
    case FORM_NUMBER:
        break;
    }
    return put_end(put_number(to, a), a, false);
}
