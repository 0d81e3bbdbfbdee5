/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A whole enricher without a collector, for what looks into it: records are given to its pipeline by hand. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "enricher/enricher.h"
#include "enricher/output.h"
#include "tests/unit/make_record.h"

#define UID_A   "11111111-1111-4111-8111-111111111111"
#define ID_A    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CG_HOST 1
#define CG_A    100
#define CG_ODD  101 /* of that Pod, in no container */

#define KEY(tgid, start_ns) ((struct make_key){tgid, start_ns})
#define NONE                KEY(0, 0)
#define INIT                KEY(1, 1)
#define A1                  KEY(1001, 10)
#define A2                  KEY(1002, 20)

#define STR(literal) ((char *)(literal))

static struct enricher enricher;
static struct conf conf;
static struct make_record record;

static inline int enricher_kit_conf(const char *option, const char *value)
{
    char *words[] = {STR("podkin-enricher"), STR("--socket"), STR("/nonexistent/collector.sock"),
        STR("--events-socket"), STR("none"), STR("--node-name"), STR("node1"), (char *)option, (char *)value,
        NULL};
    char error[OPTIONS_ERROR_MAX];

    log_init("test", LOG_LEVEL_ERROR);
    return conf_init(&conf, option ? 9 : 7, words, error);
}

static inline void feed(const struct record_header *header)
{
    int r = pipeline_record(&enricher.lane.pipeline, header, clock_boot_ns());

    while (r == -EAGAIN) { /* as the loop would: the output writes */
        output_flush(enricher.lane.output);
        cr_assert_eq(loop_run_once(enricher.lane.loop, clock_boot_ns() + NS_PER_MS), 0);
        r = pipeline_record(&enricher.lane.pipeline, header, clock_boot_ns());
    }
    cr_assert_eq(r, 0);
}

static inline void enricher_kit_start(const char *option, const char *value)
{
    cr_assert_eq(enricher_kit_conf(option, value), 0);
    cr_assert_eq(enricher_init(&enricher, &conf), 0);
    feed(make_cgroup(&record, RECORD_CGROUP_MKDIR, CG_HOST, NONE, 1, "/"));
    feed(make_cgroup(&record, RECORD_CGROUP_MKDIR, CG_A, NONE, 1, "/kubepods/pod" UID_A "/" ID_A));
    feed(make_cgroup(&record, RECORD_CGROUP_MKDIR, CG_ODD, NONE, 1, "/kubepods/pod" UID_A));
}

static inline void enricher_kit_stop(void)
{
    enricher_deinit(&enricher);
    conf_deinit(&conf);
}

static inline void tell_pod(const char *name, const char *container_id)
{
    struct pod_container container = {.name = STR("main"), .id = (char *)container_id};
    struct pod pod = {.uid = STR(UID_A),
        .namespace_ = STR("shop"),
        .name = (char *)name,
        .containers = &container,
        .container_count = 1};

    cr_assert_eq(pod_table_merge(enricher.lane.pods, POD_SOURCE_KUBELET, &pod, clock_boot_ns()), 0);
    pipeline_turn(&enricher.lane.pipeline, clock_boot_ns());
}

/* Takes the text. */
static inline json_t *parse_reply(struct text *reply)
{
    json_error_t error;
    json_t *object = json_loadb(reply->data, reply->size, JSON_REJECT_DUPLICATES, &error);

    cr_assert(!reply->failed);
    cr_assert_not_null(object, "%s: %.*s", error.text, (int)reply->size, reply->data);
    cr_assert_null(memchr(reply->data, '\n', reply->size), "more than one line");
    text_deinit(reply);
    return object;
}
