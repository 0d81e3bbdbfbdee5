/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/image.h"

#include <stdlib.h>
#include <string.h>

#include "common/record.h"
#include "common/text.h"
#include "enricher/kernel_names.h"

static const char *ref_data(const struct record_process *record, struct record_ref ref)
{
    return (const char *)record + ref.offset;
}

/* The binary as an absolute path: what was passed to execve may be relative to the working folder. */
static void append_binary(struct text *out, const struct record_process *record, bool *cut)
{
    const char *name = ref_data(record, record->filename);
    size_t size = record->filename.size, budget = IMAGE_PATH_BUDGET;
    size_t used;

    if (size == 0) { /* kernel threads have a name only */
        text_append_char(out, '[');
        text_append_json(
            out, record->comm, strnlen((const char *)record->comm, sizeof(record->comm)), budget);
        text_append_char(out, ']');
        return;
    }
    if (name[0] != '/' && record->cwd.size > 0) {
        size_t before = out->size;

        used = text_append_json(out, ref_data(record, record->cwd), record->cwd.size, budget / 2);
        *cut |= used < record->cwd.size;
        if (record->cwd.size > 1)
            text_append_char(out, '/');
        budget -= out->size - before;
        while (size > 2 && name[0] == '.' && name[1] == '/') {
            name += 2;
            size -= 2;
        }
    }
    used = text_append_json(out, name, size, budget);
    *cut |= used < size;
}

/* Calls for each argument behind argv[0]. */
struct argument_iterator {
    const char *next, *end;
};

static struct argument_iterator arguments_of(const struct record_process *record)
{
    const char *data = ref_data(record, record->args);
    const char *end = data + record->args.size;
    const char *nul = record->args.size ? memchr(data, 0, record->args.size) : NULL;

    return (struct argument_iterator){nul ? nul + 1 : NULL, end};
}

static const char *next_argument(struct argument_iterator *it, size_t *ret_size)
{
    const char *start = it->next;
    const char *nul;

    if (!start)
        return NULL;
    nul = start < it->end ? memchr(start, 0, (size_t)(it->end - start)) : NULL;
    *ret_size = (size_t)((nul ? nul : it->end) - start);
    it->next = nul ? nul + 1 : NULL;
    return start;
}

/* Tetragon's form: joined by spaces, one with a space in it (or an empty one) in double quotes. */
static void append_joined(struct text *out, const struct record_process *record, bool *cut)
{
    struct argument_iterator it = arguments_of(record);
    size_t limit = out->size + IMAGE_ARGS_BUDGET, size;
    const char *argument;
    size_t used;
    bool first = true;

    while ((argument = next_argument(&it, &size))) {
        bool quoted = size == 0 || memchr(argument, ' ', size);

        if (out->size + 8 >= limit) {
            *cut = true;
            return;
        }
        if (!first)
            text_append_char(out, ' ');
        first = false;
        if (quoted)
            text_append(out, "\\\"", 2);
        used = text_append_json(out, argument, size, limit - out->size - 4);
        if (quoted)
            text_append(out, "\\\"", 2);
        if (used < size) { /* nothing that is shorter may follow as if it were the next */
            *cut = true;
            return;
        }
    }
}

static void append_array(struct text *out, const struct record_process *record, bool *cut)
{
    struct argument_iterator it = arguments_of(record);
    size_t limit = out->size + IMAGE_ARGS_BUDGET, size;
    const char *argument;
    size_t used;
    bool first = true;

    text_append_char(out, '[');
    while ((argument = next_argument(&it, &size))) {
        if (out->size + 8 >= limit) {
            *cut = true;
            break;
        }
        if (!first)
            text_append_char(out, ',');
        first = false;
        text_append_char(out, '"');
        used = text_append_json(out, argument, size, limit - out->size - 4);
        text_append_char(out, '"');
        if (used < size) {
            *cut = true;
            break;
        }
    }
    text_append_char(out, ']');
}

static void append_id(struct text *out, const char *name, uint32_t id, bool comma)
{
    text_append_format(out, "%s\"%s\":%u", comma ? "," : "", name, id);
}

static void append_credentials(struct text *out, const struct record_process *record)
{
    text_append_string(out, "\"process_credentials\":{");
    append_id(out, "uid", record->uid, false);
    append_id(out, "gid", record->gid, true);
    append_id(out, "euid", record->euid, true);
    append_id(out, "egid", record->egid, true);
    append_id(out, "suid", record->suid, true);
    append_id(out, "sgid", record->sgid, true);
    append_id(out, "fsuid", record->fsuid, true);
    append_id(out, "fsgid", record->fsgid, true);
    text_append_string(out, "},");
}

static void append_namespaces(struct text *out, const struct record_namespaces *ns)
{
    const struct {
        const char *name;
        uint32_t inum;
    } all[] = {
        {"uts", ns->uts},
        {"mnt", ns->mnt},
        {"pid", ns->pid},
        {"pid_for_children", ns->pid_for_children},
        {"net", ns->net},
        {"time", ns->time},
        {"time_for_children", ns->time_for_children},
        {"cgroup", ns->cgroup},
        {"user", ns->user},
        {"ipc", ns->ipc},
    };

    text_append_string(out, "\"ns\":{");
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        text_append_format(out, "%s\"%s\":{\"inum\":%u}", i ? "," : "", all[i].name, all[i].inum);
    text_append_string(out, "},");
}

static void append_capability_set(struct text *out, const char *name, uint64_t set, bool comma)
{
    bool first = true;

    text_append_format(out, "%s\"%s\":[", comma ? "," : "", name);
    for (unsigned i = 0; i < 64; i++) {
        const char *capability = set >> i & 1 ? kernel_capability_set_name(i) : NULL;

        if (capability) {
            text_append_format(out, "%s\"%s\"", first ? "" : ",", capability);
            first = false;
        }
    }
    text_append_char(out, ']');
}

static void append_capabilities(struct text *out, const struct record_process *record)
{
    text_append_string(out, "\"cap\":{");
    append_capability_set(out, "permitted", record->cap_permitted, false);
    append_capability_set(out, "effective", record->cap_effective, true);
    append_capability_set(out, "inheritable", record->cap_inheritable, true);
    text_append_string(out, "},");
}

static size_t build(
    struct text *out, const struct record_process *record, const struct image_options *options, bool *cut)
{
    size_t short_size;

    if (record->cwd.size > 0) {
        text_append_string(out, "\"cwd\":\"");
        *cut |= text_append_json(out, ref_data(record, record->cwd), record->cwd.size, IMAGE_PATH_BUDGET) <
                record->cwd.size;
        text_append_string(out, "\",");
    }
    text_append_string(out, "\"binary\":\"");
    append_binary(out, record, cut);
    text_append_string(out, "\",");
    if (options->credentials)
        append_credentials(out, record);
    if (options->namespaces)
        append_namespaces(out, &record->ns);
    if (options->capabilities)
        append_capabilities(out, record);
    short_size = out->size;
    if (memchr(ref_data(record, record->args), 0, record->args.size)) {
        text_append_string(out, "\"arguments\":\"");
        append_joined(out, record, cut);
        text_append_string(out, "\",");
        if (options->own_fields) {
            text_append_string(out, "\"args\":");
            append_array(out, record, cut);
            text_append_char(out, ',');
        }
    }
    return short_size;
}

struct image *image_new(const struct record_process *record, const struct image_options *options)
{
    struct text out = {0};
    struct image *image = NULL;
    bool cut = false;
    size_t short_size = build(&out, record, options, &cut);

    if (!out.failed)
        image = malloc(sizeof(*image) + out.size);
    if (image) {
        *image = (struct image){.refs = 1,
            .flags = record->flags,
            .auid = record->auid,
            .size = (uint32_t)out.size,
            .short_size = (uint32_t)short_size,
            .cut = cut,
            .root_cwd = record->cwd.size == 1 && *ref_data(record, record->cwd) == '/'};
        memcpy(image->fragment, out.data, out.size);
    }
    text_deinit(&out);
    return image;
}

struct image *image_ref(struct image *image)
{
    if (image)
        image->refs++;
    return image;
}

void image_unref(struct image *image)
{
    if (image && --image->refs == 0)
        free(image);
}
