/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hook_plan_format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* "field:const char * filename;" or "field:char comm[16];" or "field:__data_loc char[] name;" */
static int split_declaration(struct hook_format_field *ret, char *text)
{
    char *bracket = strchr(text, '['), *name;

    if (bracket && strncmp(text, "__data_loc", 10) != 0 && strncmp(text, "__rel_loc", 9) != 0) {
        ret->is_array = true;
        *bracket = '\0';
    }
    name = strrchr(text, ' ');
    if (!name || !name[1])
        return -EBADMSG;
    *name = '\0';
    (void)snprintf(ret->name, sizeof(ret->name), "%s", name + 1);
    (void)snprintf(ret->type, sizeof(ret->type), "%s", text);
    return 0;
}

static int read_number(const char *line, const char *key, unsigned long *ret)
{
    const char *at = strstr(line, key);

    if (!at)
        return -EBADMSG;
    *ret = strtoul(at + strlen(key), NULL, 10);
    return *ret > UINT16_MAX ? -EBADMSG : 0;
}

static int read_field(struct hook_format_field *ret, char *line)
{
    unsigned long offset, size, is_signed;
    char *declaration = line + 1, *end = strchr(declaration, ';');

    if (!end || read_number(end, "offset:", &offset) || read_number(end, "size:", &size) ||
        read_number(end, "signed:", &is_signed))
        return -EBADMSG;
    *end = '\0';
    *ret = (struct hook_format_field){
        .offset = (uint16_t)offset, .size = (uint16_t)size, .is_signed = is_signed != 0};
    return split_declaration(ret, declaration + 6);
}

int hook_format_read(struct hook_format *ret, FILE *file)
{
    CLEANUP_FREE char *line = NULL;
    size_t capacity = 0;

    ret->count = 0;
    while (getline(&line, &capacity, file) > 0 && ret->count < HOOK_FIELDS_MAX) {
        if (strncmp(line, "\tfield:", 7) != 0)
            continue;
        if (read_field(&ret->fields[ret->count], line))
            return -EBADMSG;
        ret->count++;
    }
    return ret->count > 0 ? 0 : -EBADMSG;
}

/* "const struct sock *" → "sock", "const char *" → "char", "void *" → "". */
static void name_pointee(struct hook_source *ret, const char *type)
{
    const char *name = strstr(type, "struct ");

    if (name) {
        name += 7;
        (void)snprintf(ret->pointee, sizeof(ret->pointee), "%.*s", (int)strcspn(name, " *"), name);
    } else if (strstr(type, "char *") && !strstr(type, "* *") && !strstr(type, "**") &&
               !strstr(type, "*const *")) {
        (void)snprintf(ret->pointee, sizeof(ret->pointee), "char");
    }
}

void hook_format_source(
    struct hook_source *ret, const struct hook_format *format, uint32_t index, uint8_t word)
{
    const struct hook_format_field *field = &format->fields[index < format->count ? index : 0];

    *ret = (struct hook_source){.word = HOOK_WORD_NONE};
    if (index >= format->count)
        return;
    ret->field_offset = field->offset;
    ret->is_signed = field->is_signed;
    ret->is_known = true;
    if (strncmp(field->type, "__data_loc", 10) == 0 || strncmp(field->type, "__rel_loc", 9) == 0) {
        ret->field = field->type[2] == 'd' ? HOOK_FIELD_DATA_LOC : HOOK_FIELD_REL_LOC;
        ret->field_width = 4;
    } else if (field->is_array) {
        ret->field = HOOK_FIELD_ADDRESS;
    } else if (field->size == 1 || field->size == 2 || field->size == 4 || field->size == 8) {
        ret->field = HOOK_FIELD_VALUE;
        ret->width = ret->field_width = (uint8_t)field->size;
        ret->is_pointer = strchr(field->type, '*') != NULL;
        if (ret->is_pointer)
            name_pointee(ret, field->type);
    } else {
        return; /* a struct by value */
    }
    ret->word = word;
}
