/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUITE loop
#include "tests/unit/enricher/both_loops.h"

/* ---- watches -------------------------------------------------------------------------------------- */

struct watch {
    struct loop *loop;
    struct loop_poll poll;
    unsigned calls;
    uint32_t events;
    enum { WATCH_LEAVE, WATCH_DRAIN, WATCH_ONE_BYTE, WATCH_STOP } act;
    struct watch *victim; /* stopped by the callback */
    bool restart;         /* and started again on its fd */
};

static void on_watch(void *arg, uint32_t events)
{
    struct watch *watch = arg;
    char buffer[4096];
    int fd = watch->poll.fd;

    watch->calls++;
    watch->events = events;
    if (watch->act == WATCH_DRAIN)
        while (read(fd, buffer, sizeof(buffer)) > 0)
            ;
    if (watch->act == WATCH_ONE_BYTE)
        (void)!read(fd, buffer, 1);
    if (watch->act == WATCH_STOP)
        loop_poll_stop(watch->loop, &watch->poll);
    if (watch->victim) {
        int victim_fd = watch->victim->poll.fd;

        loop_poll_stop(watch->loop, &watch->victim->poll);
        if (watch->restart)
            cr_assert_eq(loop_poll_start(watch->loop, &watch->victim->poll, victim_fd, POLLIN), 0);
        watch->victim = NULL;
    }
}

static void watch_init(struct watch *watch, struct loop *loop, int act)
{
    *watch = (struct watch){.loop = loop, .act = act, .poll = {.fn = on_watch, .arg = watch, .fd = -1}};
}

BOTH(readiness_comes_again_while_the_callback_leaves_it)
{
    struct loop *loop = new_loop(kind, NULL);
    struct watch watch;
    int pipe_fds[2];

    cr_assert_eq(pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC), 0);
    watch_init(&watch, loop, WATCH_LEAVE);
    cr_assert_eq(loop_poll_start(loop, &watch.poll, pipe_fds[0], POLLIN), 0);
    cr_assert_eq(write(pipe_fds[1], "x", 1), 1);
    run_until(loop, &watch.calls, 10);
    cr_assert(watch.events & POLLIN);
    watch.act = WATCH_DRAIN;
    settle(loop);
    watch.calls = 0;
    settle(loop);
    cr_assert_eq(watch.calls, 0);
    loop_free(loop);
}

BOTH(each_byte_left_behind_is_read_by_a_later_call)
{
    struct loop *loop = new_loop(kind, NULL);
    struct watch watch;
    int pipe_fds[2];

    cr_assert_eq(pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC), 0);
    watch_init(&watch, loop, WATCH_ONE_BYTE);
    cr_assert_eq(loop_poll_start(loop, &watch.poll, pipe_fds[0], POLLIN), 0);
    cr_assert_eq(write(pipe_fds[1], "0123456789", 10), 10);
    run_until(loop, &watch.calls, 10);
    settle(loop);
    cr_assert_eq(watch.calls, 10);
    loop_free(loop);
}

BOTH(a_draining_watch_misses_no_write_of_many)
{
    struct loop *loop = new_loop(kind, NULL);
    struct watch watch;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    watch_init(&watch, loop, WATCH_DRAIN);
    cr_assert_eq(loop_poll_start(loop, &watch.poll, fd, POLLIN | LOOP_DRAINS), 0);
    for (unsigned i = 1; i <= 20000; i++) {
        watch.calls = 0;
        cr_assert_eq(eventfd_write(fd, 1), 0);
        run_until(loop, &watch.calls, 1);
    }
    loop_poll_stop(loop, &watch.poll);
    loop_free(loop);
}

BOTH(a_stopped_watch_is_not_called_even_when_its_readiness_was_seen)
{
    struct loop *loop = new_loop(kind, NULL);
    struct watch first, second;
    int a = eventfd(1, EFD_NONBLOCK), b = eventfd(1, EFD_NONBLOCK);

    watch_init(&first, loop, WATCH_STOP);
    watch_init(&second, loop, WATCH_STOP);
    first.victim = &second;
    second.victim = &first;
    cr_assert_eq(loop_poll_start(loop, &first.poll, a, POLLIN), 0);
    cr_assert_eq(loop_poll_start(loop, &second.poll, b, POLLIN), 0);
    settle(loop);
    cr_assert_eq(first.calls + second.calls, 1);
    cr_assert_eq(first.poll.fd, -1);
    cr_assert_eq(second.poll.fd, -1);
    loop_poll_stop(loop, &first.poll);
    loop_free(loop);
}

BOTH(a_watch_restarted_by_another_callback_is_served)
{
    struct loop *loop = new_loop(kind, NULL);
    struct watch first, second;
    int a = eventfd(1, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK);

    watch_init(&first, loop, WATCH_DRAIN);
    watch_init(&second, loop, WATCH_DRAIN);
    first.victim = &second;
    first.restart = true;
    cr_assert_eq(loop_poll_start(loop, &second.poll, b, POLLIN), 0);
    cr_assert_eq(loop_poll_start(loop, &first.poll, a, POLLIN), 0);
    run_until(loop, &first.calls, 1);
    settle(loop);
    cr_assert_eq(second.calls, 0);
    cr_assert_eq(eventfd_write(b, 1), 0);
    run_until(loop, &second.calls, 1);
    settle(loop);
    cr_assert_eq(second.calls, 1);
    loop_free(loop);
}

BOTH(a_slot_used_again_does_not_hear_of_its_predecessor)
{
    struct loop *loop = new_loop(kind, NULL);
    struct watch old, young;
    int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK);

    watch_init(&old, loop, WATCH_LEAVE);
    watch_init(&young, loop, WATCH_LEAVE);
    cr_assert_eq(loop_poll_start(loop, &old.poll, a, POLLIN), 0);
    settle(loop);
    cr_assert_eq(eventfd_write(a, 1), 0);
    loop_poll_stop(loop, &old.poll);
    cr_assert_eq(loop_poll_start(loop, &young.poll, b, POLLIN), 0);
    settle(loop);
    cr_assert_eq(old.calls, 0);
    cr_assert_eq(young.calls, 0);
    loop_free(loop);
}

BOTH(a_closed_fd_whose_number_is_used_again_belongs_to_the_new_watch)
{
    struct loop *loop = new_loop(kind, NULL);
    struct watch watch;
    int fd = eventfd(0, EFD_NONBLOCK), again;

    watch_init(&watch, loop, WATCH_DRAIN);
    cr_assert_eq(loop_poll_start(loop, &watch.poll, fd, POLLIN), 0);
    loop_poll_stop(loop, &watch.poll);
    (void)close(fd);
    again = eventfd(0, EFD_NONBLOCK);
    cr_assert_eq(again, fd);
    cr_assert_eq(loop_poll_start(loop, &watch.poll, again, POLLIN), 0);
    settle(loop);
    cr_assert_eq(watch.calls, 0);
    cr_assert_eq(eventfd_write(again, 1), 0);
    run_until(loop, &watch.calls, 1);
    loop_free(loop);
}

BOTH(a_change_of_events_takes_effect_at_once)
{
    struct loop *loop = new_loop(kind, NULL);
    struct watch watch;
    int sockets[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
    watch_init(&watch, loop, WATCH_LEAVE);
    cr_assert_eq(loop_poll_start(loop, &watch.poll, sockets[0], POLLIN), 0);
    settle(loop);
    cr_assert_eq(watch.calls, 0);
    cr_assert_eq(loop_poll_change(loop, &watch.poll, POLLIN | POLLOUT), 0);
    run_until(loop, &watch.calls, 3);
    cr_assert(watch.events & POLLOUT);
    cr_assert_eq(loop_poll_change(loop, &watch.poll, POLLIN), 0);
    watch.calls = 0;
    settle(loop);
    cr_assert_eq(watch.calls, 0);
    cr_assert_eq(write(sockets[1], "x", 1), 1);
    run_until(loop, &watch.calls, 2);
    cr_assert_eq(watch.events & (POLLIN | POLLOUT), POLLIN);
    loop_free(loop);
}

BOTH(a_hang_up_is_told)
{
    struct loop *loop = new_loop(kind, NULL);
    struct watch watch;
    int sockets[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
    watch_init(&watch, loop, WATCH_LEAVE);
    cr_assert_eq(loop_poll_start(loop, &watch.poll, sockets[0], POLLIN), 0);
    (void)close(sockets[1]);
    run_until(loop, &watch.calls, 2);
    cr_assert(watch.events & POLLHUP);
    loop_free(loop);
}

BOTH(the_end_of_the_peers_own_side_is_told_only_to_whom_asks)
{
    struct loop *loop = new_loop(kind, NULL);
    struct watch watch;
    int sockets[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
    watch_init(&watch, loop, WATCH_LEAVE);
    cr_assert_eq(loop_poll_start(loop, &watch.poll, sockets[0], 0), 0);
    cr_assert_eq(shutdown(sockets[1], SHUT_WR), 0);
    settle(loop);
    cr_assert_leq(watch.calls, 1);
    watch.calls = 0;
    settle(loop);
    cr_assert_eq(watch.calls, 0);
    cr_assert_eq(loop_poll_change(loop, &watch.poll, POLLRDHUP), 0);
    run_until(loop, &watch.calls, 3);
    cr_assert_eq(loop_poll_change(loop, &watch.poll, 0), 0);
    (void)close(sockets[1]);
    watch.calls = 0;
    run_until(loop, &watch.calls, 2);
    cr_assert(watch.events & POLLHUP);
    loop_free(loop);
}

BOTH(room_is_told_again_and_again_after_the_peer_ended_its_own_side)
{
    struct loop *loop = new_loop(kind, NULL);
    struct watch watch;
    static char data[1 << 20];
    int sockets[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
    while (write(sockets[0], data, 4096) > 0)
        ;
    cr_assert_eq(shutdown(sockets[1], SHUT_WR), 0);
    watch_init(&watch, loop, WATCH_LEAVE);
    cr_assert_eq(loop_poll_start(loop, &watch.poll, sockets[0], POLLOUT), 0);
    settle(loop);
    cr_assert_eq(watch.calls, 0);
    while (read(sockets[1], data, sizeof(data)) > 0)
        ;
    run_until(loop, &watch.calls, 5);
    cr_assert_eq(watch.events, POLLOUT);
    while (write(sockets[0], data, 4096) > 0)
        ;
    settle(loop);
    watch.calls = 0;
    settle(loop);
    cr_assert_eq(watch.calls, 0);
    loop_free(loop);
}

BOTH(what_is_not_pollable_is_refused)
{
    struct loop *loop = new_loop(kind, NULL);
    struct watch watch;
    int file = memfd_create("file", MFD_CLOEXEC);

    watch_init(&watch, loop, WATCH_LEAVE);
    cr_assert_eq(loop_poll_start(loop, &watch.poll, file, POLLIN), -EPERM);
    cr_assert_eq(loop_poll_start(loop, &watch.poll, 9999, POLLIN), -EBADF);
    loop_poll_stop(loop, &watch.poll);
    loop_free(loop);
}

BOTH(a_thousand_watches_are_all_served)
{
    struct loop *loop = new_loop(kind, NULL);
    static struct watch watches[1000];
    unsigned served = 0;

    for (unsigned i = 0; i < 1000; i++) {
        int fd = eventfd(1, EFD_NONBLOCK);

        cr_assert_geq(fd, 0);
        watch_init(&watches[i], loop, WATCH_DRAIN);
        cr_assert_eq(loop_poll_start(loop, &watches[i].poll, fd, POLLIN | (i % 2 ? LOOP_DRAINS : 0)), 0);
    }
    for (int i = 0; i < 100; i++)
        cr_assert_eq(loop_run_once(loop, 0), 0);
    for (unsigned i = 0; i < 1000; i++)
        served += watches[i].calls == 1;
    cr_assert_eq(served, 1000);
    loop_free(loop);
}

/* ---- timers --------------------------------------------------------------------------------------- */

struct alarm {
    struct loop *loop;
    struct loop_timer timer;
    unsigned calls;
    uint64_t late_ns;
    struct alarm *victim;
    uint64_t again_after_ns; /* 0: not */
    unsigned *order, place;
};

static void on_alarm(void *arg, uint64_t now_ns)
{
    struct alarm *alarm = arg;

    cr_assert_geq(now_ns, alarm->timer.deadline_ns);
    alarm->late_ns = now_ns - alarm->timer.deadline_ns;
    alarm->calls++;
    if (alarm->order)
        alarm->place = ++*alarm->order;
    if (alarm->victim)
        loop_timer_disarm(alarm->loop, &alarm->victim->timer);
    if (alarm->again_after_ns)
        loop_timer_arm(alarm->loop, &alarm->timer, now_ns + alarm->again_after_ns - 1);
}

static void alarm_init(struct alarm *alarm, struct loop *loop)
{
    *alarm = (struct alarm){.loop = loop, .timer = {.fn = on_alarm, .arg = alarm}};
}

static uint64_t read_hand(void *arg)
{
    return *(uint64_t *)arg;
}

BOTH(a_timer_is_never_early_and_the_loop_sleeps_until_it)
{
    struct loop *loop = new_loop(kind, NULL);
    struct alarm alarm;

    for (uint64_t wait_ns = 1; wait_ns < 20 * NS_PER_MS; wait_ns = wait_ns * 7 + 1) {
        uint64_t deadline_ns = clock_boot_ns() + wait_ns;
        unsigned turns = 0;

        alarm_init(&alarm, loop);
        loop_timer_arm(loop, &alarm.timer, deadline_ns);
        while (!alarm.calls) {
            cr_assert_eq(loop_run_once(loop, UINT64_MAX), 0);
            turns++;
        }
        cr_assert_geq(clock_boot_ns(), deadline_ns);
        cr_assert_leq(turns, 3);
    }
    loop_free(loop);
}

BOTH(due_timers_run_in_the_order_of_their_deadlines)
{
    uint64_t now = 1000;
    struct clock clock = {.now = read_hand, .arg = &now};
    struct loop *loop = new_loop(kind, &clock);
    static struct alarm alarms[1000];
    unsigned order = 0, seed = 7;

    for (unsigned i = 0; i < 1000; i++) {
        alarm_init(&alarms[i], loop);
        alarms[i].order = &order;
        seed = seed * 1103515245u + 12345u;
        loop_timer_arm(loop, &alarms[i].timer, 2000 + seed / 65536 % 200);
    }
    for (unsigned i = 0; i < 1000; i += 3)
        loop_timer_disarm(loop, &alarms[i].timer);
    cr_assert_eq(loop_run_once(loop, UINT64_MAX), 0);
    cr_assert_eq(order, 0);
    now = 2099;
    cr_assert_eq(loop_run_once(loop, UINT64_MAX), 0);
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(alarms[i].calls, i % 3 && alarms[i].timer.deadline_ns <= 2099);
    now = 5000;
    cr_assert_eq(loop_run_once(loop, UINT64_MAX), 0);
    cr_assert_eq(order, 666);
    for (unsigned i = 0; i < 1000; i++)
        for (unsigned j = 0; j < 1000 && alarms[i].calls; j++)
            if (alarms[j].calls && alarms[i].timer.deadline_ns < alarms[j].timer.deadline_ns)
                cr_assert_lt(alarms[i].place, alarms[j].place);
    loop_free(loop);
}

BOTH(a_timer_may_disarm_one_that_is_due_in_the_same_turn)
{
    uint64_t now = 10;
    struct clock clock = {.now = read_hand, .arg = &now};
    struct loop *loop = new_loop(kind, &clock);
    struct alarm first, second, third;

    alarm_init(&first, loop);
    alarm_init(&second, loop);
    alarm_init(&third, loop);
    first.victim = &second;
    loop_timer_arm(loop, &third.timer, 5);
    loop_timer_arm(loop, &second.timer, 4);
    loop_timer_arm(loop, &first.timer, 3);
    cr_assert_eq(loop_run_once(loop, 0), 0);
    cr_assert_eq(first.calls, 1);
    cr_assert_eq(second.calls, 0);
    cr_assert_eq(third.calls, 1);
    loop_free(loop);
}

BOTH(a_timer_that_arms_itself_for_now_runs_once_a_turn)
{
    uint64_t now = 10;
    struct clock clock = {.now = read_hand, .arg = &now};
    struct loop *loop = new_loop(kind, &clock);
    struct alarm alarm;

    alarm_init(&alarm, loop);
    alarm.again_after_ns = 1;
    loop_timer_arm(loop, &alarm.timer, 3);
    for (unsigned i = 1; i <= 5; i++) {
        cr_assert_eq(loop_run_once(loop, UINT64_MAX), 0);
        cr_assert_eq(alarm.calls, i);
    }
    loop_free(loop);
}

BOTH(a_loop_with_a_clock_of_its_own_never_waits)
{
    uint64_t now = 10, before = clock_boot_ns();
    struct clock clock = {.now = read_hand, .arg = &now};
    struct loop *loop = new_loop(kind, &clock);

    cr_assert_eq(loop_run_once(loop, UINT64_MAX), 0);
    cr_assert_eq(loop_now(loop), 10);
    now = 11;
    cr_assert_eq(loop_run_once(loop, UINT64_MAX), 0);
    cr_assert_eq(loop_now(loop), 11);
    cr_assert_lt(clock_boot_ns() - before, NS_PER_SEC);
    loop_free(loop);
}

BOTH(the_wait_ends_at_the_given_time)
{
    struct loop *loop = new_loop(kind, NULL);
    uint64_t before = clock_boot_ns();

    cr_assert_eq(loop_run_once(loop, before + 20 * NS_PER_MS), 0);
    cr_assert_geq(clock_boot_ns() - before, 19 * NS_PER_MS);
    before = clock_boot_ns();
    cr_assert_eq(loop_run_once(loop, 0), 0);
    cr_assert_lt(clock_boot_ns() - before, 20 * NS_PER_MS);
    loop_free(loop);
}

/* ---- writes --------------------------------------------------------------------------------------- */

struct output_of_test {
    struct loop_write write;
    unsigned calls;
    int64_t result;
};

static void on_written(void *arg, int64_t result)
{
    struct output_of_test *output = arg;

    output->calls++;
    output->result = result;
}

static void output_init(struct output_of_test *output)
{
    *output = (struct output_of_test){.write = {.fn = on_written, .arg = output}};
}

BOTH(a_write_to_a_file_is_told_in_a_later_turn)
{
    struct loop *loop = new_loop(kind, NULL);
    struct output_of_test output;
    int fd = memfd_create("file", MFD_CLOEXEC);
    char back[16] = {0};

    output_init(&output);
    cr_assert_eq(loop_write_start(loop, &output.write, fd, "hello", 5, -1), 0);
    cr_assert(output.write.in_flight);
    cr_assert_eq(output.calls, 0);
    cr_assert_eq(loop_write_start(loop, &output.write, fd, "hello", 5, -1), -EBUSY);
    run_until(loop, &output.calls, 1);
    cr_assert_eq(output.result, 5);
    cr_assert_not(output.write.in_flight);
    cr_assert_eq(loop_write_start(loop, &output.write, fd, "world", 5, -1), 0);
    run_until(loop, &output.calls, 2);
    cr_assert_eq(loop_write_start(loop, &output.write, fd, "H", 1, 0), 0);
    run_until(loop, &output.calls, 3);
    cr_assert_eq(pread(fd, back, sizeof(back), 0), 10);
    cr_assert_str_eq(back, "Helloworld");
    loop_free(loop);
}

BOTH(a_full_disk_and_a_closed_pipe_are_errors_of_the_write)
{
    struct loop *loop = new_loop(kind, NULL);
    struct output_of_test output;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), pipe_fds[2];

    output_init(&output);
    cr_assert_eq(loop_write_start(loop, &output.write, full, "hello", 5, -1), 0);
    run_until(loop, &output.calls, 1);
    cr_assert_eq(output.result, -ENOSPC);
    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    (void)close(pipe_fds[0]);
    cr_assert_eq(loop_write_start(loop, &output.write, pipe_fds[1], "hello", 5, -1), 0);
    run_until(loop, &output.calls, 2);
    cr_assert_eq(output.result, -EPIPE);
    loop_free(loop);
}

/* The write of a full pipe waits; the loop does not. */
static void write_to_full_pipe(enum loop_kind kind, int flags)
{
    struct loop *loop = new_loop(kind, NULL);
    struct output_of_test output;
    static char data[256 * 1024];
    size_t got = 0, sent = 0;
    int pipe_fds[2];

    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC | flags), 0);
    output_init(&output);
    memset(data, 'x', sizeof(data));
    while (sent < sizeof(data)) {
        unsigned calls = output.calls;

        cr_assert_eq(
            loop_write_start(loop, &output.write, pipe_fds[1], data + sent, sizeof(data) - sent, -1), 0);
        for (int i = 0; i < 20 && output.calls == calls; i++)
            cr_assert_eq(loop_run_once(loop, clock_boot_ns() + NS_PER_MS), 0);
        while (output.calls == calls) {
            static char sink[sizeof(data)];
            ssize_t n = read(pipe_fds[0], sink, 65536);

            cr_assert_gt(n, 0);
            got += (size_t)n;
            cr_assert_eq(loop_run_once(loop, clock_boot_ns() + 10 * NS_PER_MS), 0);
        }
        cr_assert_gt(output.result, 0);
        sent += (size_t)output.result;
    }
    (void)close(pipe_fds[1]);
    for (ssize_t n; (n = read(pipe_fds[0], data, sizeof(data))) > 0;)
        got += (size_t)n;
    cr_assert_eq(got, sizeof(data));
    loop_free(loop);
}

BOTH(a_full_blocking_pipe_does_not_stop_the_loop)
{
    write_to_full_pipe(kind, 0);
}

BOTH(a_full_nonblocking_pipe_is_waited_for)
{
    write_to_full_pipe(kind, O_NONBLOCK);
}

BOTH(a_cancelled_write_is_told)
{
    struct loop *loop = new_loop(kind, NULL);
    struct output_of_test output;
    static char data[65536];
    int pipe_fds[2];

    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    cr_assert_eq(write(pipe_fds[1], data, sizeof(data)), sizeof(data));
    output_init(&output);
    cr_assert_eq(loop_write_start(loop, &output.write, pipe_fds[1], data, sizeof(data), -1), 0);
    settle(loop);
    cr_assert_eq(output.calls, 0);
    loop_write_cancel(loop, &output.write);
    loop_write_cancel(loop, &output.write);
    run_until(loop, &output.calls, 1);
    cr_assert(output.result == -ECANCELED || output.result == -EINTR);
    settle(loop);
    cr_assert_eq(output.calls, 1);
    loop_free(loop);
}

BOTH(a_loop_goes_with_a_write_that_never_ends)
{
    struct loop *loop = new_loop(kind, NULL);
    struct output_of_test output;
    static char data[65536];
    int pipe_fds[2];

    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    cr_assert_eq(write(pipe_fds[1], data, sizeof(data)), sizeof(data));
    output_init(&output);
    cr_assert_eq(loop_write_start(loop, &output.write, pipe_fds[1], data, sizeof(data), -1), 0);
    settle(loop);
    loop_free(loop);
    cr_assert_eq(output.calls, 0);
}
