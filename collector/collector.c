/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/collector.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bpf/cpu_state.h"
#include "collector/confine.h"
#include "collector/nap.h"
#include "collector/policies.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/queue_layout.h"

#define DRAIN_BUDGET         16384 /* records a turn: the rest comes in the next, after a look at the sockets */
#define QUOTA_LINES          20
#define MADE_INTERVAL_NS     (100 * NS_PER_MS)
#define ACCEPT_INTERVAL_NS   (NS_PER_MS / 8)
#define ACCEPT_BURST         64
#define SNAPSHOT_INTERVAL_NS (100 * NS_PER_MS)

/* ---- recording --------------------------------------------------------------------------------------------------- */

static void say_recording_ended(const struct collector *c, int why)
{
    if (why == -EFBIG)
        log_info("%s: the recording ends: --record-max-bytes is reached", c->conf.record_path);
    else if (why < 0)
        log_error("%s: the recording ends: %s", c->conf.record_path, strerror(-why));
}

static int open_recording(struct collector *c)
{
    int r;

    if (!c->conf.record_path)
        return 0;
    r = recorder_open(&c->recorder, c->conf.record_path, c->conf.record_max_bytes);
    if (r < 0)
        return r;
    c->intake.tee = recorder_put;
    c->intake.tee_arg = &c->recorder;
    return 0;
}

static void begin_recording(struct collector *c)
{
    const struct recorder_start start = {.epoch_ns = c->epoch_ns,
        .hook_kind = probe_kind_name(c->probe),
        .cgroup_hierarchy = c->conf.hierarchy.name,
        .snapshot_fd = snapshot_fd(c->snapshot),
        .snapshot_bytes = snapshot_bytes(c->snapshot)};

    recorder_begin(&c->recorder, &start);
    say_recording_ended(c, recorder_turn(&c->recorder, clock_boot_ns()));
}

/* ---- drain ------------------------------------------------------------------------------------------------------- */

/* What the programs made goes into the books now and then: each CPU's count is on a cache line of that CPU. */
static void count_made(struct collector *c)
{
    uint64_t now_ns = clock_boot_ns();

    if (now_ns - c->made_ns < MADE_INTERVAL_NS)
        return;
    intake_set_made(&c->intake, probe_made_count(c->probe));
    c->made_ns = now_ns;
}

/* Records handed over. The kernel's losses are read after the records that came before them. */
static int drain(struct collector *c)
{
    int drained;

    intake_begin(&c->intake);
    drained = probe_read(c->probe, intake_put, &c->intake, DRAIN_BUDGET);
    if (drained < DRAIN_BUDGET)
        (void)probe_read_losses(c->probe, intake_put_loss, &c->intake);
    if (drained >= 0 && drained < DRAIN_BUDGET && c->hooks)
        hooks_on_drained(c->hooks);
    count_made(c);
    intake_end(&c->intake);
    if (c->hooks &&
        hooks_look_at_gone(c->hooks, queue_producer_head(c->queue), queue_producer_tail(c->queue)))
        resume_keep_policies(&c->resume, c->hooks);
    if (c->intake.malformed_count != c->malformed_said) {
        log_error("%llu records with impossible framing came from the kernel: dropped",
            (unsigned long long)(c->intake.malformed_count - c->malformed_said));
        c->malformed_said = c->intake.malformed_count;
    }
    return drained;
}

static uint64_t drain_interval_ns(struct collector *c, int drained)
{
    if (drained >= DRAIN_BUDGET || (c->snapshot && !c->snapshot_done))
        return 0;
    c->nap_ns = nap_next_ns(c->nap_ns, (unsigned)drained);
    return c->nap_ns;
}

/* ---- snapshot ---------------------------------------------------------------------------------------------------- */

static void drop_snapshot(struct collector *c)
{
    c->snapshot = snapshot_free(c->snapshot);
    c->snapshot_done = false;
}

static int begin_snapshot(struct collector *c)
{
    const struct snapshot_options options = {.probe = c->probe,
        .hooks = c->hooks,
        .cgroup_root = c->conf.hierarchy.root,
        .cgroup_hierarchy_id = c->conf.hierarchy.id,
        .seq = &c->seq};
    char error[PROBE_ERROR_MAX];
    int r;

    drop_snapshot(c);
    c->refused_before_snapshot = c->intake.refused_count;
    r = snapshot_start(&c->snapshot, &options, error);
    if (r < 0)
        log_error("snapshot: %s", error);
    return r;
}

static int step_snapshot(struct collector *c)
{
    int r = snapshot_step(c->snapshot);

    if (r == SNAPSHOT_DONE)
        c->snapshot_done = true;
    if (r < 0) {
        log_error("snapshot: %s", strerror(-r));
        drop_snapshot(c);
    }
    return r;
}

/* ---- consumer ---------------------------------------------------------------------------------------------------- */

static void say_about_peer(struct collector *c, const char *line)
{
    struct quota *quota = &c->quota;
    uint64_t now_ns = clock_boot_ns(), refill = (now_ns - quota->filled_ns) / NS_PER_SEC;

    if (refill > 0) {
        quota->left = quota->left + refill > QUOTA_LINES ? QUOTA_LINES : quota->left + (unsigned)refill;
        quota->filled_ns = now_ns;
    }
    if (quota->left == 0) {
        quota->suppressed_count++;
        return;
    }
    quota->left--;
    if (quota->suppressed_count > 0)
        log_warning(
            "%s (and %llu lines like it not said)", line, (unsigned long long)quota->suppressed_count);
    else
        log_info("%s", line);
    quota->suppressed_count = 0;
}

/* C5. Until the page is renewed it is not looked at, and nobody else is given it. */
static int renew_cursor(struct collector *c)
{
    int r;

    if (!c->cursor_used)
        return 0;
    r = queue_producer_renew_cursor(c->queue);
    if (r == 0) {
        c->cursor_used = false;
        resume_keep_cursor(&c->resume, c->queue);
    }
    return r;
}

/* The consumer is gone, or has to go: what it released last counts, if it can be. */
static void end_consumer(struct collector *c, const char *why)
{
    char line[256];
    int r;

    if (c->cursor_used && !c->intake.consumer_broken)
        (void)queue_producer_refresh(c->queue);
    intake_follow(&c->intake, false);
    handoff_close_connection(&c->handoff);
    r = renew_cursor(c);
    if (c->snapshot && !c->snapshot_done)
        drop_snapshot(c);
    (void)snprintf(line, sizeof(line), "%s; %zu bytes wait for the next%s%s", why,
        queue_producer_used_bytes(c->queue), r < 0 ? ", but there is no new cursor page: " : "",
        r < 0 ? strerror(-r) : "");
    say_about_peer(c, line);
}

static void attach_consumer(struct collector *c)
{
    struct handoff_attach message = {.magic = HANDOFF_MAGIC,
        .version = HANDOFF_VERSION,
        .type = HANDOFF_ATTACH,
        .record_version = RECORD_VERSION,
        .epoch_ns = c->epoch_ns,
        .attach_count = c->attach_count + 1,
        .snapshot_bytes = snapshot_bytes(c->snapshot)};
    struct queue_fds queue;
    char line[224];
    int r;

    (void)snprintf(message.hook_kind, sizeof(message.hook_kind), "%s", probe_kind_name(c->probe));
    (void)snprintf(message.cgroup_hierarchy, sizeof(message.cgroup_hierarchy), "%s", c->conf.hierarchy.name);
    queue_producer_get_fds(c->queue, &queue);
    c->cursor_used = true;
    r = handoff_send_attach(&c->handoff, &message,
        (const int[HANDOFF_FD_COUNT]){[HANDOFF_FD_RING] = queue.ring,
            [HANDOFF_FD_CURSOR] = queue.cursor,
            [HANDOFF_FD_DOORBELL] = queue.doorbell,
            [HANDOFF_FD_HOLD] = c->hold_fd,
            [HANDOFF_FD_SNAPSHOT] = snapshot_fd(c->snapshot)});
    if (r < 0) {
        (void)snprintf(line, sizeof(line), "consumer not attached: %s", strerror(-r));
        end_consumer(c, line);
        return;
    }
    c->attach_count++;
    intake_follow(&c->intake, true);
    (void)snprintf(line, sizeof(line),
        "consumer %llu attached: %u processes and %u cgroups in its snapshot, %zu bytes in the queue, %s",
        (unsigned long long)c->attach_count, snapshot_process_count(c->snapshot),
        snapshot_cgroup_count(c->snapshot), queue_producer_used_bytes(c->queue),
        handoff_peer_words(&c->handoff));
    drop_snapshot(c);
    say_about_peer(c, line);
}

/* C7: when it is time, else in a turn to come (go_on_with_consumer()). */
static void take_snapshot_for_consumer(struct collector *c)
{
    uint64_t now_ns = clock_boot_ns();

    drop_snapshot(c);
    if (now_ns < c->snapshot_ns)
        return;
    c->snapshot_ns = now_ns + SNAPSHOT_INTERVAL_NS;
    if (begin_snapshot(c) < 0)
        end_consumer(c, "consumer turned away");
}

/* C4. The consumer of a collector before us may have read on to here, on the page that it had. */
static void prepare_consumer(struct collector *c)
{
    if (c->intake.follow && !c->intake.consumer_broken)
        (void)queue_producer_refresh(c->queue);
    intake_follow(&c->intake, false);
    resume_give_up(&c->resume, &c->intake);
    if (renew_cursor(c) < 0) {
        end_consumer(c, "consumer turned away");
        return;
    }
    if (c->snapshot_done && c->attach_count == 0 && c->intake.refused_count == c->refused_before_snapshot)
        attach_consumer(c);
    else
        take_snapshot_for_consumer(c);
}

static void on_handoff(struct collector *c, enum handoff_event event)
{
    switch (event) {
    case HANDOFF_NOTHING:
        break;
    case HANDOFF_REFUSED:
        say_about_peer(c, handoff_line(&c->handoff));
        break;
    case HANDOFF_WANTED:
        prepare_consumer(c);
        break;
    case HANDOFF_GONE:
        end_consumer(c, handoff_line(&c->handoff));
        break;
    }
}

static void go_on_with_consumer(struct collector *c)
{
    if (c->intake.consumer_broken) { /* Q3 */
        end_consumer(c, "consumer cut off: it wrote a release position that cannot be");
        return;
    }
    if (c->handoff.state != HANDOFF_PREPARING || c->snapshot_done)
        return;
    if (!c->snapshot)
        take_snapshot_for_consumer(c);
    else if (step_snapshot(c) < 0)
        end_consumer(c, "consumer turned away");
    else if (c->snapshot_done)
        attach_consumer(c);
}

/* ---- loop -------------------------------------------------------------------------------------------------------- */

static void on_signal(struct collector *c)
{
    struct signalfd_siginfo info;

    while (read(c->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo != SIGHUP)
            c->stop = true;
        else if (c->has_policies)
            policies_read(&c->conf, c->hooks, &c->intake);
        else
            log_warning("SIGHUP: no policy was there at the start, so what loads them was given up: restart "
                        "podkin-collector, or set policy-reload = on");
    }
}

/* C7 */
static void on_listener(struct collector *c)
{
    uint64_t now_ns = clock_boot_ns();

    if (c->listen_ns + ACCEPT_BURST * ACCEPT_INTERVAL_NS < now_ns)
        c->listen_ns = now_ns - ACCEPT_BURST * ACCEPT_INTERVAL_NS;
    c->listen_ns += ACCEPT_INTERVAL_NS;
    on_handoff(c, handoff_on_listener(&c->handoff, now_ns));
}

enum { WAIT_RING, WAIT_SIGNAL, WAIT_LISTENER, WAIT_CONNECTION, WAIT_PEER, WAIT_COUNT };

static int turn(struct collector *c, uint64_t wait_ns)
{
    struct pollfd fds[WAIT_COUNT] = {[WAIT_RING] = {.fd = probe_fd(c->probe), .events = POLLIN},
        [WAIT_SIGNAL] = {.fd = c->signal_fd, .events = POLLIN},
        [WAIT_LISTENER] = {.fd = clock_boot_ns() >= c->listen_ns ? c->handoff.listener : -1,
            .events = POLLIN},
        [WAIT_CONNECTION] = {.fd = c->handoff.connection, .events = POLLIN | POLLRDHUP},
        [WAIT_PEER] = {.fd = c->handoff.peer, .events = POLLIN}};
    const struct timespec timeout = {.tv_nsec = (long)wait_ns};
    int drained;

    if (ppoll(fds, WAIT_COUNT, &timeout, NULL) < 0 && errno != EINTR)
        return -errno;
    if (fds[WAIT_SIGNAL].revents)
        on_signal(c);
    drained = drain(c);
    go_on_with_consumer(c);
    if (fds[WAIT_CONNECTION].revents)
        on_handoff(c, handoff_on_connection(&c->handoff));
    if (fds[WAIT_PEER].revents)
        on_handoff(c, handoff_on_peer(&c->handoff));
    if (fds[WAIT_LISTENER].revents)
        on_listener(c);
    on_handoff(c, handoff_on_time(&c->handoff, clock_boot_ns()));
    return drained;
}

int collector_run(struct collector *c)
{
    uint64_t wait_ns = 0, now_ns;

    while (!c->stop) {
        int drained = turn(c, wait_ns);

        if (drained < 0) {
            log_error("poll: %s", strerror(-drained));
            return drained;
        }
        now_ns = clock_boot_ns();
        say_recording_ended(c, recorder_turn(&c->recorder, now_ns));
        notify_watchdog(&c->notify, now_ns);
        wait_ns = drain_interval_ns(c, drained);
    }
    (void)notify_send(&c->notify, "STOPPING=1");
    (void)drain(c);
    return 0;
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

/* Kernels before 5.11 count BPF memory there; later ones by memory cgroup, so that a refusal means nothing. */
static void raise_memlock(void)
{
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

    (void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

static int open_signals(struct collector *c)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    /* Whoever read our stderr may go: a line that nobody reads is no reason to stop. */
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    c->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return c->signal_fd < 0 ? -errno : 0;
}

/* The hold memfd is the consumers' to size and to fill; that nobody can seal it keeps it useful to the next one. */
static int open_hold(struct collector *c)
{
    c->hold_fd = resume_hold(&c->resume);
    if (c->hold_fd >= 0)
        return 0;
    c->hold_fd = fd_memfd_new("podkin-hold", 0);
    return c->hold_fd < 0 ? c->hold_fd : fd_seal(c->hold_fd, F_SEAL_SEAL);
}

static int open_memory(struct collector *c)
{
    struct checkpoint_identity identity = {.record_version = RECORD_VERSION,
        .queue_version = QUEUE_VERSION,
        .bpf_layout = BPF_LAYOUT_VERSION,
        .cgroup_hierarchy_id = c->conf.hierarchy.id};
    char line[RESUME_LINE_MAX];
    int r;

    (void)snprintf(
        identity.cgroup_hierarchy, sizeof(identity.cgroup_hierarchy), "%s", c->conf.hierarchy.name);
    r = resume_open(&c->resume, &c->queue, &identity, c->conf.queue_bytes, line);
    if (line[0])
        log_warning("%s", line);
    if (r == 0)
        r = intake_init(&c->intake, c->queue, &c->seq);
    if (r < 0)
        return r;
    c->epoch_ns = checkpoint_epoch_ns(c->resume.checkpoint);
    /* Until the next consumer comes, the one of before may read on what it has, and release it. */
    c->cursor_used = c->resume.continues;
    intake_follow(&c->intake, c->resume.continues);
    return open_hold(c);
}

static int open_policies(struct collector *c)
{
    const struct hooks_options options = {.probe = c->probe,
        .seq = &c->seq,
        .allow_enforcement = c->conf.allow_enforcement,
        .put = intake_put,
        .put_arg = &c->intake,
        .checkpoint = c->resume.checkpoint,
        .keeper = c->notify.fd < 0 ? (struct hooks_keeper){0} : resume_keeper(&c->resume)};
    char error[HOOK_ERROR_MAX];
    int r;

    c->has_policies = policies_are_used(&c->conf);
    r = hooks_new(&c->hooks, &options, error);
    if (r < 0)
        log_error("policies: %s", error);
    else if (resume_inherit(&c->resume, c->hooks) == 0 && !c->has_policies)
        c->hooks = hooks_free(c->hooks);
    else if (c->has_policies)
        policies_read(&c->conf, c->hooks, &c->intake);
    return r;
}

static int open_probe(struct collector *c)
{
    const struct probe_options options = {.ring_bytes = c->conf.ring_bytes,
        .epoch_ns = c->epoch_ns,
        .kind = (enum probe_kind)c->conf.hook_kind,
        .cgroup_controller = c->conf.hierarchy.id ? c->conf.hierarchy.name : NULL,
        .cgroup_hierarchy_id = c->conf.hierarchy.id,
        .generation = checkpoint_next_generation(c->resume.checkpoint),
        .kept = resume_maps(&c->resume)};
    struct checkpoint_totals totals;
    char error[PROBE_ERROR_MAX];
    int r;

    r = probe_new(&c->probe, &options, error);
    if (r == 0) {
        checkpoint_get_totals(c->resume.checkpoint, &totals);
        if (probe_skip_to(c->probe, totals.ring_position) <
            0) /* only by a fault of ours; what comes twice has the same id */
            log_warning(
                "the position in the ring buffer that was kept cannot be: some records may come twice");
        intake_keep(&c->intake, c->resume.checkpoint, c->probe);
        r = probe_attach(c->probe, error);
    }
    if (r < 0)
        log_error("hooks: %s", error);
    return r;
}

/* From the programs of an earlier collector, if there was one, to ours. Everything is kept before the earlier one's is let go. */
static void take_over(struct collector *c)
{
    size_t ring_bytes = probe_used_bytes(c->probe), queue_bytes = queue_producer_used_bytes(c->queue);

    if (c->notify.fd >= 0)
        resume_keep(&c->resume, c->probe, c->queue, c->hold_fd);
    if (c->hooks)
        resume_keep_policies(&c->resume, c->hooks);
    probe_open_gate(c->probe);
    resume_finish(&c->resume, &c->intake);
    if (c->hooks)
        hooks_end_inherited(c->hooks);
    if (c->resume.continues)
        log_info("goes on where an earlier collector ended: %zu bytes in the ring buffer, %zu in the queue",
            ring_bytes, queue_bytes);
    if (c->resume.store.error)
        log_warning("the service manager does not keep what is open (%s): what happens between an end and "
                    "the next start would not be recorded",
            strerror(-c->resume.store.error));
}

/* C1 */
static int take_first_snapshot(struct collector *c)
{
    int r;

    r = begin_snapshot(c);
    while (r >= 0 && !c->snapshot_done) {
        (void)drain(c);
        r = step_snapshot(c);
    }
    return r < 0 ? r : 0;
}

static int fail(int r, const char *what)
{
    log_error("%s: %s", what, strerror(-r));
    return r;
}

/* "64 MiB"; the sizes are powers of two. */
static const char *size_words(char words[24], uint64_t bytes)
{
    bool mib = bytes >= UINT64_C(1) << 20;

    (void)snprintf(words, 24, "%llu %s", (unsigned long long)(bytes >> (mib ? 20 : 10)), mib ? "MiB" : "KiB");
    return words;
}

static void say_ready(const struct collector *c)
{
    char ring[24], queue[24];

    log_info("cgroup hierarchy: %s at %s (%s)", c->conf.hierarchy.name, c->conf.hierarchy.root,
        c->conf.hierarchy.reason);
    log_info("ready: hooks %s, snapshot of %u processes and %u cgroups, ring %s, queue %s, socket %s",
        probe_kind_name(c->probe), snapshot_process_count(c->snapshot), snapshot_cgroup_count(c->snapshot),
        size_words(ring, probe_ring_bytes(c->probe)), size_words(queue, c->conf.queue_bytes),
        c->conf.socket_path);
}

int collector_start(struct collector *c, struct conf *conf)
{
    int r;

    *c = COLLECTOR_EMPTY;
    c->conf = *conf;
    *conf = (struct conf){0};
    c->start_ns = c->seq = clock_boot_ns();
    c->quota = (struct quota){.filled_ns = c->start_ns, .left = QUOTA_LINES};
    r = notify_open(&c->notify); /* later there is no socket to be had */
    if (r < 0)
        log_warning("cannot talk to the service manager: %s", strerror(-r));
    resume_begin(&c->resume, &c->notify, c->start_ns);
    raise_memlock();
    r = open_signals(c);
    if (r < 0)
        return fail(r, "signals");
    r = open_memory(c);
    if (r < 0)
        return fail(r, "queue");
    r = open_recording(c);
    if (r < 0)
        return fail(r, c->conf.record_path);
    r = open_probe(c);
    if (r == 0)
        r = open_policies(c);
    if (r == 0) {
        take_over(c);
        r = take_first_snapshot(c);
    }
    if (r < 0)
        return r; /* said */
    begin_recording(c);
    r = handoff_open(&c->handoff, c->conf.socket_path, c->conf.peer_uid, c->conf.peer_gid);
    if (r < 0)
        return fail(r, c->conf.socket_path);
    if (!c->conf.cgroup_root_is_top)
        log_warning("--cgroup-root: %s is not the top of its hierarchy: the snapshot lacks "
                    "what is not below it, and the paths that it has begin there",
            c->conf.hierarchy.root);
    r = c->conf.sandbox ? confine_collector(c->has_policies) : 0;
    if (r < 0)
        return r; /* said */
    say_ready(c);
    (void)notify_send(&c->notify, "READY=1");
    return 0;
}

void collector_stop(struct collector *c)
{
    handoff_close(&c->handoff);
    drop_snapshot(c);
    /* Where the attachments are kept their programs go on until the next collector takes over; taking them down here would switch them off. The process ends. */
    if (c->notify.fd < 0) {
        c->hooks = hooks_free(c->hooks);
        c->probe = probe_free(c->probe);
    }
    say_recording_ended(c, recorder_close(&c->recorder));
    intake_deinit(&c->intake);
    resume_deinit(&c->resume);
    c->queue = queue_producer_free(c->queue);
    fd_close(&c->hold_fd);
    fd_close(&c->signal_fd);
    notify_close(&c->notify);
    conf_deinit(&c->conf);
}
