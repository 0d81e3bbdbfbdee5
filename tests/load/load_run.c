/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/load_run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/load/load_pour.h"

#define TICK_NS       (1 * NS_PER_MS)
#define SAMPLE_NS     (500 * NS_PER_MS)
#define ATTACH_WAIT_S 60
#define DRAIN_WAIT_S  90

int load_run_fail(int r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fprintf(stderr, "podkin-load: ");
    (void)vfprintf(stderr, format, args);
    (void)fprintf(stderr, "\n");
    va_end(args);
    return r;
}

static uint64_t own_cpu_us(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* ---- looking ------------------------------------------------------------------------------------------------------ */

static void show(const struct load_run *run, const struct load_point *now, const struct load_point *before)
{
    uint64_t ns = now->sample.time_ns - before->sample.time_ns;

    if (run->quiet || ns == 0)
        return;
    (void)fprintf(stderr,
        "%6.1f s  sent %8.0f/s  written %8.0f/s  held %7llu  queue %6.1f MiB  memory %6.1f MiB  CPU %3.0f %% "
        " lost %llu\n",
        (double)(now->sample.time_ns - run->start_ns) / 1e9,
        (double)(now->offered - before->offered) * 1e9 / (double)ns,
        (double)(now->sample.emitted - before->sample.emitted) * 1e9 / (double)ns,
        (unsigned long long)now->sample.held, (double)now->backlog_bytes / 1048576,
        (double)now->sample.rss_bytes / 1048576,
        (double)(now->sample.cpu_user_us + now->sample.cpu_system_us - before->sample.cpu_user_us -
                 before->sample.cpu_system_us) *
            1e5 / (double)ns,
        (unsigned long long)now->sample.lost_records);
}

static int add_point(struct load_run *run, const struct load_point *point)
{
    if (run->point_count == run->point_room) {
        size_t room = run->point_room ? run->point_room * 2 : 256;
        struct load_point *points = reallocarray(run->points, room, sizeof(*points));

        if (!points)
            return -ENOMEM;
        run->points = points;
        run->point_room = room;
    }
    run->points[run->point_count++] = *point;
    return 0;
}

static bool sampler_is_wanted(struct load_run *run)
{
    bool wanted;

    (void)pthread_mutex_lock(&run->mutex);
    wanted = !run->stop_sampling;
    (void)pthread_mutex_unlock(&run->mutex);
    return wanted;
}

static void *look(void *arg)
{
    struct load_run *run = arg;
    struct load_point point = {.sample = run->first}, shown = point;

    while (sampler_is_wanted(run)) {
        load_nap_until(clock_boot_ns() + SAMPLE_NS);
        if (load_enricher_sample(&run->enricher, &point.sample) < 0)
            continue;
        point.offered = run->offered_now;
        point.backlog_bytes = run->backlog_now;
        point.own_cpu_us = own_cpu_us();
        (void)pthread_mutex_lock(&run->mutex);
        (void)add_point(run, &point);
        (void)pthread_mutex_unlock(&run->mutex);
        if (point.sample.time_ns - shown.sample.time_ns >= 2 * SAMPLE_NS - SAMPLE_NS / 4) {
            show(run, &point, &shown);
            shown = point;
        }
    }
    return NULL;
}

static int start_looking(struct load_run *run)
{
    int r = pthread_create(&run->sampler, NULL, look, run);

    run->sampling = r == 0;
    return -r;
}

static void stop_looking(struct load_run *run)
{
    if (!run->sampling)
        return;
    (void)pthread_mutex_lock(&run->mutex);
    run->stop_sampling = true;
    (void)pthread_mutex_unlock(&run->mutex);
    (void)pthread_join(run->sampler, NULL);
    run->sampling = run->stop_sampling = false;
}

/* ---- start and end ------------------------------------------------------------------------------------------------ */

int load_run_write_pods(struct load_run *run, bool none)
{
    char path[200], temporary[210];
    CLEANUP_FILE FILE *file = NULL;
    int r;

    (void)snprintf(path, sizeof(path), "%s/pods.json", run->enricher.folder);
    (void)snprintf(temporary, sizeof(temporary), "%s.new", path);
    file = fopen(temporary, "we");
    if (!file)
        return -errno;
    r = none          ? (fputs("{\"items\":[]}\n", file) < 0 ? -EIO : 0)
        : run->replay ? load_replay_write_pods(run->replay, file)
                      : load_model_write_pods(run->model, file);
    if (r == 0 && fflush(file) != 0)
        r = -errno;
    return r == 0 && rename(temporary, path) < 0 ? -errno : r;
}

static int wait_for_attachment(struct load_run *run)
{
    uint64_t end_ns = clock_boot_ns() + ATTACH_WAIT_S * NS_PER_SEC;

    while (!load_stage_is_attached(&run->stage)) {
        int r = load_stage_turn(&run->stage);

        if (r < 0)
            return load_run_fail(r, "the enricher cannot be served: %s", strerror(-r));
        if (!load_enricher_is_running(&run->enricher))
            return load_run_fail(
                -ECHILD, "the enricher ended at once; see %s/enricher.log", run->enricher.folder);
        if (clock_boot_ns() > end_ns)
            return load_run_fail(-ETIMEDOUT, "the enricher did not attach within %d s", ATTACH_WAIT_S);
        load_nap_until(clock_boot_ns() + TICK_NS);
    }
    while (load_enricher_sample(&run->enricher, &run->first) < 0) {
        if (clock_boot_ns() > end_ns || !load_enricher_is_running(&run->enricher))
            return load_run_fail(-ETIMEDOUT, "the enricher does not answer on its socket");
        load_nap_until(clock_boot_ns() + 20 * TICK_NS);
    }
    return 0;
}

static int snapshot(void *arg, uint64_t now_ns, load_model_fn *fn, void *fn_arg)
{
    struct load_run *run = arg;

    return run->replay ? load_replay_snapshot(run->replay, fn, fn_arg)
                       : load_model_snapshot(run->model, now_ns, fn, fn_arg);
}

/* Where the records come from. */
static int open_source(struct load_run *run)
{
    const struct load_conf *conf = run->conf;
    char error[RECORDING_ERROR_MAX] = "";
    int r;

    if (conf->replay) {
        r = load_replay_open(&run->replay, conf->replay, conf->replay_speed > 0 ? conf->replay_speed : 1,
            clock_boot_ns(), conf->seed, error);
        return r < 0 ? load_run_fail(r, "--replay: %s: %s", conf->replay, error) : 0;
    }
    r = load_model_new(&run->model, conf, clock_boot_ns());
    return r < 0 ? load_run_fail(r, "%s", strerror(-r)) : 0;
}

int load_run_open(struct load_run *run, const struct load_conf *conf, const char *program, const char *folder)
{
    char path[200];
    int r;

    *run = (struct load_run){.conf = conf, .stage = LOAD_STAGE_EMPTY, .mutex = PTHREAD_MUTEX_INITIALIZER};
    (void)snprintf(run->enricher.folder, sizeof(run->enricher.folder), "%s", folder);
    (void)snprintf(path, sizeof(path), "%s/collector.sock", folder);
    r = open_source(run);
    if (r < 0)
        return r; /* said */
    r = load_stage_open(&run->stage, path, conf->queue_bytes);
    if (r < 0)
        return load_run_fail(r, "%s: %s", path, strerror(-r));
    run->stage.snapshot = snapshot;
    run->stage.snapshot_arg = run;
    if (run->replay)
        run->stage.cgroup_hierarchy = load_replay_header(run->replay)->cgroup_hierarchy;
    r = load_run_write_pods(run, conf->metadata_delay_ns > 0);
    if (r < 0)
        return load_run_fail(r, "%s/pods.json: %s", folder, strerror(-r));
    r = load_standin_start(&run->standin, conf, folder);
    if (r == -ENOENT)
        return load_run_fail(r, "--standin: its program is not beside this one");
    if (r < 0)
        return load_run_fail(r, "the stand-in does not start: %s; see %s/standin.log", strerror(-r), folder);
    r = load_enricher_start(&run->enricher, conf, program, folder, run->standin.source);
    if (r < 0)
        return load_run_fail(r, "%s: %s", program, strerror(-r));
    return wait_for_attachment(run);
}

int load_run_close(struct load_run *run)
{
    int status;

    stop_looking(run);
    status = load_enricher_stop(&run->enricher);
    load_standin_stop(&run->standin);
    load_stage_close(&run->stage);
    run->model = load_model_free(run->model);
    run->replay = load_replay_free(run->replay);
    free(run->points);
    run->points = NULL;
    return status;
}

void load_run_publish_numbers(struct load_run *run)
{
    run->offered_now = run->stage.offered;
    run->backlog_now = load_stage_backlog_bytes(&run->stage);
}

/* ---- what came of it ---------------------------------------------------------------------------------------------- */

static bool is_event(unsigned type)
{
    return type == RECORD_FORK || type == RECORD_EXEC || type == RECORD_EXIT || type == RECORD_HOOK ||
           type == RECORD_LOST;
}

static void count(struct load_run *run)
{
    const struct queue_books *books = &run->stage.intake.books;
    struct load_totals *totals = &run->totals;

    totals->offered = run->stage.offered;
    totals->published = totals->refused = totals->published_events = 0;
    for (unsigned type = 0; type < RECORD_TYPE_SLOTS; type++) {
        totals->published += books->published[type];
        totals->refused += books->refused_queue[type];
        totals->published_events += is_event(type) ? books->published[type] : 0;
    }
}

/* Until everything that was published has been written, or it is clear that it will not be. */
int load_run_drain(struct load_run *run)
{
    uint64_t start_ns = clock_boot_ns(), end_ns = start_ns + DRAIN_WAIT_S * NS_PER_SEC;
    struct load_sample *last = &run->last;

    run->totals.drained = false;
    while (!run->totals.drained && clock_boot_ns() < end_ns) {
        int r = load_stage_turn(&run->stage);

        load_stage_begin(&run->stage); /* waiting LOST records go out */
        load_stage_end(&run->stage);
        load_run_publish_numbers(run);
        count(run);
        if (r == 0)
            r = load_enricher_sample(&run->enricher, last);
        if (r < 0)
            return load_run_fail(r, "the enricher does not answer any more: %s", strerror(-r));
        run->totals.drained = last->received - run->first.received == run->totals.published_events &&
                              last->held == 0 && run->backlog_now == 0;
        load_nap_until(clock_boot_ns() + 5 * TICK_NS);
    }
    run->totals.drained_ns = clock_boot_ns() - start_ns;
    run->totals.balanced =
        last->balanced && last->received - run->first.received == run->totals.published_events;
    return 0;
}

int load_run_go(struct load_run *run)
{
    uint64_t cpu_us = own_cpu_us();
    int r;

    run->start_ns = clock_boot_ns();
    r = start_looking(run);
    if (r == 0)
        r = load_run_pour(run, run->conf->rate, run->conf->duration_ns);
    run->totals.duration_ns = clock_boot_ns() - run->start_ns;
    if (r == 0)
        r = load_run_drain(run);
    run->totals.own_cpu_us = own_cpu_us() - cpu_us;
    stop_looking(run);
    return r;
}
