/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/enricher.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/text.h"
#include "enricher/control.h"
#include "enricher/http.h"
#include "enricher/loop.h"
#include "enricher/metrics.h"
#include "enricher/output.h"

#define HOUSEKEEPING_NS  NS_PER_SEC
#define READY_SOURCES_NS (10 * NS_PER_SEC)

static void ask_sources(void *arg)
{
    struct enricher *e = arg;

    for (size_t i = 0; i < e->source_count; i++) {
        if (e->sources[i]->ops->ask)
            e->sources[i]->ops->ask(e->sources[i]);
    }
}

static void on_pod_changed(void *arg, struct pod *pod)
{
    struct enricher *e = arg;

    pipeline_pod_changed(&e->pipeline, pod, clock_boot_ns());
}

/* ---- time, signals ---------------------------------------------------------------------------------------- */

/* Said once when it begins, and when it is over. Standard output without a reader never comes back: whoever started us shall know. */
static void watch_output(struct enricher *e, uint64_t now_ns)
{
    const char *path = e->conf->output_path;
    struct output_state state;

    if (!path)
        return;
    output_get_state(e->output, &state);
    if (state.last_error == e->output_error)
        return;
    if (state.last_error == EPIPE && !strcmp(path, "-")) {
        log_error(
            "output '-': nobody reads standard output any more; what is not written stays in the queue");
        e->result = -EPIPE;
        e->stop = true;
    } else if (state.last_error) {
        log_warning("output '%s': %s; events wait in the queue and it is tried again", path,
            strerror(state.last_error));
    } else {
        log_info("output '%s': written again, after %llu s", path,
            (unsigned long long)((now_ns - e->output_error_ns) / NS_PER_SEC));
    }
    if (!e->output_error)
        e->output_error_ns = now_ns;
    e->output_error = state.last_error;
}

/* Ready: attached, and a source has answered or was given its time. */
static void tell_manager(struct enricher *e, uint64_t now_ns)
{
    bool answered = e->source_count == 0 || now_ns - e->started_ns > READY_SOURCES_NS;
    char status[128];

    for (size_t i = 0; i < e->source_count && !answered; i++) {
        struct source_state state;

        e->sources[i]->ops->get_state(e->sources[i], &state);
        answered = state.last_success_ns != 0;
    }
    notify_watchdog(&e->notify, now_ns);
    if (e->ready_told || !e->attached_ns || !answered)
        return;
    e->ready_told = true;
    (void)snprintf(status, sizeof(status), "READY=1\nSTATUS=attached to the collector (%s)",
        e->attachment.message.hook_kind);
    (void)notify_send(&e->notify, status);
}

static void on_housekeeping(void *arg, uint64_t now_ns)
{
    struct enricher *e = arg;

    emit_update_clock(&e->emit);
    watch_output(e, now_ns);
    tell_manager(e, now_ns);
    pod_table_expire(e->pods, now_ns);
    loop_timer_arm(e->loop, &e->housekeeping_timer, now_ns + HOUSEKEEPING_NS);
}

static void on_pipeline_timer(void *arg, uint64_t now_ns)
{
    (void)arg; /* being awake is all: enricher_run() turns the pipeline */
    (void)now_ns;
}

static void on_progress(void *arg)
{
    (void)arg; /* likewise */
}

static void on_signal(void *arg, uint32_t events)
{
    struct enricher *e = arg;
    struct signalfd_siginfo info;

    (void)events;
    while (read(e->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP)
            output_reopen(e->output);
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
    return loop_poll_start(e->loop, &e->signal_poll, e->signal_fd, POLLIN);
}

/* ---- start and stop ------------------------------------------------------------------------------------------ */

static void on_control(void *arg, const char *verb, const char *argument, struct text *reply)
{
    struct enricher *e = arg;

    if (!strcmp(verb, "explain"))
        explain_write(e, argument, reply);
    else if (!strcmp(verb, "coverage"))
        coverage_write(e, reply);
    else
        status_write(e, reply);
}

static void on_metrics(void *arg, struct text *out)
{
    metrics_write(arg, out);
}

static int open_metrics(struct enricher *e)
{
    const char *address = e->conf->metrics_listen;
    int r = address ? metrics_server_new(&e->metrics, e->loop, address, on_metrics, e) : 0;

    if (r < 0)
        log_error("metrics-listen '%s': %s", address, strerror(-r));
    return r;
}

static int open_source(struct enricher *e, const char *kind_where, struct source **ret)
{
    const char *where = strchr(kind_where, ':') + 1;

    if (!strncmp(kind_where, "file:", 5))
        return source_file_new(ret, e->loop, e->pods, where);
    if (!strncmp(kind_where, "logdir:", 7))
        return source_logdir_new(ret, e->loop, e->pods, where);
    if (!strncmp(kind_where, "apiserver:", 10))
        return source_apiserver_new(
            ret, e->loop, e->http, e->pods, where, e->conf->node_name, e->conf->insecure);
    return source_kubelet_new(ret, e->loop, e->http, e->pods, where, &e->conf->tls);
}

static int open_sources(struct enricher *e)
{
    const struct option_list *list = &e->conf->sources;
    char error[OPTIONS_ERROR_MAX];
    int r = http_new(&e->http, e->loop);

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

static int read_boot_id(char boot_id[40])
{
    FILE *file CLEANUP_FILE = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (!file || !fgets(boot_id, 40, file))
        return -EIO;
    boot_id[strcspn(boot_id, "\n")] = '\0';
    return 0;
}

static int open_pipeline(struct enricher *e)
{
    const struct pod_table_limits limits = {
        .max_pods = 4096, .max_bytes = UINT64_C(64) << 20, .grace_ns = e->conf->pod_grace_ns};
    char boot_id[40] = "";
    int r = read_boot_id(boot_id);

    if (r == 0)
        r = pod_table_new(&e->pods, &limits, on_pod_changed, e);
    if (r == 0)
        r = hold_new(&e->hold, -1, &e->conf->hold);
    if (r == 0)
        r = emit_init(&e->emit, &e->conf->render, e->output, boot_id);
    e->pipeline = (struct pipeline){.options = &e->conf->pipeline,
        .pods = e->pods,
        .hold = e->hold,
        .emit = &e->emit,
        .ask = ask_sources,
        .arg = e};
    if (r == 0)
        r = pipeline_init(&e->pipeline, clock_boot_ns());
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
    e->pipeline_timer = (struct loop_timer){.fn = on_pipeline_timer, .arg = e};
}

int enricher_init(struct enricher *e, struct conf *conf)
{
    int r;

    prepare(e, conf);
    r = loop_new(&e->loop, (enum loop_kind)conf->loop, NULL);
    if (r < 0) {
        log_error("loop: %s", strerror(-r));
        return r;
    }
    r = open_signals(e);
    if (r == 0)
        r = output_new(&e->output, e->loop, &conf->output);
    if (r < 0) {
        log_error("output '%s': %s", conf->output_path ? conf->output_path : "none", strerror(-r));
        return r;
    }
    output_on_progress(e->output, on_progress, e);
    r = open_pipeline(e);
    if (r < 0) {
        log_error("start: %s", strerror(-r));
        return r;
    }
    r = open_sources(e);
    if (r < 0)
        return r;
    if (conf->events_socket[0]) {
        const struct control_options options = {.path = conf->events_socket, .answer = on_control, .arg = e};

        r = control_new(&e->control, e->loop, e->output, &options);
        if (r < 0) {
            log_error("events-socket '%s': %s", conf->events_socket, strerror(-r));
            return r;
        }
    }
    r = open_metrics(e);
    if (r < 0)
        return r;
    r = notify_open(&e->notify);
    if (r < 0)
        log_warning("cannot talk to the service manager: %s", strerror(-r));
    drain_init(&e->drain, e->loop, &e->pipeline, e->output);
    consumer_init(e);
    log_info("loop: %s", loop_describe(e->loop));
    return 0;
}

int enricher_run(struct enricher *e)
{
    loop_timer_arm(e->loop, &e->housekeeping_timer, clock_boot_ns() + HOUSEKEEPING_NS);
    while (!e->stop) {
        bool more = consumer_read(e);
        uint64_t next;
        int r;

        pipeline_turn(&e->pipeline, clock_boot_ns());
        more |= consumer_turn(e);
        if (e->stop)
            break;
        if (!more)
            output_flush(e->output);
        next = pipeline_next_ns(&e->pipeline);
        if (next != UINT64_MAX)
            loop_timer_arm(e->loop, &e->pipeline_timer, next);
        else
            loop_timer_disarm(e->loop, &e->pipeline_timer);
        r = loop_run_once(e->loop, more ? 0 : UINT64_MAX);
        if (r < 0)
            return r;
    }
    (void)notify_send(&e->notify, "STOPPING=1");
    return e->result;
}

/* What was read is written, and its room given back, before the end: a successor does not get it again. */
static void write_out(struct enricher *e)
{
    uint64_t deadline = clock_boot_ns() + 2 * NS_PER_SEC, wanted = output_mark(e->output);

    while (output_durable(e->output) < wanted && clock_boot_ns() < deadline) {
        output_flush(e->output);
        if (loop_run_once(e->loop, clock_boot_ns() + 10 * NS_PER_MS) < 0)
            return;
    }
    if (output_durable(e->output) >= wanted)
        consumer_settle_all(e);
}

void enricher_deinit(struct enricher *e)
{
    uint64_t held = e->hold ? pipeline_held(&e->pipeline) : 0;

    if (e->output)
        write_out(e);
    if (e->loop) { /* it turns once more for the output, when the rest is gone */
        drain_detach(&e->drain);
        loop_poll_stop(e->loop, &e->attachment_poll);
        fd_close(&e->asked_fd);
        notify_close(&e->notify);
        loop_timer_disarm(e->loop, &e->attach_timer);
        loop_timer_disarm(e->loop, &e->housekeeping_timer);
        loop_timer_disarm(e->loop, &e->pipeline_timer);
    }
    if (held > 0 && e->attached_ns && e->hold_epoch_ns == e->epoch_ns) {
        log_info("%llu held events stay with the collector for the next enricher", (unsigned long long)held);
        return; /* the process ends; taking the pipeline down would take them out of the store */
    }
    e->control = control_free(e->control);
    e->metrics = metrics_server_free(e->metrics);
    for (size_t i = 0; i < e->source_count; i++)
        e->sources[i] = e->sources[i]->ops->free(e->sources[i]);
    e->http = http_free(e->http);
    if (e->hold)
        pipeline_deinit(&e->pipeline);
    emit_deinit(&e->emit);
    e->pods = pod_table_free(e->pods);
    e->output = output_free(e->output);
    e->queue = queue_consumer_free(e->queue);
    e->hold = hold_free(e->hold);
    attachment_deinit(&e->attachment);
    fd_close(&e->signal_fd);
    e->loop = loop_free(e->loop);
}
