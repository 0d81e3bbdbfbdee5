/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Inside kubeconfig.c: looking values up in a YAML document, with the line and the key at hand for the
 * error. Bytes are untrusted: nothing here follows the document further than its keys are asked for, so
 * that aliases cannot make it large or endless.
 */
#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>
#include "enricher/http.h"

#define YAML_KEY_MAX 160

struct yaml_reader {
    yaml_document_t document;
    const char *path;
    char *error;
    size_t error_size;
};

/* A value, or where one could be: node is NULL when there is none, line is its parent's then. */
struct yaml_place {
    yaml_node_t *node;
    size_t line;            /* 1, 2 … */
    char key[YAML_KEY_MAX]; /* "users[0].user.token" */
};

/* The first document of the text; its root is a mapping. 0; -EINVAL with the error set, and then there is
 * nothing to close. */
int yaml_reader_open(struct yaml_reader *reader, const char *data, size_t size, struct yaml_place *ret_root);
void yaml_reader_close(struct yaml_reader *reader); /* wipes every scalar */
/* "PATH:LINE: KEY: …". Returns -EINVAL. */
int yaml_reader_fail(struct yaml_reader *reader, const struct yaml_place *place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Each: 0, also when it is not there (or null, or empty); -EINVAL when it is of another type or there
 * twice; -ENOMEM. */
int yaml_find(
    struct yaml_reader *reader, const struct yaml_place *map, const char *key, struct yaml_place *ret);
int yaml_find_map(
    struct yaml_reader *reader, const struct yaml_place *map, const char *key, struct yaml_place *ret);
int yaml_find_string(struct yaml_reader *reader, const struct yaml_place *map, const char *key, char **ret);
int yaml_find_bool(struct yaml_reader *reader, const struct yaml_place *map, const char *key, bool *ret);
/* Base64 of PEM. */
int yaml_find_pem(
    struct yaml_reader *reader, const struct yaml_place *map, const char *key, struct http_blob *ret);
/* list[i].name is `name` → *ret is list[i].body; its node is NULL when there is none. */
int yaml_find_entry(struct yaml_reader *reader, const struct yaml_place *root, const char *list,
    const char *name, const char *body, struct yaml_place *ret);
