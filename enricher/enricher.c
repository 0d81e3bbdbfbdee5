/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/enricher.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/text.h"
#include "enricher/confine.h"
#include "enricher/control.h"
#include "enricher/http.h"
#include "enricher/loop.h"
#include "enricher/metrics.h"
#include "enricher/output.h"
#include "enricher/pod_feed.h"

#define HOUSEKEEPING_NS  NS_PER_SEC
#define READY_SOURCES_NS (10 * NS_PER_SEC)
#define CONTROL_ATTEMPTS 20
#define CONTROL_PAUSE_NS (50 * NS_PER_MS)

static void ask_sources(void *arg)
{
    struct enricher *e = arg;

    for (size_t i = 0; i < e->source_count; i++) {
        if (e->sources[i]->ops->ask)
            e->sources[i]->ops->ask(e->sources[i]);
    }
}

/* ---- time, signals ---------------------------------------------------------------------------------------- */

static bool source_has_answered(const struct enricher *e, uint64_t now_ns)
{
    bool answered = e->source_count == 0 || now_ns - e->started_ns > READY_SOURCES_NS;

    for (size_t i = 0; i < e->source_count && !answered; i++) {
        struct source_state state;

        e->sources[i]->ops->get_state(e->sources[i], &state);
        answered = state.last_success_ns != 0;
    }
    return answered;
}

/* Ready: attached, and a source has answered or was given its time; or there is no collector yet, as it starts after us (it is to end before us). */
static void tell_manager(struct enricher *e, uint64_t now_ns)
{
    bool ready = e->attached_ns ? source_has_answered(e, now_ns) : e->collector_absent;
    char state[128];

    notify_watchdog(&e->notify, now_ns);
    if (!ready || (e->ready_told && e->attached_told == (e->attached_ns != 0)))
        return;
    if (e->attached_ns)
        (void)snprintf(state, sizeof(state), "READY=1\nSTATUS=attached to the collector (%s)",
            e->attachment.message.hook_kind);
    else
        (void)snprintf(state, sizeof(state), "READY=1\nSTATUS=waiting for the collector");
    e->ready_told = true;
    e->attached_told = e->attached_ns != 0;
    (void)notify_send(&e->notify, state);
}

/* Said once when it begins, and when it is over. */
static void watch_control(struct enricher *e)
{
    int error = e->control ? control_error(e->control) : 0;

    if (error && !e->control_error)
        log_warning("events-socket '%s': %s: viewers wait, and it is tried again", e->conf->events_socket,
            strerror(error));
    else if (!error && e->control_error)
        log_info("events-socket '%s': viewers are taken again", e->conf->events_socket);
    e->control_error = error;
}

static void on_housekeeping(void *arg, uint64_t now_ns)
{
    struct enricher *e = arg;

    tell_manager(e, now_ns);
    books_look(e, now_ns);
    consumer_look(e);
    watch_control(e);
    if (e->lane.output_gone) {
        e->result = -EPIPE;
        e->stop = true;
    }
    loop_timer_arm(e->lane.loop, &e->housekeeping_timer, now_ns + HOUSEKEEPING_NS);
}

static void reopen(void *arg, struct lane *lane)
{
    (void)arg;
    output_reopen(lane->output);
}

static void on_signal(void *arg, uint32_t events)
{
    struct enricher *e = arg;
    struct signalfd_siginfo info;

    (void)events;
    while (read(e->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP)
            crew_run(e->crew, &e->lane, reopen, NULL);
        else
            e->stop = true;
    }
}

static int open_signals(struct enricher *e)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    e->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (e->signal_fd < 0)
        return -errno;
    return loop_poll_start(e->lane.loop, &e->signal_poll, e->signal_fd, POLLIN);
}

/* ---- start and stop ------------------------------------------------------------------------------------------ */

static void on_control(void *arg, const char *verb, const char *argument, struct text *reply)
{
    struct enricher *e = arg;

    crew_rest(e->crew);
    if (!strcmp(verb, "explain"))
        explain_write(e, argument, reply);
    else if (!strcmp(verb, "coverage"))
        coverage_write(e, reply);
    else
        status_write(e, reply);
    crew_go(e->crew);
}

static void on_metrics(void *arg, struct text *out)
{
    struct enricher *e = arg;

    crew_rest(e->crew);
    metrics_write(e, out);
    crew_go(e->crew);
}

static int open_metrics(struct enricher *e)
{
    const char *address = e->conf->metrics_listen;
    int r = address ? metrics_server_new(&e->metrics, e->lane.loop, address, on_metrics, e) : 0;

    if (r < 0)
        log_error("metrics-listen '%s': %s", address, strerror(-r));
    return r;
}

static int open_source(struct enricher *e, const char *kind_where, struct source **ret)
{
    const char *where = strchr(kind_where, ':') + 1;

    if (!strncmp(kind_where, "file:", 5))
        return source_file_new(ret, e->lane.loop, e->lane.pods, where);
    if (!strncmp(kind_where, "logdir:", 7))
        return source_logdir_new(ret, e->lane.loop, e->lane.pods, where);
    if (!strncmp(kind_where, "apiserver:", 10))
        return source_apiserver_new(
            ret, e->lane.loop, e->http, e->lane.pods, where, e->conf->node_name, e->conf->insecure);
    return source_kubelet_new(ret, e->lane.loop, e->http, e->lane.pods, where, &e->conf->tls);
}

static int open_sources(struct enricher *e)
{
    const struct option_list *list = &e->conf->sources;
    char error[OPTIONS_ERROR_MAX];
    int r = http_new(&e->http, e->lane.loop);

    for (size_t i = 0; r == 0 && i < list->count; i++) {
        r = open_source(e, list->items[i], &e->sources[i]);
        if (r < 0)
            log_error("source '%s': %s", list->items[i], strerror(-r));
        else
            e->source_count++;
    }
    if (list->count == 0)
        log_warning(
            "no --source is given: no Pod can be named, and what runs in one waits until its deadline");
    if (conf_check_files(e->conf, error) < 0)
        log_warning("source: %s (it is tried again)", error);
    if (e->conf->insecure)
        log_warning("insecure-skip-tls-verify: whoever stands between here and the kubelet can name Pods");
    return r;
}

/* A viewer's stream has one section at a time, lanes that normalise have one each: what they define is in their files. Of a predecessor that was killed a
 * moment ago the kernel may still hold the socket: it lets go of what an io_uring watched by and by. */
static int open_control(struct enricher *e)
{
    const struct control_options options = {.path = e->conf->events_socket,
        .answer = on_control,
        .arg = e,
        .no_events =
            "several lanes write normalised lines, which are read from their files: podkin events FILE"};
    const struct timespec pause = {.tv_nsec = CONTROL_PAUSE_NS};
    bool shown = e->conf->lanes == 1 || e->conf->format != CONF_FORMAT_NORMALISED;
    int r = -EADDRINUSE;

    for (unsigned i = 0; r == -EADDRINUSE && i <= CONTROL_ATTEMPTS; i++) {
        if (i > 0)
            (void)nanosleep(&pause, NULL);
        r = control_new(&e->control, e->lane.loop, shown ? e->lane.output : NULL, &options);
    }
    if (r < 0)
        log_error("events-socket '%s': %s", e->conf->events_socket, strerror(-r));
    return r;
}

/* ---- the other lanes ---------------------------------------------------------------------------------------- */

size_t enricher_lane_count(const struct enricher *e)
{
    return 1 + crew_size(e->crew);
}

struct lane *enricher_lane(struct enricher *e, size_t index)
{
    return index == 0 ? &e->lane : crew_lane(e->crew, index - 1);
}

static void on_lines(void *arg, const char *data, size_t size)
{
    struct enricher *e = arg;

    output_show(e->lane.output, data, size);
}

static void on_room(void *arg)
{
    struct enricher *e = arg;

    if (e->lane.queue)
        queue_consumer_gather(e->lane.queue);
}

static void on_failed(void *arg, int r)
{
    struct enricher *e = arg;

    e->result = r;
    e->stop = true;
}

static int open_crew(struct enricher *e)
{
    const struct crew_hooks hooks = {
        .ask = ask_sources, .lines = on_lines, .room = on_room, .failed = on_failed, .arg = e};
    int r = crew_new(&e->crew, e->conf, (uint32_t)e->conf->lanes, e->lane.loop, &hooks);

    if (r == 0)
        pod_feed_start(e->lane.pods, e->crew);
    return r;
}

static void prepare(struct enricher *e, struct conf *conf)
{
    *e = (struct enricher){.conf = conf,
        .signal_fd = -1,
        .asked_fd = -1,
        .notify = NOTIFY_EMPTY,
        .attachment = ATTACHMENT_EMPTY,
        .started_ns = clock_boot_ns()};
    e->signal_poll = (struct loop_poll){.fn = on_signal, .arg = e, .fd = -1};
    e->housekeeping_timer = (struct loop_timer){.fn = on_housekeeping, .arg = e};
}

int enricher_init(struct enricher *e, struct conf *conf)
{
    const struct lane_owner owner = {.ask = ask_sources, .arg = e};
    int r;

    prepare(e, conf);
    r = lane_init(&e->lane, conf, (struct lane_of){0, (uint32_t)conf->lanes}, &owner);
    if (r < 0)
        return r;
    r = books_init(e);
    if (r == 0)
        r = open_signals(e);
    if (r < 0) {
        log_error("start: %s", strerror(-r));
        return r;
    }
    if (conf->lanes > 1)
        r = open_crew(e);
    if (r == 0)
        r = open_sources(e);
    if (r < 0)
        return r;
    if (conf->events_socket[0])
        r = open_control(e);
    if (r == 0)
        r = open_metrics(e);
    if (r < 0)
        return r;
    r = notify_open(&e->notify);
    if (r < 0)
        log_warning("cannot talk to the service manager: %s", strerror(-r));
    consumer_init(e);
    log_info("loop: %s", loop_describe(e->lane.loop));
    return 0;
}

struct confine_job {
    const struct conf *conf;
    _Atomic int result;
};

static void confine_lane(void *arg, struct lane *lane)
{
    struct confine_job *job = arg;
    int r = lane->of.index > 0 ? confine_thread(job->conf) : 0;

    if (r < 0)
        atomic_store_explicit(&job->result, r, memory_order_relaxed);
}

int enricher_confine(struct enricher *e)
{
    struct confine_job job = {.conf = e->conf};

    crew_run(e->crew, &e->lane, confine_lane, &job);
    if (job.result < 0) {
        log_error("sandbox: a lane's thread: %s", strerror(-job.result));
        return job.result;
    }
    return confine_enricher(e->conf);
}

int enricher_run(struct enricher *e)
{
    lane_start(&e->lane);
    loop_timer_arm(e->lane.loop, &e->housekeeping_timer, clock_boot_ns() + HOUSEKEEPING_NS);
    while (!e->stop) {
        bool more = lane_read(&e->lane);
        int r;

        lane_turn(&e->lane);
        more |= consumer_turn(e);
        if (!e->ready_told)
            tell_manager(e, clock_boot_ns());
        crew_set_viewers(e->crew, output_has_viewers(e->lane.output));
        if (e->stop)
            break;
        r = lane_wait(&e->lane, more);
        if (r < 0)
            return r;
    }
    (void)notify_send(&e->notify, "STOPPING=1");
    return e->result;
}

static void write_out(void *arg, struct lane *lane)
{
    (void)arg;
    if (lane->output)
        lane_write_out(lane);
}

static uint64_t count_held(struct enricher *e)
{
    uint64_t held = 0;

    crew_rest(e->crew);
    for (size_t i = 0; i < enricher_lane_count(e); i++)
        held += enricher_lane(e, i)->hold ? pipeline_held(&enricher_lane(e, i)->pipeline) : 0;
    crew_go(e->crew);
    return held;
}

void enricher_deinit(struct enricher *e)
{
    uint64_t held;

    crew_run(e->crew, &e->lane, write_out, NULL);
    held = count_held(e);
    if (e->lane.loop) { /* it turns once more for the output, when the rest is gone */
        consumer_detach(e);
        lane_stop(&e->lane);
        notify_close(&e->notify);
        loop_timer_disarm(e->lane.loop, &e->attach_timer);
        loop_timer_disarm(e->lane.loop, &e->look_timer);
        loop_timer_disarm(e->lane.loop, &e->housekeeping_timer);
    }
    if (held > 0 && e->hold_epoch_ns) { /* a collector that is away as well finds the store again */
        crew_abandon(e->crew);
        log_info("%llu held events stay in the hold store for the next enricher", (unsigned long long)held);
        return; /* the process ends; taking the pipeline down would take them out of the store */
    }
    e->control = control_free(e->control);
    e->metrics = metrics_server_free(e->metrics);
    for (size_t i = 0; i < e->source_count; i++)
        e->sources[i] = e->sources[i]->ops->free(e->sources[i]);
    e->http = http_free(e->http);
    stores_free(e);
    e->crew = crew_free(e->crew);
    lane_deinit(&e->lane);
    books_deinit(e);
    fd_close(&e->signal_fd);
}
