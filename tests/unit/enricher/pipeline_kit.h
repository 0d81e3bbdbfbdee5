/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The pipeline with its real tables, hold store and rendering, for the tests of its parts; only the output is a list of lines that can be full, and time is turned
 * by hand. With KIT_FORMAT=normalised in the environment, or kit.normalised, the lines are those that the normalised ones expand to. A program that uses none of this gets none of it, and with it the real output.
 */
#include <criterion/criterion.h>
#include <jansson.h>

#include "common/clock.h"
#include "enricher/output.h"
#include "enricher/pipeline.h"
#include "tests/unit/make_record.h"

#define UID_A   "11111111-1111-4111-8111-111111111111"
#define UID_B   "22222222-2222-4222-8222-222222222222"
#define ID_A    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define PATH_A  "/kubepods/pod" UID_A "/" ID_A
#define PATH_B  "/kubepods/pod" UID_B "/" ID_B
#define CG_A    100
#define CG_B    200
#define CG_HOST 1
#define SEC     NS_PER_SEC

#define KEY(tgid, start_ns) ((struct make_key){tgid, start_ns})
#define NONE                KEY(0, 0)
#define INIT                KEY(1, 1)
#define A1                  KEY(1001, 10)
#define A2                  KEY(1002, 20)
#define A3                  KEY(1003, 30)
#define B1                  KEY(2001, 40)

/* struct pod owns its strings; here it borrows. */
#define STR(literal) ((char *)(literal))

#define KIT_LINES_MAX 20000

struct kit_expander;

struct kit {
    struct pipeline_options options;
    struct render_options render;
    struct hold_limits limits;
    struct lane_of lane;
    struct emit emit;
    struct pipeline pipeline;
    struct pod_table *pods;
    struct hold *hold;
    unsigned asks;
    uint64_t now;
    struct make_record record;  /* for make_…() */
    char *lines[KIT_LINES_MAX]; /* but pod_update */
    size_t line_count;
    char *updates[KIT_LINES_MAX];        /* pod_update */
    size_t update_behind[KIT_LINES_MAX]; /* so many lines had left before it */
    size_t update_count;
    size_t
        room; /* lines that the output still takes; what normalised lines are apart from events is no such line */
    bool normalised;
    struct kit_expander *expander;
    enum output_section section_due; /* until one is begun */
    unsigned sections, definitions;
    unsigned refuse_after; /* so many definitions from now a line is refused, once; 0: none */
    bool refused;          /* it was */
};
extern struct kit kit;

void kit_setup(void); /* default options, then kit_start() */
void kit_start(
    void); /* with what stands in options, render, limits and lane; the cgroups A, B and HOST are known */
void kit_stop(void);     /* forgets the lines, too */
void kit_teardown(void); /* the same, for a test suite */

int kit_try(const struct record_header *record); /* what pipeline_record() says */
void kit_feed(const struct record_header *record);
void kit_pass(uint64_t ns);
/* The Pod has one container, of this id (NULL: none), a label and a workload. */
void kit_tell_pod(const char *uid, const char *name, const char *container_id);

/* A line as JSON: to be unreferenced. Fails on what is no JSON, has a key twice, or breaks the rules of every line. */
json_t *kit_parse(size_t index);
json_t *kit_parse_update(size_t index);
json_t *kit_at(json_t *line, const char *a, const char *b, const char *c); /* b, c may be NULL */
const char *kit_string(
    json_t *line, const char *a, const char *b, const char *c); /* "" where there is none */
/* Event name, pod_state and Pod name of the process of a line. */
void kit_expect_state(size_t index, const char *event, const char *state, const char *pod);
void kit_sum_coverage(struct coverage_tally *ret); /* all that was ever counted */
void kit_expect_balanced(void);                    /* E3, V1 */

/* pipeline_kit_expand.c: the reader has names that jansson has, too. */
struct kit_expander *kit_expander_new(void);
struct kit_expander *kit_expander_free(struct kit_expander *expander);
/* The full line, owned by the caller; NULL: it is none by itself. Fails on what cannot be expanded. */
char *kit_expander_read(struct kit_expander *expander, const char *line, size_t size);
