/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Normalised lines (docs/normalised.md) → the full lines that they stand for, byte for byte. One expander reads one stream of lines in order; files of a chain
 * are one stream.
 *
 * The bytes are outside bytes: a line that is torn, names what is not defined, or says nonsense is refused with a reason, and the next one is read as if it had
 * not been there.
 *
 * X1  memory is bounded: what is defined goes with its section, and a section defines at most EXPANDER_DEFINITIONS_MAX, of EXPANDER_BYTES_MAX bytes together;
 *     what is beyond is refused
 * X2  a line that names nothing by number, outside of a section or with its node's name in it, is what it was: full lines and others' lines pass
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/text.h"
#include "enricher/cli/json_pull.h"

#define EXPANDER_DEFINITIONS_MAX 600000 /* of emit_normalised.h, and the few beyond */
#define EXPANDER_BYTES_MAX       ((size_t)256 << 20)
#define EXPANDER_WHY_MAX         160

struct expander_definition;

struct expander {
    struct expander_definition **definitions; /* by number; NULL: none */
    struct expander_definition *latest;       /* of all */
    size_t capacity, bytes;
    bool in_section;
    struct text node, boot_id; /* "node_name":"…" and the id's beginning */
    struct text line;          /* the one that is returned */
    char why[EXPANDER_WHY_MAX];
};

enum expander_result {
    EXPANDER_AS_IS,   /* *ret is the line */
    EXPANDER_LINE,    /* *ret is the full line, borrowed until the next call */
    EXPANDER_NOTHING, /* it was for us only: a section's begin, a definition */
    EXPANDER_WRONG,   /* expander.why says what is */
};

void expander_init(struct expander *expander);
void expander_deinit(struct expander *expander);
/* What follows has nothing to do with what was before: another connection. */
void expander_reset(struct expander *expander);
/* A line without its newline. */
enum expander_result expander_read(struct expander *expander, struct slice line, struct slice *ret);

/* ---- between expander.c and expander_line.c ------------------------------------------------------------------ */

enum expander_kind { EXPANDER_IMAGE, EXPANDER_CONTAINER, EXPANDER_PROCESS, EXPANDER_HOOK };

/* Texts are members of an object, without its braces, and point into `data`. What is named lives as long: to the end of the section. */
struct expander_definition {
    struct expander_definition *earlier;
    int64_t number;
    enum expander_kind kind;
    const struct expander_definition *image, *container; /* of a process; NULL: none */
    struct slice members; /* of a hook: what stands in front of its arguments */
    struct slice behind;  /* of a process: its own fields; of a hook: the policy */
    size_t number_at,
        number_end; /* of a process: its "tid", of a container: the "pid", in members; no such: both the end of members */
    struct slice ns_pid; /* of a process */
    char data[];
};

/* NULL, with `why`: it is not there or of another kind. `what` is a word for it. */
const struct expander_definition *expander_find(
    struct expander *expander, enum expander_kind kind, int64_t number);
/* Always EXPANDER_WRONG. */
enum expander_result expander_refuse(struct expander *expander, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* An event of a section: `line` has the event `name`: `body`, then `rest`, from the next key's quote to the last brace. */
enum expander_result expander_compose(
    struct expander *expander, struct slice name, struct slice body, struct slice rest);
