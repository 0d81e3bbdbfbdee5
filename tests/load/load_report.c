/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/load_report.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"

#define GROWTH_RUN_NS (60 * NS_PER_SEC)

static double per_event(const struct load_run *run, double value)
{
    return run->last.emitted ? value / (double)run->last.emitted : 0;
}

static double seconds(const struct load_run *run)
{
    return (double)(run->totals.duration_ns + run->totals.drained_ns) / 1e9;
}

static unsigned long long n(uint64_t value)
{
    return (unsigned long long)value;
}

static double mean_rss(const struct load_run *run, size_t from, size_t to)
{
    double sum = 0;

    for (size_t i = from; i < to; i++)
        sum += (double)run->points[i].sample.rss_bytes;
    return sum / (double)(to - from);
}

/* The mean of the last sixth against that of the sixth behind the first third; what came before is warming up. */
static double rss_growth_percent(const struct load_run *run)
{
    size_t count = run->point_count;

    if (run->totals.duration_ns < GROWTH_RUN_NS || count < 12)
        return 0;
    return (mean_rss(run, count - count / 6, count) / mean_rss(run, count / 3, count / 2) - 1) * 100;
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

static void head_text(const struct load_run *run, FILE *to)
{
    const struct load_conf *c = run->conf;
    double ran = (double)run->totals.duration_ns / 1e9;

    if (run->replay) {
        (void)fprintf(to, "recording of %llu records", n(load_replay_record_count(run->replay)));
        if (load_replay_torn_bytes(run->replay))
            (void)fprintf(
                to, " (and %llu bytes of one that is not whole)", n(load_replay_torn_bytes(run->replay)));
        if (c->replay_speed > 0)
            (void)fprintf(to, ", open loop, %g times as fast", c->replay_speed);
        else
            (void)fprintf(to, ", closed loop");
        (void)fprintf(
            to, ", %.1f s, seed %llu; %llu Pods\n", ran, n(c->seed), n(load_replay_pod_count(run->replay)));
        return;
    }
    if (c->rate)
        (void)fprintf(to, "open loop, %llu events/s", n(c->rate));
    else
        (void)fprintf(to, "closed loop");
    (void)fprintf(to, ", %.1f s, seed %llu; %llu Pods of %llu containers of %llu processes\n", ran,
        n(c->seed), n(c->pods), n(c->containers), n(c->processes));
}

static void latency_text(FILE *to, const char *what, const struct load_latency *l)
{
    (void)fprintf(to, "%-13s p50 %llu us, p90 %llu, p99 %llu, p99.9 %llu, p99.99 %llu, most %llu (of %llu)\n",
        what, n(l->p50_us), n(l->p90_us), n(l->p99_us), n(l->p999_us), n(l->p9999_us), n(l->max_us),
        n(l->count));
}

static void drops_text(const struct load_sample *s, FILE *to)
{
    (void)fprintf(to, "dropped       %12llu", n(s->dropped));
    for (size_t i = 0; i < s->drops.count; i++)
        if (s->drops.list[i].events)
            (void)fprintf(to, ", %llu %s", n(s->drops.list[i].events), s->drops.list[i].reason);
    (void)fputc('\n', to);
}

/* Without the right to count them all, read- and write-like ones only. */
static double calls_per_event(const struct load_run *run)
{
    const struct load_sample *s = &run->last, *f = &run->first;

    return per_event(
        run, (double)(s->syscalls_known ? s->syscalls - f->syscalls : s->calls_io - f->calls_io));
}

static const char *calls_words(const struct load_run *run)
{
    return run->last.syscalls_known ? "system calls" : "read and write calls (/proc/PID/io)";
}

static void enricher_text(const struct load_run *run, FILE *to)
{
    const struct load_sample *s = &run->last, *f = &run->first;
    uint64_t user = s->cpu_user_us - f->cpu_user_us, system = s->cpu_system_us - f->cpu_system_us;
    uint64_t given_up = s->switches_voluntary - f->switches_voluntary;
    uint64_t taken_away = s->switches_involuntary - f->switches_involuntary;

    (void)fprintf(to, "\nenricher      %.2f s CPU (%.2f user, %.2f system), %.0f ns an event\n",
        (double)(user + system) / 1e6, (double)user / 1e6, (double)system / 1e6,
        per_event(run, (double)(user + system) * 1000));
    (void)fprintf(to, "              %.1f MiB memory at the end, %.1f at most",
        (double)s->rss_bytes / 1048576, (double)s->rss_max_bytes / 1048576);
    if (run->totals.duration_ns >= GROWTH_RUN_NS)
        (void)fprintf(to, ", %+.1f %% since the first third", rss_growth_percent(run));
    (void)fputc('\n', to);
    (void)fprintf(to,
        "              %llu switches given up, %llu taken away, %.4f an event; %.4f %s an event\n",
        n(given_up), n(taken_away), per_event(run, (double)(given_up + taken_away)), calls_per_event(run),
        calls_words(run));
}

void load_report_text(const struct load_run *run, FILE *to)
{
    const struct load_totals *t = &run->totals;
    const struct load_sample *s = &run->last, *f = &run->first;

    head_text(run, to);
    (void)fprintf(
        to, "\nsent          %12llu records, %llu of them events\n", n(t->offered), n(t->published_events));
    (void)fprintf(to, "refused       %12llu (queue full)\n", n(t->refused));
    (void)fprintf(to, "received      %12llu\n", n(s->received - f->received));
    (void)fprintf(to, "emitted       %12llu lines, %.0f bytes each\n", n(s->emitted),
        s->lines ? (double)s->bytes / (double)s->lines : 0);
    (void)fprintf(to, "held          %12llu at the end, %llu at most\n", n(s->held), n(s->held_max));
    drops_text(s, to);
    (void)fprintf(to,
        "without Pod   %12llu, %llu without the container's name; %llu at their deadline, %llu for want of "
        "room\n",
        n(s->without_pod), n(s->pod_only), n(s->expired), n(s->evicted));
    (void)fprintf(to, "books         %12s\n", t->balanced ? "balanced" : "NOT BALANCED");
    (void)fprintf(to, "\nthroughput    %12.0f events/s, of %.1f s in all\n",
        (double)s->emitted / seconds(run), seconds(run));
    latency_text(to, "to the line", &s->write);
    latency_text(to, "release", &s->release);
    enricher_text(run, to);
    (void)fprintf(to, "podkin-load   %.2f s CPU, %.0f ns a record\n", (double)t->own_cpu_us / 1e6,
        t->offered ? (double)t->own_cpu_us * 1000 / (double)t->offered : 0);
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static void set(json_t *object, const char *key, uint64_t value)
{
    (void)json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *profile_of(const struct load_run *run)
{
    const struct load_conf *c = run->conf;
    json_t *object = json_object();

    set(object, "rate", c->rate);
    set(object, "duration_ms", c->duration_ns / NS_PER_MS);
    set(object, "seed", c->seed);
    set(object, "pods", c->pods);
    set(object, "containers", c->containers);
    set(object, "processes", c->processes);
    set(object, "metadata_delay_ms", c->metadata_delay_ns / NS_PER_MS);
    set(object, "churn_ms", c->churn_ns / NS_PER_MS);
    set(object, "burst_ms", c->burst_ns / NS_PER_MS);
    set(object, "pause_ms", c->pause_ns / NS_PER_MS);
    set(object, "weight_spawn", c->weight_spawn);
    set(object, "weight_worker", c->weight_worker);
    set(object, "weight_deep", c->weight_deep);
    set(object, "weight_hook", c->weight_hook);
    set(object, "queue_bytes", c->queue_bytes);
    if (run->replay) {
        set(object, "replay_records", load_replay_record_count(run->replay));
        set(object, "replay_pods", load_replay_pod_count(run->replay));
        (void)json_object_set_new(object, "replay_speed", json_real(c->replay_speed));
    }
    return object;
}

static void set_latency(json_t *object, const char *what, const struct load_latency *l)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"count", l->count}, {"p50_us", l->p50_us}, {"p90_us", l->p90_us}, {"p99_us", l->p99_us},
        {"p999_us", l->p999_us}, {"p9999_us", l->p9999_us}, {"max_us", l->max_us}};
    char key[40];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)snprintf(key, sizeof(key), "%s_%s", what, rows[i].name);
        set(object, key, rows[i].value);
    }
}

static void set_drops(json_t *object, const struct load_drops *drops)
{
    char key[48];

    for (size_t i = 0; i < drops->count; i++) {
        (void)snprintf(key, sizeof(key), "%s%s",
            strncmp(drops->list[i].reason, "dropped_", 8) == 0 ? "" : "dropped_", drops->list[i].reason);
        set(object, key, drops->list[i].events);
    }
}

static json_t *result_of(const struct load_run *run)
{
    const struct load_totals *t = &run->totals;
    const struct load_sample *s = &run->last, *f = &run->first;
    json_t *object = json_object();

    set(object, "sent", t->offered);
    set(object, "sent_events", t->published_events);
    set(object, "refused", t->refused);
    set(object, "received", s->received - f->received);
    set(object, "emitted", s->emitted);
    set(object, "held", s->held);
    set(object, "held_max", s->held_max);
    set(object, "dropped", s->dropped);
    set_drops(object, &s->drops);
    set(object, "released_at_deadline", s->expired);
    set(object, "released_for_want_of_room", s->evicted);
    set(object, "lost_records", s->lost_records);
    set(object, "without_pod", s->without_pod);
    set(object, "pod_only", s->pod_only);
    (void)json_object_set_new(object, "balanced", json_boolean(t->balanced));
    (void)json_object_set_new(object, "drained", json_boolean(t->drained));
    (void)json_object_set_new(object, "events_per_second", json_real((double)s->emitted / seconds(run)));
    set(object, "bytes", s->bytes);
    set_latency(object, "write", &s->write);
    set_latency(object, "release", &s->release);
    set(object, "cpu_user_us", s->cpu_user_us - f->cpu_user_us);
    set(object, "cpu_system_us", s->cpu_system_us - f->cpu_system_us);
    set(object, "own_cpu_us", t->own_cpu_us);
    set(object, "rss_bytes", s->rss_bytes);
    set(object, "rss_max_bytes", s->rss_max_bytes);
    (void)json_object_set_new(object, "rss_growth_percent", json_real(rss_growth_percent(run)));
    set(object, "switches_voluntary", s->switches_voluntary - f->switches_voluntary);
    set(object, "switches_involuntary", s->switches_involuntary - f->switches_involuntary);
    (void)json_object_set_new(object, s->syscalls_known ? "syscalls_per_event" : "proc_io_calls_per_event",
        json_real(calls_per_event(run)));
    (void)json_object_set_new(object, "cpu_ns_per_event",
        json_real(per_event(
            run, (double)(s->cpu_user_us + s->cpu_system_us - f->cpu_user_us - f->cpu_system_us) * 1000)));
    (void)json_object_set_new(object, "own_cpu_ns_per_record",
        json_real(t->offered ? (double)t->own_cpu_us * 1000 / (double)t->offered : 0));
    return object;
}

static json_t *curve_of(const struct load_run *run)
{
    json_t *list = json_array();

    for (size_t i = 0; i < run->point_count; i++) {
        const struct load_point *p = &run->points[i];
        json_t *point = json_object();

        set(point, "ms", (p->sample.time_ns - run->start_ns) / NS_PER_MS);
        set(point, "sent", p->offered);
        set(point, "emitted", p->sample.emitted);
        set(point, "held", p->sample.held);
        set(point, "backlog_bytes", p->backlog_bytes);
        set(point, "rss_bytes", p->sample.rss_bytes);
        set(point, "cpu_us", p->sample.cpu_user_us + p->sample.cpu_system_us);
        set(point, "write_p50_us", p->sample.write.p50_us);
        set(point, "write_p99_us", p->sample.write.p99_us);
        set(point, "release_p99_us", p->sample.release.p99_us);
        set(point, "lost_records", p->sample.lost_records);
        (void)json_array_append_new(list, point);
    }
    return list;
}

static json_t *report_of(const struct load_run *run)
{
    json_t *object = json_object();

    (void)json_object_set_new(object, "podkin_load", json_string(PODKIN_VERSION));
    (void)json_object_set_new(object, "profile", profile_of(run));
    (void)json_object_set_new(object, "result", result_of(run));
    (void)json_object_set_new(object, "curve", curve_of(run));
    return object;
}

int load_report_write(const struct load_run *run, FILE *to, size_t flags)
{
    json_t *report = report_of(run);
    int r = json_dumpf(report, to, flags);

    json_decref(report);
    return r < 0 ? -EIO : 0;
}

int load_report_json(const struct load_run *run, const char *path)
{
    CLEANUP_FILE FILE *file = fopen(path, "we");
    int r;

    if (!file)
        return -errno;
    r = load_report_write(run, file, JSON_INDENT(2));
    return r < 0 || fputc('\n', file) == EOF || fflush(file) ? -EIO : 0;
}

/* ---- thresholds --------------------------------------------------------------------------------------------------- */

static unsigned judge(FILE *to, const char *what, uint64_t is, uint64_t most)
{
    if (is <= most)
        return 0;
    (void)fprintf(to, "failed: %s %llu, at most %llu wanted\n", what, n(is), n(most));
    return 1;
}

unsigned load_report_judge(const struct load_run *run, FILE *to)
{
    const struct load_conf *c = run->conf;
    uint64_t p99_limit_us = c->fail_p99_ns == UINT64_MAX ? UINT64_MAX : c->fail_p99_ns / NS_PER_US;
    unsigned failed = 0;

    if (!run->totals.balanced) {
        (void)fprintf(to, "failed: the books do not balance\n");
        failed++;
    }
    if (!run->totals.drained) {
        (void)fprintf(to, "failed: events were left over at the end\n");
        failed++;
    }
    failed += judge(to, "lost records:", run->totals.refused, c->fail_lost);
    failed += judge(to, "99th percentile to the line, us:", run->last.write.p99_us, p99_limit_us);
    failed += judge(to, "events without their Pod:", run->last.without_pod, c->fail_without_pod);
    failed += judge(to, "memory of the enricher, bytes:", run->last.rss_max_bytes, c->fail_rss_bytes);
    if (c->fail_rss_growth != UINT64_MAX && rss_growth_percent(run) > (double)c->fail_rss_growth) {
        (void)fprintf(to, "failed: memory of the enricher grew by %.1f %%, at most %llu %% wanted\n",
            rss_growth_percent(run), n(c->fail_rss_growth));
        failed++;
    }
    return failed;
}
