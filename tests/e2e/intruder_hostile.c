/* SPDX-License-Identifier: Apache-2.0 */
/* What a taken-over enricher can do with what it was given: its page, its doorbell, its connection, its store. Each goes on for a while and then ends as it likes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/queue_layout.h"
#include "common/record.h"
#include "common/unix_socket.h"
#include "tests/e2e/intruder.h"

#define ATTACK_NS  (UINT64_C(600) * 1000000)
#define CROWD      64
#define HOLD_BYTES (64 << 20)

static const struct handoff_hello hello = {HANDOFF_MAGIC, HANDOFF_VERSION, HANDOFF_HELLO, RECORD_VERSION};

/* ---- its page ---------------------------------------------------------------------------------------------------- */

struct pages {
    struct queue_cursor_page *own;
    const struct queue_ring_page *ring;
};

/* Attaches again when it was cut off; keeps what it had mapped. false: not now. */
static bool hold_on(struct intruder *intruder, struct pages *pages)
{
    struct pollfd connection = {.fd = intruder->connection, .events = POLLIN};

    if (pages->own && intruder->connection >= 0 && poll(&connection, 1, 0) == 0)
        return true;
    if ((pages->own || intruder->connection < 0) && intruder_attach(intruder) < 0)
        return false;
    pages->own =
        mmap(NULL, QUEUE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, intruder->fds[HANDOFF_FD_CURSOR], 0);
    pages->ring = mmap(NULL, QUEUE_PAGE_BYTES, PROT_READ, MAP_SHARED, intruder->fds[HANDOFF_FD_RING], 0);
    if ((void *)pages->own == MAP_FAILED || (const void *)pages->ring == MAP_FAILED)
        _exit(ENOMEM);
    return true;
}

static void set_head(struct pages *pages, uint64_t head)
{
    atomic_store_explicit(&pages->own->head, head, memory_order_relaxed);
}

static uint64_t tail_of(const struct pages *pages)
{
    return atomic_load_explicit(&pages->ring->tail, memory_order_relaxed);
}

typedef void scribble_fn(struct intruder *intruder, struct pages *pages, uint64_t turn);

static long scribble(struct intruder *intruder, scribble_fn *fn)
{
    uint64_t end = node_now_ns() + ATTACK_NS;
    struct pages pages = {0};

    for (uint64_t turn = 0; node_now_ns() < end; turn++) {
        if (turn % 256 == 0 && !hold_on(intruder, &pages))
            continue;
        if (pages.own)
            fn(intruder, &pages, turn);
    }
    return 0;
}

static void beyond(struct intruder *intruder, struct pages *pages, uint64_t turn)
{
    (void)intruder;
    set_head(pages, turn % 2 ? UINT64_MAX : tail_of(pages) + 8);
}

static void amid(struct intruder *intruder, struct pages *pages, uint64_t turn)
{
    (void)intruder;
    set_head(pages, tail_of(pages) - 8 * (1 + turn % 8));
}

static void back(struct intruder *intruder, struct pages *pages, uint64_t turn)
{
    (void)intruder;
    set_head(pages, turn % 2 ? tail_of(pages) : 0);
}

static void race(struct intruder *intruder, struct pages *pages, uint64_t turn)
{
    (void)intruder;
    for (int i = 0; i < 500; i++) {
        set_head(pages, tail_of(pages));
        set_head(pages, turn * UINT64_C(6364136223846793005));
    }
}

static void release_all(struct intruder *intruder, struct pages *pages, uint64_t turn)
{
    (void)intruder;
    (void)turn;
    set_head(pages, tail_of(pages)); /* what it has not read: its own loss */
}

static void punch(struct intruder *intruder, struct pages *pages, uint64_t turn)
{
    (void)pages;
    (void)turn;
    (void)fallocate(
        intruder->fds[HANDOFF_FD_CURSOR], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, QUEUE_PAGE_BYTES);
}

#define SCRIBBLE(name)                                                                                       \
    static long hostile_##name(struct intruder *intruder)                                                    \
    {                                                                                                        \
        return scribble(intruder, name);                                                                     \
    }
SCRIBBLE(beyond)
SCRIBBLE(amid)
SCRIBBLE(back)
SCRIBBLE(race)
SCRIBBLE(release_all)
SCRIBBLE(punch)

/* ---- its doorbell -------------------------------------------------------------------------------------------------- */

/* It sleeps all the time, each time anew: each batch finds a reason to ring. */
static void sleep_anew(struct intruder *intruder, struct pages *pages, uint64_t turn)
{
    (void)intruder;
    atomic_store_explicit(&pages->own->sleep_ticket, (uint32_t)turn * 2 + 1, memory_order_relaxed);
}
SCRIBBLE(sleep_anew)

static long hostile_closed_bell(struct intruder *intruder)
{
    (void)close(intruder->fds[HANDOFF_FD_DOORBELL]);
    intruder->fds[HANDOFF_FD_DOORBELL] = -1;
    return scribble(intruder, sleep_anew);
}

static long hostile_shut_bell(struct intruder *intruder)
{
    (void)shutdown(intruder->fds[HANDOFF_FD_DOORBELL], SHUT_RDWR);
    return scribble(intruder, sleep_anew);
}

static long hostile_small_bell(struct intruder *intruder)
{
    (void)fcntl(intruder->fds[HANDOFF_FD_DOORBELL], F_SETFL, 0); /* its end alone may block */
    (void)setsockopt(intruder->fds[HANDOFF_FD_DOORBELL], SOL_SOCKET, SO_RCVBUF, &(int){1}, sizeof(int));
    return scribble(intruder, sleep_anew);
}

static void send_fds(int fd, const void *data, size_t size)
{
    int fds[UNIX_FDS_MAX];

    for (size_t i = 0; i < UNIX_FDS_MAX; i++)
        fds[i] = STDERR_FILENO;
    (void)unix_send(fd, data, size, fds, UNIX_FDS_MAX);
}

static void fill_bell(struct intruder *intruder, struct pages *pages, uint64_t turn)
{
    sleep_anew(intruder, pages, turn);
    send_fds(intruder->fds[HANDOFF_FD_DOORBELL], "x", 1);
}
SCRIBBLE(fill_bell)

/* ---- its connection ------------------------------------------------------------------------------------------------- */

typedef void talk_fn(struct intruder *intruder, int fd, uint64_t turn);

/* Connection after connection, each closed at once after what is said. */
static long talk(struct intruder *intruder, talk_fn *fn)
{
    uint64_t end = node_now_ns() + ATTACK_NS;

    intruder_detach(intruder);
    for (uint64_t turn = 0; node_now_ns() < end; turn++) {
        int fd = intruder_connect(intruder);

        if (fd < 0)
            continue;
        if (fn)
            fn(intruder, fd, turn);
        (void)close(fd);
    }
    return 0;
}

static void say_half(struct intruder *intruder, int fd, uint64_t turn)
{
    (void)intruder;
    (void)unix_send(fd, &hello, turn % sizeof(hello), NULL, 0);
}

static void say_nonsense(struct intruder *intruder, int fd, uint64_t turn)
{
    static const char bytes[65536];

    (void)intruder;
    (void)unix_send(fd, bytes, sizeof(bytes) >> turn % 16, NULL, 0);
}

static void pass_fds(struct intruder *intruder, int fd, uint64_t turn)
{
    (void)intruder;
    (void)turn;
    send_fds(fd, &hello, sizeof(hello));
}

static void say_all(struct intruder *intruder, int fd, uint64_t turn)
{
    (void)intruder;
    (void)turn;
    (void)unix_send(fd, &hello, sizeof(hello), NULL, 0);
}

static void say_twice(struct intruder *intruder, int fd, uint64_t turn)
{
    say_all(intruder, fd, turn);
    say_all(intruder, fd, turn);
}

#define TALK(name)                                                                                           \
    static long hostile_##name(struct intruder *intruder)                                                    \
    {                                                                                                        \
        return talk(intruder, name);                                                                         \
    }
TALK(say_half)
TALK(say_nonsense)
TALK(pass_fds)
TALK(say_all)
TALK(say_twice)

static long hostile_knock(struct intruder *intruder)
{
    return talk(intruder, NULL);
}

static long hostile_crowd(struct intruder *intruder)
{
    intruder_detach(intruder);
    for (unsigned i = 0; i < CROWD; i++)
        (void)intruder_connect(intruder); /* and stays, silent */
    node_sleep_ms(1200);                  /* longer than a greeting may take */
    return 0;
}

static long hostile_never_reads(struct intruder *intruder)
{
    int fd;

    intruder_detach(intruder);
    fd = intruder_connect(intruder);
    if (fd >= 0)
        (void)unix_send(fd, &hello, sizeof(hello), NULL, 0);
    node_sleep_ms(700);
    return 0;
}

static long hostile_reattach(struct intruder *intruder)
{
    uint64_t end = node_now_ns() + ATTACK_NS;

    while (node_now_ns() < end)
        (void)intruder_attach(intruder);
    return 0;
}

/* Whom it has been before lives on: old pages, old bells. */
static long hostile_former_lives(struct intruder *intruder)
{
    struct pages pages[8] = {{0}};
    uint64_t end = node_now_ns() + ATTACK_NS;

    for (unsigned i = 0; i < 8; i++) {
        if (!hold_on(intruder, &pages[i]))
            continue;
        (void)close(intruder->connection);
        intruder->connection = -1;
        for (size_t k = 0; k < HANDOFF_FD_COUNT; k++)
            intruder->fds[k] = -1; /* kept open */
    }
    for (uint64_t turn = 0; node_now_ns() < end; turn++) {
        if (pages[turn % 8].own)
            beyond(intruder, &pages[turn % 8], turn);
    }
    return 0;
}

static long hostile_chatter(struct intruder *intruder)
{
    uint64_t end = node_now_ns() + ATTACK_NS;

    while (node_now_ns() < end) {
        if (unix_send(intruder->connection, &hello, sizeof(hello), NULL, 0) < 0)
            (void)intruder_attach(intruder);
    }
    return 0;
}

/* Its own to fill, and its successor's to distrust. */
static long hostile_store(struct intruder *intruder)
{
    static char bytes[1 << 20];
    int fd = intruder->fds[HANDOFF_FD_HOLD];

    memset(bytes, 0xa5, sizeof(bytes));
    for (off_t at = 0; at < HOLD_BYTES; at += (off_t)sizeof(bytes)) {
        if (pwrite(fd, bytes, sizeof(bytes), at) < 0)
            return -1;
    }
    return ftruncate(fd, 100001);
}

/* One death a state, one after the other. */
static long hostile_deaths(struct intruder *intruder)
{
    unsigned state = intruder->turn % 6;
    struct pages pages = {0};
    int fd = -1;

    if (state < 4) {
        intruder_detach(intruder);
        fd = intruder_connect(intruder);
    }
    if (state == 1)
        (void)unix_send(fd, &hello, 7, NULL, 0);
    if (state >= 2 && state < 4)
        (void)unix_send(fd, &hello, sizeof(hello), NULL, 0);
    if (state == 3)
        node_sleep_ms(intruder->turn % 40); /* amid its snapshot */
    if (state >= 4 && hold_on(intruder, &pages))
        sleep_anew(intruder, &pages, 1);
    if (state == 5)
        beyond(intruder, &pages, 0);
    return 0;
}

#define ONCE 1

const struct hostile_row intruder_hostile_rows[] = {
    {"release positions beyond the tail", "Q3: cut off", hostile_beyond, ONCE},
    {"release positions amid a record", "Q3: cut off", hostile_amid, ONCE},
    {"release positions that go back", "Q3: cut off", hostile_back, ONCE},
    {"release positions that change while they are read", "Q3: read once a batch", hostile_race, ONCE},
    {"releasing what it has not read", "being its own loss", hostile_release_all, ONCE},
    {"punching holes into its page", "the seal SHRINK: a hole reads as zero", hostile_punch, ONCE},
    {"a sleep of its own for each batch, no ring ever read", "Q6: a full doorbell is not waited for",
        hostile_sleep_anew, ONCE},
    {"a closed doorbell", "Q6: MSG_NOSIGNAL, the error ignored", hostile_closed_bell, ONCE},
    {"a doorbell that is shut down", "Q6", hostile_shut_bell, ONCE},
    {"a doorbell that blocks and has no room", "Q6: each end has flags of its own", hostile_small_bell, ONCE},
    {"fds and bytes through the doorbell", "Q6: never read", hostile_fill_bell, ONCE},
    {"half a greeting, again and again", "H3: exact lengths", hostile_say_half, ONCE},
    {"nonsense of all lengths up to 64 KiB", "H3", hostile_say_nonsense, ONCE},
    {"fds with the greeting", "H2: no room for them", hostile_pass_fds, ONCE},
    {"a greeting and away, again and again", "H1", hostile_say_all, ONCE},
    {"two greetings", "H3: the end after one", hostile_say_twice, ONCE},
    {"a flood of connections", "C7: eight a millisecond", hostile_knock, ONCE},
    {"64 silent connections", "H4, a second for the greeting", hostile_crowd, ONCE},
    {"asking and never reading the answer", "H1: nothing waits for it", hostile_never_reads, ONCE},
    {"attaching again and again", "C7: a snapshot every 100 ms, in steps between drains", hostile_reattach,
        ONCE},
    {"eight former lives that write to their old pages", "C5: a new page for each", hostile_former_lives,
        ONCE},
    {"talking after it is attached", "H3: cut off", hostile_chatter, ONCE},
    {"64 MiB of rubbish in the hold store, cut amid", "never mapped by the collector", hostile_store, ONCE},
    {"dying in each state", "H1", hostile_deaths, 12},
};
const size_t intruder_hostile_count = sizeof(intruder_hostile_rows) / sizeof(intruder_hostile_rows[0]);
