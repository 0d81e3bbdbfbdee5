/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/load_pour.h"

#include <errno.h>
#include <time.h>

#include "common/clock.h"

#define TICK_NS       (1 * NS_PER_MS)
#define CLOSED_BATCH  256
#define CLOSED_NAP_NS (100 * NS_PER_US)

void load_nap_until(uint64_t boot_ns)
{
    const struct timespec until = {
        .tv_sec = (time_t)(boot_ns / NS_PER_SEC), .tv_nsec = (long)(boot_ns % NS_PER_SEC)};

    (void)clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL);
}

struct pace {
    uint64_t start_ns, end_ns, next_churn_ns, metadata_ns; /* metadata_ns 0: told */
    uint64_t rate, sent;
};

/* Of the time since the start, what was burst and not pause. */
static uint64_t active_ns(const struct load_conf *conf, uint64_t elapsed_ns)
{
    uint64_t cycle = conf->burst_ns + conf->pause_ns, rest;

    if (!conf->burst_ns)
        return elapsed_ns;
    rest = elapsed_ns % cycle;
    return elapsed_ns / cycle * conf->burst_ns + (rest < conf->burst_ns ? rest : conf->burst_ns);
}

/* When record `i` is due: the inverse of the above. */
static uint64_t due_ns(const struct load_conf *conf, const struct pace *pace, uint64_t i)
{
    uint64_t active = (uint64_t)((double)i * 1e9 / (double)pace->rate);

    if (!conf->burst_ns)
        return pace->start_ns + active;
    return pace->start_ns + active / conf->burst_ns * (conf->burst_ns + conf->pause_ns) +
           active % conf->burst_ns;
}

static void tell_pods_when_due(struct load_run *run, struct pace *pace, uint64_t now_ns)
{
    if (pace->metadata_ns && now_ns >= pace->metadata_ns) {
        pace->metadata_ns = 0;
        (void)load_run_write_pods(run, false);
    }
}

static void keep_up_with_pods(struct load_run *run, struct pace *pace, uint64_t now_ns)
{
    bool told = !pace->metadata_ns;

    tell_pods_when_due(run, pace, now_ns);
    if (!run->conf->churn_ns || now_ns < pace->next_churn_ns)
        return;
    pace->next_churn_ns += run->conf->churn_ns;
    load_model_replace_pod(run->model, now_ns, load_stage_put, &run->stage);
    if (told)
        (void)load_run_write_pods(run, false);
}

static void put_next(struct load_run *run, uint64_t time_ns)
{
    const struct record_header *record = load_model_next(run->model, time_ns);

    (void)load_stage_put(record, record->size, &run->stage);
}

static void tick_open(struct load_run *run, struct pace *pace, uint64_t now_ns)
{
    /* Record i is due at i / rate: the first at once. */
    uint64_t until =
        1 + (uint64_t)((double)active_ns(run->conf, now_ns - pace->start_ns) * (double)pace->rate / 1e9);

    load_stage_begin(&run->stage);
    keep_up_with_pods(run, pace, now_ns);
    for (; pace->sent < until; pace->sent++)
        put_next(run, due_ns(run->conf, pace, pace->sent));
    load_stage_end(&run->stage);
    load_nap_until(now_ns - (now_ns - pace->start_ns) % TICK_NS + TICK_NS);
}

/* As tick_open(): what is due by now, with the time at which it was due. False: that was all. */
static bool tick_replay(struct load_run *run, const struct pace *pace, uint64_t now_ns)
{
    const struct record_header *record;
    uint64_t since_ns = 0;

    load_stage_begin(&run->stage);
    while ((record = load_replay_peek(run->replay, &since_ns)) && pace->start_ns + since_ns <= now_ns) {
        record = load_replay_take(run->replay, pace->start_ns + since_ns);
        (void)load_stage_put(record, record->size, &run->stage);
    }
    load_stage_end(&run->stage);
    if (record)
        load_nap_until(now_ns - (now_ns - pace->start_ns) % TICK_NS + TICK_NS);
    return record;
}

/* As fast as they are taken. */
static bool tick_replay_closed(struct load_run *run, uint64_t now_ns)
{
    const struct record_header *record = NULL;
    bool room;

    load_stage_begin(&run->stage);
    room = load_stage_backlog_bytes(&run->stage) < run->conf->queue_bytes / 4;
    for (unsigned i = 0; room && i < CLOSED_BATCH && (record = load_replay_take(run->replay, now_ns + i));
         i++)
        (void)load_stage_put(record, record->size, &run->stage);
    load_stage_end(&run->stage);
    if (!room)
        load_nap_until(now_ns + CLOSED_NAP_NS);
    return !room || record;
}

static void tick_closed(struct load_run *run, struct pace *pace, uint64_t now_ns)
{
    load_stage_begin(&run->stage);
    keep_up_with_pods(run, pace, now_ns);
    if (load_stage_backlog_bytes(&run->stage) < run->conf->queue_bytes / 4) {
        for (unsigned i = 0; i < CLOSED_BATCH; i++, pace->sent++)
            put_next(run, now_ns + i);
        load_stage_end(&run->stage);
    } else {
        load_stage_end(&run->stage);
        load_nap_until(now_ns + CLOSED_NAP_NS);
    }
}

static bool go_on_with_replay(struct load_run *run, struct pace *pace, uint64_t now_ns)
{
    tell_pods_when_due(run, pace, now_ns);
    return run->conf->replay_speed > 0 ? tick_replay(run, pace, now_ns) : tick_replay_closed(run, now_ns);
}

int load_run_pour(struct load_run *run, uint64_t rate, uint64_t duration_ns)
{
    struct pace pace = {.start_ns = clock_boot_ns(), .rate = rate};
    uint64_t now_ns, turned_ns = 0;
    bool more = true;

    pace.end_ns = duration_ns ? pace.start_ns + duration_ns : UINT64_MAX;
    pace.next_churn_ns = pace.start_ns + run->conf->churn_ns;
    if (run->conf->metadata_delay_ns)
        pace.metadata_ns = pace.start_ns + run->conf->metadata_delay_ns;
    while (more && (now_ns = clock_boot_ns()) < pace.end_ns) {
        if (now_ns - turned_ns >= TICK_NS) {
            int r = load_stage_turn(&run->stage);

            if (r < 0)
                return r;
            if (!load_stage_is_attached(&run->stage) && !load_enricher_is_running(&run->enricher))
                return load_run_fail(
                    -ECHILD, "the enricher ended under the load; see %s/enricher.log", run->enricher.folder);
            turned_ns = now_ns;
        }
        if (run->replay)
            more = go_on_with_replay(run, &pace, now_ns);
        else if (rate)
            tick_open(run, &pace, now_ns);
        else
            tick_closed(run, &pace, now_ns);
        load_run_publish_numbers(run);
    }
    if (pace.metadata_ns)
        (void)load_run_write_pods(run, false);
    return 0;
}
