/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/crew.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "enricher/output.h"

#define LINE_BYTES 64 /* of a processor's cache */
/* Of one lane, on their way to the viewers: as much as a viewer's own buffer may hold. */
#define VIEWER_LINES_MAX (UINT64_C(4) << 20)

struct lines {
    struct lines *next;
    struct member *from;
    size_t size;
    char data[];
};

struct member {
    _Alignas(LINE_BYTES) _Atomic bool called; /* there is something under the mutex */
    _Alignas(LINE_BYTES) struct lane lane;
    struct crew *crew;
    pthread_t thread;
    int wake_fd;
    struct loop_poll wake_poll;
    uint32_t index;
    /* under the mutex */
    bool has_thread, ready, resting;
    int result;
    uint64_t job_seen;
    struct crew_letter *first_letter, **last_letter;
    uint64_t lines_bytes;
};

struct crew {
    const struct conf *conf;
    struct crew_hooks hooks;
    struct loop *leader;
    struct loop_poll kick_poll;
    int kick_fd;
    struct member *members;
    uint32_t count; /* of members */
    bool running;   /* the leader's: a job is */
    _Atomic bool kicked, asked, viewers;

    pthread_mutex_t mutex;
    pthread_cond_t changed; /* anything below */
    bool rest_wanted, stop, keep_stores, lines_missing;
    uint32_t resting, done, ready;
    int failed;
    uint64_t job_number;
    crew_job_fn *job;
    void *job_arg;
    struct lines *first_lines, **last_lines;
};

static void ring(int fd)
{
    const uint64_t one = 1;

    (void)!write(fd, &one, sizeof(one)); /* full: it is readable */
}

static void silence(int fd)
{
    uint64_t rings;

    (void)!read(fd, &rings, sizeof(rings));
}

/* ---- a member's thread ---------------------------------------------------------------------------------------- */

static void kick(struct crew *crew)
{
    if (!atomic_exchange_explicit(&crew->kicked, true, memory_order_acq_rel))
        ring(crew->kick_fd);
}

static void on_ask(void *arg)
{
    const struct member *m = arg;

    if (!atomic_exchange_explicit(&m->crew->asked, true, memory_order_acq_rel))
        kick(m->crew);
}

static void on_changed(void *arg)
{
    const struct member *m = arg;

    kick(m->crew);
}

/* Copies: the block is written and used again. */
static void on_lines(void *arg, const char *data, size_t size)
{
    struct member *m = arg;
    struct crew *crew = m->crew;
    struct lines *lines;

    if (!atomic_load_explicit(&crew->viewers, memory_order_relaxed))
        return;
    lines = malloc(sizeof(*lines) + size);
    if (lines) {
        lines->next = NULL;
        lines->from = m;
        lines->size = size;
        memcpy(lines->data, data, size);
    }
    (void)pthread_mutex_lock(&crew->mutex);
    if (lines && m->lines_bytes + size <= VIEWER_LINES_MAX) {
        *crew->last_lines = lines;
        crew->last_lines = &lines->next;
        m->lines_bytes += size;
        lines = NULL;
    } else {
        crew->lines_missing = true;
    }
    (void)pthread_mutex_unlock(&crew->mutex);
    free(lines);
    kick(crew);
}

static void on_wake(void *arg, uint32_t events)
{
    const struct member *m = arg;

    (void)events;
    silence(m->wake_fd); /* being awake is all: it looks whether it is called each turn */
}

static void open_letters(struct member *m)
{
    struct crew_letter *letter = m->first_letter, *next;

    m->first_letter = NULL;
    m->last_letter = &m->first_letter;
    (void)pthread_mutex_unlock(&m->crew->mutex);
    for (; letter; letter = next) {
        next = letter->next;
        letter->open(&m->lane, letter);
    }
    (void)pthread_mutex_lock(&m->crew->mutex);
}

static void do_job(struct member *m)
{
    struct crew *crew = m->crew;

    m->job_seen = crew->job_number;
    (void)pthread_mutex_unlock(&crew->mutex);
    crew->job(crew->job_arg, &m->lane);
    (void)pthread_mutex_lock(&crew->mutex);
    crew->done++;
    (void)pthread_cond_broadcast(&crew->changed);
}

static void rest(struct member *m)
{
    struct crew *crew = m->crew;

    if (!m->resting) {
        m->resting = true;
        crew->resting++;
        (void)pthread_cond_broadcast(&crew->changed);
    }
    (void)pthread_cond_wait(&crew->changed, &crew->mutex);
}

/* Does what the leader has asked for. true: stop. */
static bool answer(struct member *m)
{
    struct crew *crew = m->crew;
    bool stop;

    if (!atomic_load_explicit(&m->called, memory_order_acquire))
        return false;
    (void)pthread_mutex_lock(&crew->mutex);
    atomic_store_explicit(&m->called, false, memory_order_relaxed);
    for (;;) {
        if (m->first_letter)
            open_letters(m);
        else if (m->job_seen != crew->job_number)
            do_job(m);
        else if (crew->stop || !crew->rest_wanted)
            break;
        else
            rest(m);
    }
    if (m->resting)
        crew->resting--;
    m->resting = false;
    stop = crew->stop;
    (void)pthread_mutex_unlock(&crew->mutex);
    return stop;
}

/* Its loop is broken: it still answers. */
static void wait_for_the_end(struct member *m, int r)
{
    struct pollfd wake = {.fd = m->wake_fd, .events = POLLIN};

    (void)pthread_mutex_lock(&m->crew->mutex);
    m->crew->failed = r;
    (void)pthread_mutex_unlock(&m->crew->mutex);
    kick(m->crew);
    while (!answer(m)) {
        (void)poll(&wake, 1, -1);
        silence(m->wake_fd);
    }
}

static void turn_until_stopped(struct member *m)
{
    struct lane *lane = &m->lane;

    lane_start(lane);
    while (!answer(m)) {
        bool more = lane_read(lane);
        int r;

        lane_turn(lane);
        r = lane_wait(lane, more);
        if (r < 0) {
            wait_for_the_end(m, r);
            return;
        }
    }
}

static int open_member(struct member *m)
{
    const struct lane_owner owner = {.ask = on_ask, .changed = on_changed, .arg = m};
    struct crew *crew = m->crew;
    int r = lane_init(&m->lane, crew->conf, (struct lane_of){m->index, crew->count + 1}, &owner);

    if (r < 0)
        return r;
    lane_set_tap(&m->lane, on_lines, m);
    m->wake_poll = (struct loop_poll){.fn = on_wake, .arg = m, .fd = -1};
    return loop_poll_start(m->lane.loop, &m->wake_poll, m->wake_fd, POLLIN | LOOP_DRAINS);
}

/* Here, as the kernel takes what a loop asks for from the thread alone that made it. */
static void close_member(struct member *m)
{
    if (m->crew->keep_stores)
        return;
    if (m->lane.loop) {
        loop_poll_stop(m->lane.loop, &m->wake_poll);
        lane_stop(&m->lane);
    }
    lane_deinit(&m->lane);
}

static void *member_main(void *arg)
{
    struct member *m = arg;
    struct crew *crew = m->crew;
    char name[16];
    int r;

    (void)snprintf(name, sizeof(name), "lane %u", m->index);
    (void)pthread_setname_np(pthread_self(), name);
    r = open_member(m);
    (void)pthread_mutex_lock(&crew->mutex);
    m->result = r;
    crew->ready++;
    (void)pthread_cond_broadcast(&crew->changed);
    (void)pthread_mutex_unlock(&crew->mutex);
    if (r == 0)
        turn_until_stopped(m);
    close_member(m);
    return NULL;
}

/* ---- the leader: what members have for it ------------------------------------------------------------------- */

static struct lines *take_lines(struct crew *crew, bool *ret_missing, int *ret_failed)
{
    struct lines *first;

    (void)pthread_mutex_lock(&crew->mutex);
    first = crew->first_lines;
    crew->first_lines = NULL;
    crew->last_lines = &crew->first_lines;
    *ret_missing = crew->lines_missing;
    crew->lines_missing = false;
    *ret_failed = crew->failed;
    for (const struct lines *lines = first; lines; lines = lines->next)
        lines->from->lines_bytes -= lines->size;
    (void)pthread_mutex_unlock(&crew->mutex);
    return first;
}

static void on_kick(void *arg, uint32_t events)
{
    struct crew *crew = arg;
    const struct crew_hooks *hooks = &crew->hooks;
    struct lines *lines, *next;
    bool missing;
    int failed;

    (void)events;
    silence(crew->kick_fd);
    (void)atomic_exchange_explicit(&crew->kicked, false, memory_order_acq_rel);
    lines = take_lines(crew, &missing, &failed);
    for (; lines; lines = next) {
        next = lines->next;
        hooks->lines(hooks->arg, lines->data, lines->size);
        free(lines);
    }
    if (missing)
        hooks->lines(hooks->arg, NULL, 0);
    if (atomic_exchange_explicit(&crew->asked, false, memory_order_acq_rel))
        hooks->ask(hooks->arg);
    hooks->room(hooks->arg);
    if (failed < 0)
        hooks->failed(hooks->arg, failed);
}

void crew_set_viewers(struct crew *crew, bool wanted)
{
    if (crew && atomic_load_explicit(&crew->viewers, memory_order_relaxed) != wanted)
        atomic_store_explicit(&crew->viewers, wanted, memory_order_relaxed);
}

/* ---- the leader: what it has for them -------------------------------------------------------------------------- */

/* Under the mutex. */
static void call(struct member *m)
{
    atomic_store_explicit(&m->called, true, memory_order_release);
    ring(m->wake_fd);
}

static void call_all(struct crew *crew)
{
    for (uint32_t i = 0; i < crew->count; i++)
        call(&crew->members[i]);
    (void)pthread_cond_broadcast(&crew->changed); /* those that rest */
}

void crew_rest(struct crew *crew)
{
    if (!crew)
        return;
    (void)pthread_mutex_lock(&crew->mutex);
    crew->rest_wanted = true;
    call_all(crew);
    while (crew->resting < crew->count)
        (void)pthread_cond_wait(&crew->changed, &crew->mutex);
    (void)pthread_mutex_unlock(&crew->mutex);
}

void crew_go(struct crew *crew)
{
    if (!crew)
        return;
    (void)pthread_mutex_lock(&crew->mutex);
    crew->rest_wanted = false;
    (void)pthread_cond_broadcast(&crew->changed);
    (void)pthread_mutex_unlock(&crew->mutex);
}

void crew_run(struct crew *crew, struct lane *own, crew_job_fn *fn, void *arg)
{
    if (!crew ||
        crew->running) { /* out of a callback, while all are in a job that turns their loops: the end */
        fn(arg, own);
        return;
    }
    crew->running = true;
    (void)pthread_mutex_lock(&crew->mutex);
    crew->job = fn;
    crew->job_arg = arg;
    crew->job_number++;
    crew->done = 0;
    call_all(crew);
    (void)pthread_mutex_unlock(&crew->mutex);
    fn(arg, own);
    (void)pthread_mutex_lock(&crew->mutex);
    while (crew->done < crew->count)
        (void)pthread_cond_wait(&crew->changed, &crew->mutex);
    (void)pthread_mutex_unlock(&crew->mutex);
    crew->running = false;
}

void crew_post(struct crew *crew, size_t member, struct crew_letter *letter)
{
    struct member *m = &crew->members[member];

    letter->next = NULL;
    (void)pthread_mutex_lock(&crew->mutex);
    *m->last_letter = letter;
    m->last_letter = &letter->next;
    call(m);
    (void)pthread_mutex_unlock(&crew->mutex);
}

size_t crew_size(const struct crew *crew)
{
    return crew ? crew->count : 0;
}

struct lane *crew_lane(struct crew *crew, size_t member)
{
    return &crew->members[member].lane;
}

int crew_kick_fd(const struct crew *crew)
{
    return crew ? crew->kick_fd : -1;
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

static int start_threads(struct crew *crew)
{
    int r = 0;

    for (uint32_t i = 0; i < crew->count && r == 0; i++) {
        struct member *m = &crew->members[i];

        m->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        r = m->wake_fd < 0 ? -errno : -pthread_create(&m->thread, NULL, member_main, m);
        m->has_thread = r == 0;
    }
    return r;
}

/* Until all that were started have opened what they need. */
static int wait_until_ready(struct crew *crew, int r)
{
    uint32_t started = 0;

    for (uint32_t i = 0; i < crew->count; i++)
        started += crew->members[i].has_thread;
    (void)pthread_mutex_lock(&crew->mutex);
    while (crew->ready < started)
        (void)pthread_cond_wait(&crew->changed, &crew->mutex);
    for (uint32_t i = 0; i < crew->count && r == 0; i++)
        r = crew->members[i].result;
    (void)pthread_mutex_unlock(&crew->mutex);
    return r;
}

static struct crew *allocate(const struct conf *conf, uint32_t members)
{
    struct crew *crew = calloc(1, sizeof(*crew));

    if (!crew)
        return NULL;
    crew->members = aligned_alloc(LINE_BYTES, members * sizeof(*crew->members));
    if (!crew->members) {
        free(crew);
        return NULL;
    }
    memset(crew->members, 0, members * sizeof(*crew->members));
    crew->conf = conf;
    crew->count = members;
    crew->kick_fd = -1;
    crew->last_lines = &crew->first_lines;
    (void)pthread_mutex_init(&crew->mutex, NULL);
    (void)pthread_cond_init(&crew->changed, NULL);
    for (uint32_t i = 0; i < members; i++) {
        struct member *m = &crew->members[i];

        m->crew = crew;
        m->index = i + 1;
        m->wake_fd = -1;
        m->last_letter = &m->first_letter;
    }
    return crew;
}

int crew_new(struct crew **ret, const struct conf *conf, uint32_t count, struct loop *leader,
    const struct crew_hooks *hooks)
{
    struct crew *crew = allocate(conf, count - 1);
    int r = 0;

    if (!crew)
        return -ENOMEM;
    crew->hooks = *hooks;
    crew->leader = leader;
    crew->kick_poll = (struct loop_poll){.fn = on_kick, .arg = crew, .fd = -1};
    crew->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (crew->kick_fd < 0)
        r = -errno;
    if (r == 0)
        r = loop_poll_start(leader, &crew->kick_poll, crew->kick_fd, POLLIN | LOOP_DRAINS);
    if (r == 0)
        r = start_threads(crew);
    r = wait_until_ready(crew, r);
    if (r < 0) {
        log_error("lanes: %s", strerror(-r));
        (void)crew_free(crew);
        return r;
    }
    *ret = crew;
    return 0;
}

static void stop(struct crew *crew, bool keep_stores)
{
    (void)pthread_mutex_lock(&crew->mutex);
    crew->stop = true;
    crew->keep_stores = keep_stores;
    call_all(crew);
    (void)pthread_mutex_unlock(&crew->mutex);
    for (uint32_t i = 0; i < crew->count; i++) {
        struct member *m = &crew->members[i];

        if (m->has_thread)
            (void)pthread_join(m->thread, NULL);
        m->has_thread = false;
    }
}

void crew_abandon(struct crew *crew)
{
    if (crew)
        stop(crew, true);
}

struct crew *crew_free(struct crew *crew)
{
    struct lines *next;

    if (!crew)
        return NULL;
    stop(crew, false);
    for (struct lines *lines = crew->first_lines; lines; lines = next) {
        next = lines->next;
        free(lines);
    }
    for (uint32_t i = 0; i < crew->count; i++)
        fd_close(&crew->members[i].wake_fd);
    loop_poll_stop(crew->leader, &crew->kick_poll);
    fd_close(&crew->kick_fd);
    (void)pthread_mutex_destroy(&crew->mutex);
    (void)pthread_cond_destroy(&crew->changed);
    free(crew->members);
    free(crew);
    return NULL;
}
