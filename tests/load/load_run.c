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

#define TICK_NS        (1 * NS_PER_MS)
#define CLOSED_BATCH   256
#define CLOSED_NAP_NS  (100 * NS_PER_US)
#define SAMPLE_NS      (500 * NS_PER_MS)
#define ATTACH_WAIT_S  60
#define DRAIN_WAIT_S   90
#define LIMIT_TRIES    24
#define LIMIT_DELAY_NS (100 * NS_PER_MS)

static int fail(int r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(int r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fprintf(stderr, "podkin-load: ");
    (void)vfprintf(stderr, format, args);
    (void)fprintf(stderr, "\n");
    va_end(args);
    return r;
}

static void nap_until(uint64_t boot_ns)
{
    const struct timespec until = {
        .tv_sec = (time_t)(boot_ns / NS_PER_SEC), .tv_nsec = (long)(boot_ns % NS_PER_SEC)};

    (void)clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL);
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
        nap_until(clock_boot_ns() + SAMPLE_NS);
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

static int write_pods(struct load_run *run, bool none)
{
    char path[200], temporary[210];
    CLEANUP_FILE FILE *file = NULL;
    int r;

    (void)snprintf(path, sizeof(path), "%s/pods.json", run->enricher.folder);
    (void)snprintf(temporary, sizeof(temporary), "%s.new", path);
    file = fopen(temporary, "we");
    if (!file)
        return -errno;
    r = none ? (fputs("{\"items\":[]}\n", file) < 0 ? -EIO : 0) : load_model_write_pods(run->model, file);
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
            return fail(r, "the enricher cannot be served: %s", strerror(-r));
        if (!load_enricher_is_running(&run->enricher))
            return fail(-ECHILD, "the enricher ended at once; see %s/enricher.log", run->enricher.folder);
        if (clock_boot_ns() > end_ns)
            return fail(-ETIMEDOUT, "the enricher did not attach within %d s", ATTACH_WAIT_S);
        nap_until(clock_boot_ns() + TICK_NS);
    }
    while (load_enricher_sample(&run->enricher, &run->first) < 0) {
        if (clock_boot_ns() > end_ns || !load_enricher_is_running(&run->enricher))
            return fail(-ETIMEDOUT, "the enricher does not answer on its socket");
        nap_until(clock_boot_ns() + 20 * TICK_NS);
    }
    return 0;
}

int load_run_open(struct load_run *run, const struct load_conf *conf, const char *program, const char *folder)
{
    char path[200];
    int r;

    *run = (struct load_run){.conf = conf, .stage = LOAD_STAGE_EMPTY, .mutex = PTHREAD_MUTEX_INITIALIZER};
    (void)snprintf(run->enricher.folder, sizeof(run->enricher.folder), "%s", folder);
    (void)snprintf(path, sizeof(path), "%s/collector.sock", folder);
    r = load_model_new(&run->model, conf, clock_boot_ns());
    if (r == 0)
        r = load_stage_open(&run->stage, run->model, path, conf->queue_bytes);
    if (r < 0)
        return fail(r, "%s: %s", path, strerror(-r));
    r = write_pods(run, conf->metadata_delay_ns > 0);
    if (r < 0)
        return fail(r, "%s/pods.json: %s", folder, strerror(-r));
    r = load_standin_start(&run->standin, conf, folder);
    if (r == -ENOENT)
        return fail(r, "--standin: its program is not beside this one");
    if (r < 0)
        return fail(r, "the stand-in does not start: %s; see %s/standin.log", strerror(-r), folder);
    r = load_enricher_start(&run->enricher, conf, program, folder, run->standin.source);
    if (r < 0)
        return fail(r, "%s: %s", program, strerror(-r));
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
    free(run->points);
    run->points = NULL;
    return status;
}

/* ---- the load ----------------------------------------------------------------------------------------------------- */

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

static void keep_up_with_pods(struct load_run *run, struct pace *pace, uint64_t now_ns)
{
    bool told = !pace->metadata_ns;

    if (!told && now_ns >= pace->metadata_ns) {
        pace->metadata_ns = 0;
        (void)write_pods(run, false);
    }
    if (!run->conf->churn_ns || now_ns < pace->next_churn_ns)
        return;
    pace->next_churn_ns += run->conf->churn_ns;
    load_model_replace_pod(run->model, now_ns, load_stage_put, &run->stage);
    if (told)
        (void)write_pods(run, false);
}

static void put_next(struct load_run *run, uint64_t time_ns)
{
    const struct record_header *record = load_model_next(run->model, time_ns);

    (void)load_stage_put(record, record->size, &run->stage);
}

static void publish_numbers(struct load_run *run)
{
    run->offered_now = run->stage.offered;
    run->backlog_now = load_stage_backlog_bytes(&run->stage);
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
    nap_until(now_ns - (now_ns - pace->start_ns) % TICK_NS + TICK_NS);
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
        nap_until(now_ns + CLOSED_NAP_NS);
    }
}

static int pour(struct load_run *run, uint64_t rate, uint64_t duration_ns)
{
    struct pace pace = {.start_ns = clock_boot_ns(), .rate = rate};
    uint64_t now_ns, turned_ns = 0;

    pace.end_ns = pace.start_ns + duration_ns;
    pace.next_churn_ns = pace.start_ns + run->conf->churn_ns;
    if (run->conf->metadata_delay_ns)
        pace.metadata_ns = pace.start_ns + run->conf->metadata_delay_ns;
    while ((now_ns = clock_boot_ns()) < pace.end_ns) {
        if (now_ns - turned_ns >= TICK_NS) {
            int r = load_stage_turn(&run->stage);

            if (r < 0)
                return r;
            if (!load_stage_is_attached(&run->stage) && !load_enricher_is_running(&run->enricher))
                return fail(
                    -ECHILD, "the enricher ended under the load; see %s/enricher.log", run->enricher.folder);
            turned_ns = now_ns;
        }
        if (rate)
            tick_open(run, &pace, now_ns);
        else
            tick_closed(run, &pace, now_ns);
        publish_numbers(run);
    }
    if (pace.metadata_ns)
        (void)write_pods(run, false);
    return 0;
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
static int drain(struct load_run *run)
{
    uint64_t start_ns = clock_boot_ns(), end_ns = start_ns + DRAIN_WAIT_S * NS_PER_SEC;
    struct load_sample *last = &run->last;

    run->totals.drained = false;
    while (!run->totals.drained && clock_boot_ns() < end_ns) {
        int r = load_stage_turn(&run->stage);

        load_stage_begin(&run->stage); /* waiting LOST records go out */
        load_stage_end(&run->stage);
        publish_numbers(run);
        count(run);
        if (r == 0)
            r = load_enricher_sample(&run->enricher, last);
        if (r < 0)
            return fail(r, "the enricher does not answer any more: %s", strerror(-r));
        run->totals.drained = last->received - run->first.received == run->totals.published_events &&
                              last->held == 0 && run->backlog_now == 0;
        nap_until(clock_boot_ns() + 5 * TICK_NS);
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
        r = pour(run, run->conf->rate, run->conf->duration_ns);
    run->totals.duration_ns = clock_boot_ns() - run->start_ns;
    if (r == 0)
        r = drain(run);
    run->totals.own_cpu_us = own_cpu_us() - cpu_us;
    stop_looking(run);
    return r;
}

/* ---- the limit ---------------------------------------------------------------------------------------------------- */

/* Whether the enricher kept up. */
static int try_rate(struct load_run *run, uint64_t rate, bool *ret_held)
{
    uint64_t offered = run->stage.offered, refused = run->totals.refused, start_ns = clock_boot_ns(), ns,
             backlog;
    double real, delay_ms;
    int r = pour(run, rate, run->conf->duration_ns);

    if (r < 0)
        return r;
    backlog = run->backlog_now;
    ns = clock_boot_ns() - start_ns;
    offered = run->stage.offered - offered;
    r = drain(run);
    if (r < 0)
        return r;
    real = (double)offered * 1e9 / (double)ns;
    delay_ms = backlog ? (double)run->totals.drained_ns / 1e6 : 0;
    *ret_held = run->totals.refused == refused && delay_ms < (double)LIMIT_DELAY_NS / 1e6 &&
                real > 0.98 * (double)rate;
    (void)printf("%10llu events/s: sent %9.0f/s, refused %llu, %6.1f ms behind at the end: %s\n",
        (unsigned long long)rate, real, (unsigned long long)(run->totals.refused - refused), delay_ms,
        *ret_held ? "held" : "too much");
    (void)fflush(stdout);
    return 0;
}

uint64_t load_run_find_limit(struct load_run *run)
{
    uint64_t held = 0, failed = 0, rate = run->conf->rate ? run->conf->rate : 100000;

    run->start_ns = clock_boot_ns();
    for (int i = 0; i < LIMIT_TRIES && !(failed && failed - held <= held / 25); i++) {
        bool ok = false;

        if (try_rate(run, rate, &ok) < 0)
            break;
        if (ok)
            held = rate;
        else
            failed = rate;
        rate = !failed ? rate * 2 : (held + failed) / 2;
        if (failed && !held && failed < 1000)
            break;
    }
    return held;
}
