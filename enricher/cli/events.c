// SPDX-License-Identifier: Apache-2.0
/* podkin events: lines in, filtered, lines out. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "common/log.h"
#include "enricher/cli/client.h"
#include "enricher/cli/command.h"
#include "enricher/cli/events_options.h"
#include "enricher/cli/expander.h"
#include "enricher/cli/input.h"
#include "enricher/cli/summary.h"

#define OUTPUT_BLOCK_BYTES   65536
#define FOLLOW_INTERVAL_MS   100
#define RECONNECT_FIRST_MS   100
#define RECONNECT_LONGEST_MS 2000

struct events {
    struct events_options options;
    struct compact compact;
    struct input input;
    struct expander expander;
    struct text out;
    struct summary *summary; /* NULL: not asked for */
    int signal_fd;
    bool live;  /* the other side is waited for: what is there is shown at once */
    bool ended; /* asked to stop, or there is nobody left to show it to */
    bool failed;
    bool connected_before; /* and lost the connection: no refusal is final any more */
    int wait_ms;           /* before the next try to connect; grows until events come */
    uint64_t shown, malformed;
    char why[EXPANDER_WHY_MAX]; /* what was wrong with the first normalised line that could not be expanded */
};

static void deinit(struct events *events)
{
    compact_deinit(&events->compact);
    input_deinit(&events->input);
    expander_deinit(&events->expander);
    text_deinit(&events->out);
    free(events->summary);
    if (events->signal_fd >= 0)
        (void)close(events->signal_fd);
}

static void flush(struct events *events)
{
    size_t done = 0;

    if (events->out.failed) {
        log_error("out of memory");
        events->failed = events->ended = true;
    }
    while (done < events->out.size && !events->failed) {
        ssize_t written = write(STDOUT_FILENO, events->out.data + done, events->out.size - done);

        if (written >= 0) {
            done += (size_t)written;
            continue;
        }
        if (errno == EINTR)
            continue;
        events->ended = true;
        if (errno == EPIPE) /* the reader has seen enough: no failure */
            break;
        log_error("cannot write the output: %s", strerror(errno));
        events->failed = true;
    }
    text_clear(&events->out);
}

/* What happens to the stream: among the events for people, apart from them for programs. */
static void note(struct events *events, const char *text)
{
    if (events->options.json)
        log_info("%s", text);
    else
        compact_note(&events->compact, text, &events->out);
    flush(events);
}

/* The enricher has no stream for us; it closes the connection behind this. At first that is our failure, later a reason to wait. */
static void be_refused(struct events *events, struct slice error)
{
    CLEANUP(text_deinit) struct text said = {0};

    text_append_string(&said, "the enricher says: ");
    json_unescape(&said, error);
    if (events->connected_before) {
        note(events, text_terminate(&said));
        return;
    }
    log_error("%s", text_terminate(&said));
    events->failed = events->ended = true;
}

/* A normalised line becomes the full one. false: there is nothing to show. */
static bool expand(struct events *events, struct slice *raw)
{
    enum expander_result result = expander_read(&events->expander, *raw, raw);

    if (result == EXPANDER_WRONG && !events->malformed++)
        memcpy(events->why, events->expander.why, sizeof(events->why));
    return result == EXPANDER_AS_IS || result == EXPANDER_LINE;
}

static void show_line(struct events *events, struct slice raw)
{
    struct line line;

    if (!raw.size || events->ended || !expand(events, &raw))
        return;
    if (filter_rules_out(&events->options.filter, raw.data, raw.size))
        return;
    if (line_parse(&line, raw.data, raw.size)) {
        events->malformed++;
        return;
    }
    if (!events->options.file && line.error.data && !line.type_name.data) {
        be_refused(events, line.error);
        return;
    }
    events->wait_ms = RECONNECT_FIRST_MS;
    if (!events->options.file && SLICE_IS(line.type_name, "podkin_viewer"))
        note(events, "too slow: the enricher cut this connection off, events are missing here");
    if (!filter_match(&events->options.filter, &line))
        return;
    if (events->summary)
        summary_add(events->summary, &line);
    if (events->options.json) {
        text_append(&events->out, raw.data, raw.size);
        text_append_char(&events->out, '\n');
    } else {
        compact_show(&events->compact, &line, &events->out);
    }
    if (events->out.size >= OUTPUT_BLOCK_BYTES)
        flush(events);
    if (++events->shown == events->options.count)
        events->ended = true;
}

static void show_lines(struct events *events)
{
    struct slice raw;

    while (!events->ended && input_next(&events->input, &raw))
        show_line(events, raw);
    if (events->live)
        flush(events);
}

static void take_signals(struct events *events)
{
    struct signalfd_siginfo info;

    while (read(events->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGWINCH)
            events->compact.options.columns = events_terminal_columns();
        else
            events->ended = true;
    }
}

/* Until there is something to read from `fd` (-1: only time passes), a signal, the end of our reader, or the time is over. */
static void wait_for(struct events *events, int fd, int timeout_ms)
{
    struct pollfd polled[] = {
        {.fd = events->signal_fd, .events = POLLIN},
        {.fd = STDOUT_FILENO}, /* POLLERR: nobody reads our pipe any more */
        {.fd = fd, .events = POLLIN},
    };

    if (poll(polled, sizeof(polled) / sizeof(polled[0]), timeout_ms) <= 0)
        return;
    if (polled[0].revents)
        take_signals(events);
    if (polled[1].revents & (POLLERR | POLLNVAL))
        events->ended = true;
}

static void say_unreachable(const struct events *events, int error)
{
    const char *path = events->options.socket_path;

    if (error == -EACCES)
        log_error("cannot reach the enricher at %s: permission denied; its group or root may", path);
    else
        log_error("cannot reach the enricher at %s: %s; is podkin-enricher running? (--events-socket names "
                  "another socket)",
            path, strerror(-error));
}

/* The enricher went away: waits until it is back. */
static void reconnect(struct events *events)
{
    input_replace(&events->input, -1, false);
    expander_reset(&events->expander);
    if (!events->options.reconnect) {
        events->ended = true;
        return;
    }
    events->connected_before = true;
    note(events, "the enricher went away; waiting for it");
    while (!events->ended) {
        int fd;

        wait_for(events, -1, events->wait_ms);
        events->wait_ms =
            events->wait_ms * 2 < RECONNECT_LONGEST_MS ? events->wait_ms * 2 : RECONNECT_LONGEST_MS;
        fd = events->ended ? -1 : client_open(events->options.socket_path, "events\n");
        if (fd >= 0) {
            input_replace(&events->input, fd, false);
            note(events, "the enricher is back");
            return;
        }
    }
}

/* At the end of a followed file: the next one, or a while later. */
static void follow(struct events *events)
{
    int fd = -1, r = follow_check(events->options.file, events->input.fd, &fd);

    switch (r) {
    case FOLLOW_SAME:
        wait_for(events, -1, FOLLOW_INTERVAL_MS);
        break;
    case FOLLOW_RESTART:
        note(events, "the file was truncated");
        input_replace(&events->input, take_fd(&(int){fcntl(events->input.fd, F_DUPFD_CLOEXEC, 0)}), false);
        break;
    case FOLLOW_SKIPPED:
        note(events, "the file was rotated away before it was read to the end: lines may be missing");
        input_replace(&events->input, fd, false);
        break;
    case FOLLOW_NEXT:
        input_replace(&events->input, fd, true);
        break;
    default:
        log_error("cannot follow %s: %s", events->options.file, strerror(-r));
        events->failed = events->ended = true;
        break;
    }
}

static int open_file(const char *file)
{
    int fd = strcmp(file, "-") == 0 ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        log_error("cannot open %s: %s", file, strerror(errno));
    return fd;
}

/* false: that was the last one. */
static bool next_file(struct events *events)
{
    const char *file = *events->options.more_files;
    int fd = file && !events->ended ? open_file(file) : -1;

    if (fd < 0) {
        events->failed |= file && !events->ended;
        return false;
    }
    events->options.file = file;
    events->options.more_files++;
    input_replace(&events->input, fd, false);
    return true;
}

/* Nothing more to read for now. */
static void at_end(struct events *events)
{
    struct slice raw;

    if (!events->options.file) {
        reconnect(events);
        return;
    }
    if (events->options.follow) {
        follow(events);
        return;
    }
    if (input_last(&events->input, &raw))
        show_line(events, raw);
    events->ended |= !next_file(events);
}

static void run(struct events *events)
{
    while (!events->ended) {
        ssize_t got;

        wait_for(events, events->input.fd, -1);
        if (events->ended)
            break;
        got = input_fill(&events->input);
        if (got > 0) {
            show_lines(events);
        } else if (got == 0 || !events->options.file) {
            at_end(events);
        } else {
            log_error("cannot read %s: %s", events->options.file, input_error(got));
            events->failed = events->ended = true;
        }
    }
    flush(events);
}

static int open_source(struct events *events)
{
    const char *file = events->options.file;
    struct stat stat;
    int fd;

    if (!file) {
        fd = client_open(events->options.socket_path, "events\n");
        if (fd < 0)
            say_unreachable(events, fd);
    } else {
        fd = open_file(file);
    }
    if (fd < 0)
        return COMMAND_FAILED;
    input_init(&events->input, fd);
    if (fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode)) {
        log_error("cannot read %s: it is a directory", file);
        return COMMAND_FAILED;
    }
    events->live = !file || events->options.follow || !S_ISREG(stat.st_mode);
    return 0;
}

static int catch_signals(struct events *events)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGWINCH);
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        return -errno;
    events->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return events->signal_fd < 0 ? -errno : 0;
}

/* The summary goes where people look: behind the events, or beside the JSON. */
static void finish(struct events *events)
{
    CLEANUP(text_deinit) struct text summary = {0};
    uint64_t malformed = events->malformed + events->input.too_long;

    if (events->summary) {
        summary_show(events->summary, malformed, &summary);
        if (!summary.failed &&
            write(events->options.json ? STDERR_FILENO : STDOUT_FILENO, summary.data, summary.size) < 0 &&
            errno != EPIPE)
            events->failed = true;
    }
    if (malformed)
        log_warning("%llu malformed line%s not shown%s%s", (unsigned long long)malformed,
            malformed == 1 ? "" : "s", *events->why ? "; one " : "", events->why);
}

int command_events(int argc, char **argv)
{
    CLEANUP(deinit)
    struct events events = {.signal_fd = -1, .input = {.fd = -1}, .wait_ms = RECONNECT_FIRST_MS};
    int r = events_options_parse(&events.options, argc, argv);

    if (r)
        return r;
    r = open_source(&events);
    if (r)
        return r;
    if (events.options.summary) {
        events.summary = calloc(1, sizeof(*events.summary));
        if (!events.summary) {
            log_error("out of memory");
            return COMMAND_FAILED;
        }
    }
    r = catch_signals(&events);
    if (r) {
        log_error("cannot set up signals: %s", strerror(-r));
        return COMMAND_FAILED;
    }
    compact_init(&events.compact, &events.options.compact);
    run(&events);
    finish(&events);
    return events.failed ? COMMAND_FAILED : COMMAND_DONE;
}
