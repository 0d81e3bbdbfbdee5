/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a process in a line. There are many processes: what takes long to render is kept with each (process->head: exec_id, parent's exec_id, words of "flags", start time, one behind the
 * other), the keys and plain numbers are put around it for each line.
 */
#include "enricher/render.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/record.h"
#include "enricher/process_table.h"
#include "enricher/put.h"

/* base64("NODE:START_NS:PID"), the name of an execution. */
static char *put_exec_id(char *to, const char *node_name, const struct process *process)
{
    char name[RENDER_NODE_NAME_MAX + 2 * PUT_U64_MAX + 2], *end;

    end = put(name, node_name, strnlen(node_name, RENDER_NODE_NAME_MAX));
    *end++ = ':';
    end = put_u64(end, process->image_start_ns);
    *end++ = ':';
    end = put_u64(end, process->tgid);
    return put_base64(to, name, (size_t)(end - name));
}

const char *render_exec_id(const struct process *process, size_t *ret_size)
{
    *ret_size = process->exec_id_size;
    return process->head;
}

/* The parent has its own rendered already. */
static char *put_parent_exec_id(char *to, const char *node_name, const struct process *parent)
{
    return parent->head ? put(to, parent->head, parent->exec_id_size) : put_exec_id(to, node_name, parent);
}

/* The words of "flags", in Tetragon's order. */
static char *put_words(char *to, const struct process *process, bool clone)
{
    uint32_t image_flags = process->image ? process->image->flags : 0;
    bool cut = process->image && process->image->cut;
    const struct {
        bool set;
        const char *word;
    } words[] = {
        {process->origin == PROCESS_EXECED, "execve"},
        {process->origin == PROCESS_SNAPSHOT, "procFS"},
        {image_flags & RECORD_PROCESS_ARGS_TRUNCATED || cut, "truncArgs"},
        {process->origin == PROCESS_UNKNOWN, "miss"},
        {image_flags & (RECORD_PROCESS_FILENAME_ERROR | RECORD_PROCESS_FILENAME_TRUNCATED), "errorFilename"},
        {image_flags & RECORD_PROCESS_ARGS_ERROR, "errorArgs"},
        {image_flags & RECORD_PROCESS_CWD_UNREACHABLE, "nocwd"},
        {process->image && process->image->root_cwd, "rootcwd"},
        {image_flags & (RECORD_PROCESS_CWD_ERROR | RECORD_PROCESS_CWD_TRUNCATED), "errorCWD"},
        {clone, "clone"},
        {process->in_init_tree, "inInitTree"},
    };
    const char *begin = to;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!words[i].set)
            continue;
        if (to != begin)
            *to++ = ' ';
        to = put_string(to, words[i].word);
    }
    return to;
}

#define TIME_SIZE  30 /* of what render_time() writes */
#define ID_ROOM    64 /* PUT_SHORT(): an exec_id of a usual node */
#define WORDS_ROOM 32

/* Two ids of a long node name, the words and the time. */
#define HEAD_MAX 2048

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

int render_process_head(struct render_context *context, struct process *process, bool clone)
{
    const char *node = context->options->node_name;
    char buffer[HEAD_MAX], *parent, *words, *time, *end, *head;
    size_t size;

    words = parent = put_exec_id(buffer, node, process);
    if (process->parent)
        words = put_parent_exec_id(parent, node, process->parent);
    time = put_words(words, process, clone);
    end = render_time(context, time, process->image_start_ns);
    size = (size_t)(end - buffer);
    /* Exact, as there are many of these, but for what PUT_SHORT() reads. */
    head = malloc(
        larger(size, larger((size_t)(parent - buffer) + ID_ROOM, (size_t)(words - buffer) + WORDS_ROOM)));
    if (!head)
        return -ENOMEM;
    memcpy(head, buffer, size);
    free(process->head);
    process->head = head;
    process->definition = 0;
    process->head_size = (uint16_t)size;
    process->exec_id_size = (uint16_t)(parent - buffer);
    process->parent_id_size = (uint16_t)(words - parent);
    process->words_size = (uint8_t)(time - words);
    return 0;
}

/* Many words, or "truncArgs" among them, which has its place behind the one that says how the process became known. */
static char *put_rare_words(
    char *to, const struct process *process, const char *words, bool without_arguments)
{
    static const char mark[] = "truncArgs";
    size_t size = process->words_size, before = 0;

    if (!without_arguments || memmem(words, size, mark, sizeof(mark) - 1))
        return put(to, words, size);
    if (process->origin == PROCESS_EXECED || process->origin == PROCESS_SNAPSHOT) {
        const char *blank = memchr(words, ' ', size);

        before = blank ? (size_t)(blank - words) : size;
    }
    to = put(to, words, before);
    if (before)
        *to++ = ' ';
    to = PUT(to, mark);
    if (!before && size)
        *to++ = ' ';
    return put(to, words + before, size - before);
}

static inline char *put_id(char *to, const char *id, size_t size)
{
    return size <= ID_ROOM ? PUT_SHORT(to, id, size, ID_ROOM) : put(to, id, size);
}

static inline char *put_auid(char *to, uint32_t auid)
{
    to = PUT(to, "\"auid\":");
    return auid == UINT32_MAX ? PUT(to, "4294967295,") : PUT(put_u64(to, auid), ",");
}

char *render_put_head(char *to, const struct process *process, uint32_t tid, bool without_arguments)
{
    const char *id = process->head, *parent, *words, *pid;
    size_t pid_size;

    if (!id)
        return to;
    parent = id + process->exec_id_size;
    words = parent + process->parent_id_size;
    to = PUT(to, "\"exec_id\":\"");
    to = put_id(to, id, process->exec_id_size);
    to = PUT(to, "\",\"pid\":");
    pid = to;
    to = put_u64(to, process->tgid);
    pid_size = (size_t)(to - pid);
    if (process->origin != PROCESS_UNKNOWN) {
        to = PUT(to, ",\"uid\":");
        to = put_u64(to, process->uid);
    }
    to = PUT(to, ",\"flags\":\"");
    if (__builtin_expect(without_arguments || process->words_size > WORDS_ROOM, 0))
        to = put_rare_words(to, process, words, without_arguments);
    else
        to = PUT_SHORT(to, words, process->words_size, WORDS_ROOM);
    to = PUT(to, "\",\"start_time\":\"");
    to = put(to, words + process->words_size, TIME_SIZE);
    to = PUT(to, "\",");
    if (process->image)
        to = put_auid(to, process->image->auid);
    if (process->parent_id_size) {
        to = PUT(to, "\"parent_exec_id\":\"");
        to = put_id(to, parent, process->parent_id_size);
        to = PUT(to, "\",");
    }
    to = PUT(to, "\"tid\":");
    to = tid == process->tgid ? PUT_SHORT(to, pid, pid_size, 16) : put_u64(to, tid);
    if (process->origin == PROCESS_UNKNOWN)
        return PUT(to, ",");
    return process->in_init_tree ? PUT(to, ",\"in_init_tree\":true,") : PUT(to, ",\"in_init_tree\":false,");
}
