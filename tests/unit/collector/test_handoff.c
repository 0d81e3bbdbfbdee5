/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/handoff.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/record.h"
#include "common/unix_socket.h"

#define NOBODY 65534

static struct handoff handoff;
static char folder[64], path[96];
static int fds_before;

static const struct handoff_hello hello = {HANDOFF_MAGIC, HANDOFF_VERSION, HANDOFF_HELLO, RECORD_VERSION};

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void setup(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/podkin-handoff-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chmod(folder, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    handoff = HANDOFF_EMPTY;
    fds_before = count_fds();
    cr_assert_eq(handoff_open(&handoff, path, getuid(), (gid_t)-1), 0);
}

Test(handoff, nothing_that_the_peer_put_in_our_place_keeps_us_from_listening)
{
    struct handoff squatted = HANDOFF_EMPTY;
    struct stat status;
    char folder_of_both[] = "/tmp/podkin-squat-XXXXXX", place[64];

    if (geteuid() != 0)
        cr_skip_test("needs root");
    cr_assert_not_null(mkdtemp(folder_of_both));
    (void)snprintf(place, sizeof(place), "%s/socket", folder_of_both);
    cr_assert_eq(symlink("/etc/passwd", place), 0);
    cr_assert_eq(lchown(place, NOBODY, NOBODY), 0);
    cr_assert_eq(handoff_open(&squatted, place, NOBODY, NOBODY), 0);
    cr_assert_eq(lstat(place, &status), 0);
    cr_expect(S_ISSOCK(status.st_mode));
    cr_expect_eq(status.st_uid, geteuid());
    handoff_close(&squatted);

    cr_assert_eq(symlink("/etc/passwd", place), 0); /* of somebody else: it stays */
    cr_expect_eq(handoff_open(&squatted, place, NOBODY, NOBODY), -EEXIST);
    cr_assert_eq(unlink(place), 0);
    cr_expect_eq(rmdir(folder_of_both), 0);
}

static void teardown(void)
{
    handoff_close(&handoff);
    cr_assert_eq(count_fds(), fds_before, "an fd leaked");
    cr_assert_eq(access(path, F_OK), -1, "the socket stayed");
    (void)rmdir(folder);
}

TestSuite(handoff, .init = setup, .fini = teardown, .timeout = 20);

/* One turn of the collector's loop. */
static enum handoff_event turn(int timeout_ms)
{
    struct pollfd fds[] = {
        {.fd = handoff.listener, .events = POLLIN}, {.fd = handoff.connection, .events = POLLIN}};
    enum handoff_event event = HANDOFF_NOTHING;

    cr_assert_geq(poll(fds, 2, timeout_ms), 0);
    if (fds[1].revents)
        event = handoff_on_connection(&handoff);
    if (event == HANDOFF_NOTHING && fds[0].revents)
        event = handoff_on_listener(&handoff, clock_boot_ns());
    if (event == HANDOFF_NOTHING)
        event = handoff_on_time(&handoff, clock_boot_ns());
    return event;
}

static enum handoff_event turn_until(enum handoff_event wanted)
{
    enum handoff_event event = HANDOFF_NOTHING;

    for (int i = 0; i < 200 && event != wanted; i++)
        event = turn(20);
    return event;
}

static int client_connect(void)
{
    int fd = unix_connect(path);

    cr_assert_geq(fd, 0);
    return fd;
}

static int client_greet(void)
{
    int fd = client_connect();

    cr_assert_eq(unix_send(fd, &hello, sizeof(hello), NULL, 0), 0);
    return fd;
}

static void attach(void)
{
    const struct handoff_attach message = {.magic = HANDOFF_MAGIC, .type = HANDOFF_ATTACH, .attach_count = 7};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int fds[HANDOFF_FD_COUNT] = {null, null, null, null, null};

    cr_assert_eq(handoff_send_attach(&handoff, &message, fds), 0);
    (void)close(null);
}

/* What the client reads: the reason of a refusal, 0 for a close without one, -1 for silence. */
static int client_read_refusal(int fd)
{
    struct handoff_refuse refuse = {0};
    ssize_t size;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    if (poll(&poll_fd, 1, 500) != 1)
        return -1;
    size = unix_receive(fd, &refuse, sizeof(refuse), NULL, 0, NULL);
    if (size == -ECONNRESET)
        size = unix_receive(fd, &refuse, sizeof(refuse), NULL, 0, NULL);
    if (size <= 0)
        return 0;
    cr_assert_eq(size, sizeof(refuse));
    cr_assert_eq(refuse.magic, HANDOFF_MAGIC);
    cr_assert_eq(refuse.type, HANDOFF_REFUSE);
    return (int)refuse.reason;
}

Test(handoff, socket_is_for_owner_and_group_only)
{
    struct stat status;

    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 07777, 0660);
}

Test(handoff, good_hello_is_wanted_and_attached_with_all_fds)
{
    struct handoff_attach message;
    int fds[HANDOFF_FD_COUNT], client = client_greet();
    size_t count = 0;

    cr_assert_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED);
    cr_assert_eq(handoff.state, HANDOFF_PREPARING);
    attach();
    cr_assert_eq(handoff.state, HANDOFF_ATTACHED);
    cr_assert_eq(
        unix_receive(client, &message, sizeof(message), fds, HANDOFF_FD_COUNT, &count), sizeof(message));
    cr_assert_eq(count, HANDOFF_FD_COUNT);
    cr_assert_eq(message.attach_count, 7);
    for (size_t i = 0; i < count; i++)
        (void)close(fds[i]);
    (void)close(client);
    cr_assert_eq(turn_until(HANDOFF_GONE), HANDOFF_GONE);
    cr_assert_eq(handoff.state, HANDOFF_IDLE);
}

Test(handoff, second_consumer_is_refused_and_the_first_undisturbed)
{
    int first = client_greet(), second;

    cr_assert_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED);
    second = client_greet();
    cr_assert_eq(turn_until(HANDOFF_REFUSED), HANDOFF_REFUSED);
    cr_assert_eq(client_read_refusal(second), HANDOFF_REFUSED_BUSY);
    attach();
    (void)close(second);
    second = client_greet();
    cr_assert_eq(turn_until(HANDOFF_REFUSED), HANDOFF_REFUSED);
    cr_assert_eq(handoff.state, HANDOFF_ATTACHED);
    (void)close(first);
    (void)close(second);
}

Test(handoff, next_consumer_is_accepted_as_soon_as_the_last_is_gone)
{
    for (int i = 0; i < 20; i++) {
        int client = client_greet();

        /* The end of the last one and the arrival of this one are seen in the same turn. */
        cr_assert_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED);
        attach();
        (void)close(client);
    }
}

Test(handoff, wrong_uid_is_refused_before_a_byte_is_read)
{
    int status = 0;
    pid_t child;

    if (getuid() != 0)
        cr_skip_test("needs root to become another user");
    cr_assert_eq(chmod(path, 0666), 0); /* the mode would keep it out already */
    child = fork();
    if (child == 0) {
        int fd;

        if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
            setresuid(NOBODY, NOBODY, NOBODY) < 0)
            _exit(100);
        fd = unix_connect(path);
        if (fd < 0)
            _exit(101);
        (void)unix_send(fd, &hello, sizeof(hello), NULL, 0);
        _exit(client_read_refusal(fd));
    }
    cr_assert_eq(turn_until(HANDOFF_REFUSED), HANDOFF_REFUSED);
    cr_assert_not_null(strstr(handoff_line(&handoff), "uid 65534"));
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), HANDOFF_REFUSED_PEER);
    cr_assert_eq(handoff.state, HANDOFF_IDLE);
}

Test(handoff, mode_keeps_other_users_out)
{
    int status = 0;
    pid_t child;

    if (getuid() != 0)
        cr_skip_test("needs root to become another user");
    child = fork();
    if (child == 0) {
        if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
            setresuid(NOBODY, NOBODY, NOBODY) < 0)
            _exit(100);
        _exit(unix_connect(path) == -EACCES ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}

/* Refused with this reason, and the socket serves the next one. */
static void check_refused(const void *message, size_t size, const int *fds, size_t fd_count, int reason)
{
    int client = client_connect(), next, fds_now, watched;

    cr_assert_eq(turn(100), HANDOFF_NOTHING); /* accepted */
    cr_assert_eq(handoff.state, HANDOFF_GREETING);
    fds_now = count_fds();
    watched = handoff.peer >= 0;
    cr_assert_eq(unix_send(client, message, size, fds, fd_count), 0);
    cr_assert_eq(turn_until(HANDOFF_REFUSED), HANDOFF_REFUSED, "size %zu", size);
    cr_assert_gt(strlen(handoff_line(&handoff)), 0);
    cr_assert_null(strchr(handoff_line(&handoff), '\n'));
    cr_assert_eq(count_fds(), fds_now - 1 - watched, "the connection, its process, and nothing else");
    cr_assert_eq(client_read_refusal(client), reason, "size %zu", size);
    (void)close(client);
    next = client_greet();
    cr_assert_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED);
    handoff_close_connection(&handoff);
    (void)close(next);
}

Test(handoff, hello_of_another_length_is_refused)
{
    char big[70000];

    memset(big, 0, sizeof(big));
    memcpy(big, &hello, sizeof(hello));
    check_refused(big, sizeof(hello) - 1, NULL, 0, HANDOFF_REFUSED_MESSAGE);
    check_refused(big, 1, NULL, 0, HANDOFF_REFUSED_MESSAGE);
    check_refused(big, sizeof(hello) + 1, NULL, 0, HANDOFF_REFUSED_MESSAGE);
    check_refused(big, sizeof(big), NULL, 0, HANDOFF_REFUSED_MESSAGE);
}

Test(handoff, empty_message_is_no_hello)
{
    int client = client_connect();

    cr_assert_eq(turn(100), HANDOFF_NOTHING);
    cr_assert_eq(send(client, "", 0, MSG_NOSIGNAL), 0);
    cr_assert_eq(turn_until(HANDOFF_REFUSED), HANDOFF_REFUSED);
    cr_assert_eq(handoff.state, HANDOFF_IDLE);
    (void)close(client);
}

Test(handoff, hello_of_another_meaning_is_refused)
{
    struct handoff_hello bad = hello;

    bad.magic ^= 1;
    check_refused(&bad, sizeof(bad), NULL, 0, HANDOFF_REFUSED_MESSAGE);
    bad = hello, bad.type = HANDOFF_ATTACH;
    check_refused(&bad, sizeof(bad), NULL, 0, HANDOFF_REFUSED_MESSAGE);
    bad = hello, bad.version++;
    check_refused(&bad, sizeof(bad), NULL, 0, HANDOFF_REFUSED_VERSION);
    bad = hello, bad.record_version++;
    check_refused(&bad, sizeof(bad), NULL, 0, HANDOFF_REFUSED_VERSION);
    memset(&bad, 0xff, sizeof(bad));
    check_refused(&bad, sizeof(bad), NULL, 0, HANDOFF_REFUSED_MESSAGE);
}

Test(handoff, hello_with_fds_is_refused_and_none_enters_the_process)
{
    const int fds[3] = {STDERR_FILENO, STDERR_FILENO, STDERR_FILENO};

    check_refused(&hello, sizeof(hello), fds, 1, HANDOFF_REFUSED_MESSAGE);
    check_refused(&hello, sizeof(hello), fds, 3, HANDOFF_REFUSED_MESSAGE);
}

Test(handoff, silent_client_is_refused_at_the_deadline_and_not_before)
{
    uint64_t start = clock_boot_ns();
    int client = client_connect();

    cr_assert_eq(turn_until(HANDOFF_REFUSED), HANDOFF_REFUSED);
    cr_assert_geq(clock_boot_ns() - start, HANDOFF_HELLO_TIMEOUT_NS);
    cr_assert_lt(clock_boot_ns() - start, 3 * HANDOFF_HELLO_TIMEOUT_NS);
    cr_assert_eq(client_read_refusal(client), HANDOFF_REFUSED_MESSAGE);
    (void)close(client);
}

Test(handoff, consumer_that_dies_before_attach_is_gone)
{
    const struct handoff_attach message = {.magic = HANDOFF_MAGIC};
    const int fds[HANDOFF_FD_COUNT] = {0, 0, 0, 0, 0};
    int client = client_greet();

    cr_assert_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED);
    (void)close(client);
    cr_assert_eq(turn_until(HANDOFF_GONE), HANDOFF_GONE);
    cr_assert_eq(handoff.state, HANDOFF_IDLE);

    /* And not noticed before the answer is sent. */
    client = client_greet();
    cr_assert_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED);
    (void)close(client);
    cr_assert_eq(handoff_send_attach(&handoff, &message, fds), -EPIPE);
    cr_assert_eq(handoff.state, HANDOFF_IDLE);
}

Test(handoff, anything_said_after_hello_ends_the_connection)
{
    for (int attached = 0; attached < 2; attached++) {
        int client = client_greet();

        cr_assert_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED);
        if (attached)
            attach();
        cr_assert_eq(unix_send(client, &hello, sizeof(hello), NULL, 0), 0);
        cr_assert_eq(turn_until(HANDOFF_GONE), HANDOFF_GONE);
        cr_assert_not_null(strstr(handoff_line(&handoff), "cut off"));
        (void)close(client);
    }
}

Test(handoff, calls_without_cause_change_nothing)
{
    int client;

    cr_assert_eq(handoff_on_listener(&handoff, 0), HANDOFF_NOTHING);
    cr_assert_eq(handoff_on_connection(&handoff), HANDOFF_NOTHING);
    client = client_greet();
    cr_assert_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED);
    cr_assert_eq(handoff_on_connection(&handoff), HANDOFF_NOTHING);
    attach();
    cr_assert_eq(handoff_on_connection(&handoff), HANDOFF_NOTHING);
    cr_assert_eq(handoff_on_listener(&handoff, 0), HANDOFF_NOTHING);
    cr_assert_eq(handoff_on_time(&handoff, UINT64_MAX), HANDOFF_NOTHING);
    cr_assert_eq(handoff.state, HANDOFF_ATTACHED);
    (void)close(client);
}

Test(handoff, crowd_at_the_door_is_turned_away_without_leaks)
{
    int first = client_greet(), count;

    cr_assert_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED);
    attach();
    count = count_fds();
    for (int i = 0; i < 300; i++) {
        int client = unix_connect(path);

        cr_assert_geq(client, 0);
        if (i % 2)
            (void)unix_send(client, &hello, sizeof(hello), (const int[]){client}, 1);
        if (i % 3)
            (void)close(client);
        cr_assert_eq(turn_until(HANDOFF_REFUSED), HANDOFF_REFUSED);
        if (i % 3 == 0)
            (void)close(client);
    }
    cr_assert_eq(count_fds(), count);
    cr_assert_eq(handoff.state, HANDOFF_ATTACHED);
    (void)close(first);
}

Test(handoff, stale_socket_is_replaced_and_a_living_one_is_not)
{
    struct handoff other = HANDOFF_EMPTY;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char stale[80];
    int fd;

    cr_assert_eq(handoff_open(&other, path, getuid(), (gid_t)-1), -EADDRINUSE);
    (void)snprintf(stale, sizeof(stale), "%s/stale", folder);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", stale);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd);
    cr_assert_eq(handoff_open(&other, stale, getuid(), (gid_t)-1), 0);
    handoff_close(&other);
    cr_assert_eq(access(stale, F_OK), -1);

    fd = open(stale, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    (void)close(fd);
    cr_assert_eq(handoff_open(&other, stale, getuid(), (gid_t)-1), -EEXIST);
    cr_assert_eq(access(stale, F_OK), 0, "what is no socket is not ours to remove");
    (void)unlink(stale);
}

Test(handoff, path_longer_than_an_address_is_refused)
{
    struct handoff other = HANDOFF_EMPTY;
    char stale[200];

    memset(stale, 'x', sizeof(stale));
    stale[0] = '/';
    stale[sizeof(stale) - 1] = '\0';
    cr_assert_eq(handoff_open(&other, stale, getuid(), (gid_t)-1), -ENAMETOOLONG);
}

/* ---- the process behind the connection (H5) ------------------------------------------------------------------------ */

/* Connects in a process of its own, which goes on until it is told; its end of the connection comes back to us as well, as it would to a child. */
static pid_t start_maker(int ret_pipe[2], int *ret_kept, bool greets)
{
    int pair[2];
    pid_t pid;
    char byte;

    cr_assert_eq(pipe2(ret_pipe, O_CLOEXEC), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        int fd = unix_connect(path);

        if (greets)
            (void)unix_send(fd, &hello, sizeof(hello), NULL, 0);
        (void)unix_send(pair[1], "", 1, &fd, 1);
        (void)close(ret_pipe[1]);
        (void)!read(ret_pipe[0], &byte, 1);
        _exit(0);
    }
    (void)close(pair[1]);
    (void)fcntl(pair[0], F_SETFL, 0);
    cr_assert_eq(poll(&(struct pollfd){.fd = pair[0], .events = POLLIN}, 1, 5000), 1);
    cr_assert_eq(unix_receive(pair[0], &byte, 1, ret_kept, 1, &(size_t){0}), 1);
    (void)close(pair[0]);
    return pid;
}

static void end_maker(pid_t pid, int pipe_fds[2])
{
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(handoff, connection_ends_with_its_maker_though_another_keeps_it)
{
    int pipe_fds[2], kept = -1, next;
    pid_t pid = start_maker(pipe_fds, &kept, true);

    cr_assert_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED);
    if (handoff.peer < 0)
        cr_skip_test("the kernel has no pid fds");
    attach();
    cr_expect_eq(handoff_on_peer(&handoff), HANDOFF_NOTHING);
    end_maker(pid, pipe_fds);
    cr_assert_eq(handoff_on_connection(&handoff), HANDOFF_NOTHING, "the connection itself is whole");
    cr_expect_eq(handoff_on_peer(&handoff), HANDOFF_GONE);
    cr_expect_not_null(strstr(handoff_line(&handoff), "its process has ended"));
    cr_expect_eq(handoff.state, HANDOFF_IDLE);
    next = client_greet();
    cr_expect_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED, "the next one is served");
    (void)close(next);
    (void)close(kept);
}

Test(handoff, who_comes_after_a_dead_consumer_is_not_too_early)
{
    int pipe_fds[2], kept = -1, next;
    pid_t pid = start_maker(pipe_fds, &kept, true);

    cr_assert_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED);
    if (handoff.peer < 0)
        cr_skip_test("the kernel has no pid fds");
    attach();
    end_maker(pid, pipe_fds);
    next = client_greet();
    cr_expect_eq(handoff_on_listener(&handoff, clock_boot_ns()), HANDOFF_GONE);
    cr_expect_eq(turn_until(HANDOFF_WANTED), HANDOFF_WANTED);
    (void)close(next);
    (void)close(kept);
}

Test(handoff, connection_whose_maker_has_ended_is_refused)
{
    int pipe_fds[2], kept = -1;
    pid_t pid = start_maker(pipe_fds, &kept, true);

    end_maker(pid, pipe_fds);
    cr_assert_eq(turn_until(HANDOFF_REFUSED), HANDOFF_REFUSED);
    cr_expect_not_null(strstr(handoff_line(&handoff), "the process that connected has ended"));
    cr_expect_eq(handoff.state, HANDOFF_IDLE);
    (void)close(kept);
}
