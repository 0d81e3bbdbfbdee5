/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/load_conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/queue_layout.h"
#include "tests/load/standin_delay.h"
#include "tests/load/standin_fault.h"

#define SPECS_MAX    48
#define RATE_UNSET   UINT64_MAX
#define RATE_DEFAULT 10000

static const char *const standins[] = {[LOAD_STANDIN_NONE] = "none",
    [LOAD_STANDIN_KUBELET] = "kubelet",
    [LOAD_STANDIN_APISERVER] = "apiserver",
    NULL};

static size_t list(struct load_conf *c, struct option_spec specs[SPECS_MAX])
{
    const struct option_spec all[] = {
        {"config", OPTION_STRING, &c->profile, "FILE", "a profile: keys are the options below", NULL, 0, 0},
        {"enricher", OPTION_STRING, &c->enricher, "PATH",
            "the program under test (podkin-enricher beside this one)", NULL, 0, 0},
        {"enricher-option", OPTION_STRINGS, &c->enricher_options, "OPTION", "handed on to it, repeatable",
            NULL, 0, 0},
        {"folder", OPTION_STRING, &c->folder, "DIR",
            "for sockets and output; kept (a new one under /tmp, removed)", NULL, 0, 0},
        {"json", OPTION_STRING, &c->json, "FILE", "report as JSON", NULL, 0, 0},
        {"html", OPTION_STRING, &c->html, "FILE", "report as one page that opens offline", NULL, 0, 0},
        {"replay", OPTION_STRING, &c->replay, "FILE",
            "a recording of podkin-collector's in place of made-up records", NULL, 0, 0},
        {"replay-speed", OPTION_STRING, &c->replay_speed_text, "FACTOR|max",
            "2: twice as fast; max: as fast as they are taken (1)", NULL, 0, 0},
        {"rate", OPTION_COUNT, &c->rate, "N", "events a second, open loop; 0: as many as are taken (10000)",
            NULL, 0, 100000000},
        {"duration", OPTION_DURATION, &c->duration_ns, "DURATION",
            "of the load (10s; of a recording: all of it; of a try of --find-limit: 3s)", NULL, NS_PER_SEC,
            86400 * NS_PER_SEC},
        {"seed", OPTION_COUNT, &c->seed, "N", "the same seed makes the same records (1)", NULL, 0, 0},
        {"pods", OPTION_COUNT, &c->pods, "N", "on the node (100)", NULL, 1, 2000},
        {"containers", OPTION_COUNT, &c->containers, "N", "of each Pod (3)", NULL, 1, 16},
        {"processes", OPTION_COUNT, &c->processes, "N", "of each container, at the beginning (10)", NULL, 1,
            10000},
        {"metadata-delay", OPTION_DURATION, &c->metadata_delay_ns, "DURATION", "until the Pods are told (0)",
            NULL, 0, 3600 * NS_PER_SEC},
        {"standin", OPTION_CHOICE, &c->standin, "none|kubelet|apiserver",
            "who tells of the Pods, none: a file (none)", standins, 0, 0},
        {"standin-delay", OPTION_STRING, &c->standin_delay, "DELAY",
            "each Pod is told so late: " STANDIN_DELAY_EXPECTED, NULL, 0, 0},
        {"standin-fault", OPTION_STRINGS, &c->standin_faults, "WHAT=WHEN",
            "repeatable: " STANDIN_FAULT_EXPECTED, NULL, 0, 0},
        {"churn", OPTION_DURATION, &c->churn_ns, "DURATION",
            "every so often a Pod goes and another comes; 0: never (0)", NULL, 0, 3600 * NS_PER_SEC},
        {"burst", OPTION_DURATION, &c->burst_ns, "DURATION", "the rate holds for so long …; 0: always (0)",
            NULL, 0, 3600 * NS_PER_SEC},
        {"pause", OPTION_DURATION, &c->pause_ns, "DURATION", "… then there is nothing for so long (0)", NULL,
            0, 3600 * NS_PER_SEC},
        {"weight-spawn", OPTION_COUNT, &c->weight_spawn, "N", "share of short lives: fork, exec, exit (1)",
            NULL, 0, 1000},
        {"weight-worker", OPTION_COUNT, &c->weight_worker, "N",
            "share of workers: fork, and an older one's exit (0)", NULL, 0, 1000},
        {"weight-deep", OPTION_COUNT, &c->weight_deep, "N", "share of deep trees (0)", NULL, 0, 1000},
        {"weight-hook", OPTION_COUNT, &c->weight_hook, "N", "share of hook events of living processes (0)",
            NULL, 0, 1000},
        {"queue-size", OPTION_SIZE, &c->queue_bytes, "BYTES", "of the queue (64M)", NULL,
            QUEUE_DATA_BYTES_MIN, QUEUE_DATA_BYTES_MAX},
        {"find-limit", OPTION_FLAG, &c->find_limit, NULL,
            "raise the rate until events are lost or late, and say where", NULL, 0, 0},
        {"limit-rounds", OPTION_COUNT, &c->limit_rounds, "N", "how often the limit is looked for (3)", NULL,
            1, LOAD_LIMIT_ROUNDS_MAX},
        {"of-limit", OPTION_COUNT, &c->of_limit, "PERCENT",
            "finds the limit first, and takes so much of it for the rate", NULL, 1, 100},
        {"fail-lost", OPTION_COUNT, &c->fail_lost, "N", "exit status 1 when more records were lost (0)", NULL,
            0, 0},
        {"fail-p99", OPTION_DURATION, &c->fail_p99_ns, "DURATION",
            "… when the 99th percentile to the line is above (none)", NULL, 0, 3600 * NS_PER_SEC},
        {"fail-without-pod", OPTION_COUNT, &c->fail_without_pod, "N",
            "… when more events left without their Pod (none)", NULL, 0, 0},
        {"fail-rss", OPTION_SIZE, &c->fail_rss_bytes, "BYTES",
            "… when the enricher needed more memory (none)", NULL, 0, 0},
        {"fail-rss-growth", OPTION_COUNT, &c->fail_rss_growth, "PERCENT",
            "… when it grew by more from the first third of a run of a minute or more to its end (none)",
            NULL, 0, 0},
        {"version", OPTION_FLAG, &c->version, NULL, "print the version", NULL, 0, 0},
        {"help", OPTION_FLAG, &c->help, NULL, "print this", NULL, 0, 0},
    };

    _Static_assert(sizeof(all) / sizeof(all[0]) <= SPECS_MAX, "room");
    memcpy(specs, all, sizeof(all));
    return sizeof(all) / sizeof(all[0]);
}

static uint64_t round_up(uint64_t bytes)
{
    uint64_t power = 1;

    while (power < bytes)
        power <<= 1;
    return power;
}

static int complete_replay(struct load_conf *conf, char error[OPTIONS_ERROR_MAX])
{
    const char *text = conf->replay_speed_text;
    char *end;

    conf->rate_given = conf->rate != RATE_UNSET;
    if (!conf->rate_given)
        conf->rate = RATE_DEFAULT;
    if (!conf->duration_ns && !conf->replay && !conf->find_limit)
        conf->duration_ns = 10 * NS_PER_SEC;
    if (conf->rate_given || conf->replay || conf->find_limit)
        conf->of_limit = 0;
    conf->replay_speed = 1;
    if (text && strcmp(text, "max") == 0) {
        conf->replay_speed = 0;
    } else if (text) {
        conf->replay_speed = strtod(text, &end);
        if (end == text || *end || !(conf->replay_speed >= 0.001 && conf->replay_speed <= 1000)) {
            (void)snprintf(
                error, OPTIONS_ERROR_MAX, "--replay-speed: '%.100s': expected 0.001 to 1000, or max", text);
            return -EINVAL;
        }
    }
    if ((text && !conf->replay) || (conf->find_limit && conf->replay)) {
        (void)snprintf(
            error, OPTIONS_ERROR_MAX, "--replay-speed goes with --replay, and --find-limit without");
        return -EINVAL;
    }
    return 0;
}

static int check_standin(const struct load_conf *conf, char error[OPTIONS_ERROR_MAX])
{
    struct standin_faults faults = {0};
    struct standin_delay delay;

    if (!conf->standin && (conf->standin_delay || conf->standin_faults.count)) {
        (void)snprintf(
            error, OPTIONS_ERROR_MAX, "--standin-delay, --standin-fault: expected --standin with them");
        return -EINVAL;
    }
    if (conf->standin_delay && standin_delay_parse(conf->standin_delay, &delay) < 0) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "--standin-delay: '%.100s': expected %s",
            conf->standin_delay, STANDIN_DELAY_EXPECTED);
        return -EINVAL;
    }
    for (size_t i = 0; i < conf->standin_faults.count; i++) {
        if (standin_faults_add(&faults, conf->standin_faults.items[i]) == 0)
            continue;
        (void)snprintf(error, OPTIONS_ERROR_MAX, "--standin-fault: '%.100s': expected %s",
            conf->standin_faults.items[i], STANDIN_FAULT_EXPECTED);
        return -EINVAL;
    }
    return 0;
}

int load_conf_read(struct load_conf *ret, int argc, char **argv, char error[OPTIONS_ERROR_MAX])
{
    struct option_spec specs[SPECS_MAX];
    size_t count = list(ret, specs);
    int rest = 0, r;

    *ret = (struct load_conf){.rate = RATE_UNSET,
        .limit_rounds = 3,
        .fail_rss_growth = UINT64_MAX,
        .seed = 1,
        .pods = 100,
        .containers = 3,
        .processes = 10,
        .weight_spawn = 1,
        .queue_bytes = UINT64_C(64) << 20,
        .fail_p99_ns = UINT64_MAX,
        .fail_without_pod = UINT64_MAX,
        .fail_rss_bytes = UINT64_MAX};
    r = options_parse(specs, count, argc, argv, &rest, error);
    if (r < 0 || ret->help || ret->version)
        return r;
    if (rest > 0) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "'%s': expected no further words; see --help", argv[1]);
        return -EINVAL;
    }
    if (!(ret->weight_spawn + ret->weight_worker + ret->weight_deep + ret->weight_hook)) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "--weight-…: expected at least one above 0");
        return -EINVAL;
    }
    if (!ret->burst_ns != !ret->pause_ns) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "--burst and --pause: expected both or none");
        return -EINVAL;
    }
    ret->queue_bytes = round_up(ret->queue_bytes);
    r = complete_replay(ret, error);
    return r < 0 ? r : check_standin(ret, error);
}

void load_conf_print_help(void)
{
    struct option_spec specs[SPECS_MAX];
    struct load_conf none = {0};

    options_print_help(specs, list(&none, specs));
}

void load_conf_deinit(struct load_conf *conf)
{
    char **strings[] = {&conf->profile, &conf->enricher, &conf->folder, &conf->json, &conf->html,
        &conf->standin_delay, &conf->replay, &conf->replay_speed_text};

    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        free(*strings[i]);
        *strings[i] = NULL;
    }
    option_list_deinit(&conf->enricher_options);
    option_list_deinit(&conf->standin_faults);
}
