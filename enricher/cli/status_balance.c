// SPDX-License-Identifier: Apache-2.0
/* The one line of `podkin status` that says whether anything is missing, and the numbers that prove it. */
#include <string.h>
#include <jansson.h>
#include "common/text.h"
#include "enricher/cli/status.h"

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void put(struct text *out, const char *before, json_int_t value, const char *behind)
{
    text_append_string(out, before);
    status_append_grouped(out, value, 0);
    text_append_string(out, behind);
}

/* " (CPU 1: 2, CPU 3: 1)" */
static void put_by_cpu(struct text *out, const json_t *by_cpu)
{
    const char *cpu, *between = " (";
    json_t *count;

    json_object_foreach((json_t *)by_cpu, cpu, count)
    {
        text_append_string(out, between);
        text_append_string(out, "CPU ");
        text_append_neutral(out, cpu, strlen(cpu));
        put(out, ": ", json_integer_value(count), "");
        between = ", ";
    }
    if (json_object_size(by_cpu) > 0)
        text_append_char(out, ')');
}

/* What the enricher has counted and what it was told do not agree. */
static bool append_faults(struct text *out, const json_t *sequence, const json_t *books)
{
    json_int_t missing = number(sequence, "unexplained") + number(sequence, "unexplained_before");
    json_int_t untold = number(sequence, "untold");
    bool emitted = !json_is_false(json_object_get(books, "balanced")) &&
                   !json_is_false(json_object_get(books, "reasons_balanced"));

    if (missing > 0) {
        put(out, "! the books do not balance: ", missing,
            " records are missing and no report accounts for them");
        put_by_cpu(out, json_object_get(sequence, "unexplained_by_cpu"));
        text_append_char(out, '\n');
    }
    if (untold > 0)
        put(out, "! the books do not balance: ", untold,
            " records more were reported lost than are missing: please report this\n");
    if (!emitted)
        text_append_string(out,
            "! the books do not balance: events received are not those emitted, held and dropped: please "
            "report this\n");
    return missing > 0 || untold > 0 || !emitted;
}

void status_append_balance(struct text *out, const json_t *status)
{
    const json_t *sequence = json_object_get(status, "sequence"), *books = json_object_get(status, "books");
    json_int_t received = number(sequence, "received"), lost = number(sequence, "told_lost");
    json_int_t made = number(json_object_get(status, "collector"), "made"), used = number(sequence, "used");

    if (append_faults(out, sequence, books) || !json_is_object(sequence) || !json_is_object(books))
        return;
    if (made < used || !json_is_true(json_object_get(sequence, "whole")))
        made = used;
    put(out, "books balance: ", made, " records made");
    put(out, " = ", received, " received");
    put(out, " + ", lost, " reported lost");
    put(out, " + ", made - received - lost, " on their way");
    put(out, "; ", number(books, "received"), " events");
    put(out, " = ", number(books, "emitted"), " emitted");
    put(out, " + ", number(books, "held"), " held");
    put(out, " + ", number(books, "dropped"), " dropped\n");
}
