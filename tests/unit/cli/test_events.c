// SPDX-License-Identifier: Apache-2.0
/* The program as it is run: exit status, what is on which stream, signals, sockets. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 10000

static char folder[64], socket_path[96], file_path[96];

static void make_folder(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/podkin-events-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(socket_path, sizeof(socket_path), "%s/sock", folder);
    (void)snprintf(file_path, sizeof(file_path), "%s/log", folder);
    (void)signal(SIGPIPE, SIG_IGN);
}

static void remove_folder(void)
{
    char rotated[128];

    (void)snprintf(rotated, sizeof(rotated), "%s.1", file_path);
    (void)unlink(rotated);
    (void)unlink(file_path);
    (void)unlink(socket_path);
    (void)rmdir(folder);
}

TestSuite(events, .init = make_folder, .fini = remove_folder, .timeout = 60);

struct run {
    pid_t pid;
    int in, out, err; /* our ends; -1: closed */
    char text[65536]; /* of stdout */
    size_t size;
};

static int our_end(int pair[2], int theirs)
{
    (void)close(pair[theirs]);
    (void)fcntl(pair[1 - theirs], F_SETFD, FD_CLOEXEC);
    return pair[1 - theirs];
}

static const char *program(void)
{
    static char path[4096];
    const char *root = getenv("PODKIN_BUILD_ROOT");

    (void)snprintf(path, sizeof(path), "%s/enricher/podkin", root ? root : ".");
    return path;
}

static void start(struct run *run, const char *const *words)
{
    const char *argv[24] = {program()};
    int in[2], out[2], err[2];

    for (size_t i = 0; words[i]; i++)
        argv[i + 1] = words[i];
    *run = (struct run){0};
    cr_assert(eq(int, pipe(in) | pipe(out) | pipe(err), 0));
    run->pid = fork();
    cr_assert(ge(int, run->pid, 0));
    if (run->pid == 0) {
        (void)signal(SIGPIPE, SIG_DFL);
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(err[1], STDERR_FILENO);
        for (int i = 0; i < 2; i++) {
            (void)close(in[i]);
            (void)close(out[i]);
            (void)close(err[i]);
        }
        (void)execv(argv[0], (char **)(void *)argv);
        _exit(127);
    }
    run->in = our_end(in, 0);
    run->out = our_end(out, 1);
    run->err = our_end(err, 1);
}

#define START(run, ...) start((run), (const char *const[]){__VA_ARGS__, NULL})

/* Reads stdout until `word` is there; NULL: to its end. */
static void read_until(struct run *run, const char *word)
{
    while (!word || !strstr(run->text, word)) {
        struct pollfd polled = {.fd = run->out, .events = POLLIN};
        ssize_t got;

        cr_assert(eq(int, poll(&polled, 1, WAIT_MS), 1), "no '%s' in: %s", word ? word : "end", run->text);
        got = read(run->out, run->text + run->size, sizeof(run->text) - 1 - run->size);
        if (got <= 0 && !word)
            return;
        cr_assert(gt(i64, got, 0), "ended without '%s': %s", word ? word : "", run->text);
        run->size += (size_t)got;
        run->text[run->size] = '\0';
    }
}

/* Exit status; what stderr said goes to `said`. */
static int finish(struct run *run, char said[4096])
{
    ssize_t got;
    size_t size = 0;
    int status;

    if (run->in >= 0)
        (void)close(run->in);
    if (run->out >= 0) {
        read_until(run, NULL);
        (void)close(run->out);
    }
    while ((got = read(run->err, said + size, 4095 - size)) > 0)
        size += (size_t)got;
    said[size] = '\0';
    (void)close(run->err);
    cr_assert(eq(int, waitpid(run->pid, &status, 0), run->pid));
    cr_assert(eq(int, WTERMSIG(status), 0), "killed by a signal");
    return WEXITSTATUS(status);
}

static void give(int fd, const char *text)
{
    cr_assert(eq(i64, write(fd, text, strlen(text)), (ssize_t)strlen(text)));
}

static void write_file(const char *text)
{
    FILE *file = fopen(file_path, "ae");

    cr_assert_not_null(file);
    cr_assert(ge(int, fputs(text, file), 0));
    (void)fclose(file);
}

#define EVENT(type, pid, ns)                                                                                 \
    "{\"process_" type "\":{\"process\":{\"pid\":" pid ",\"binary\":\"/bin/x\",\"pod\":{\"namespace\":\"" ns \
    "\",\"name\":\"web\",\"container\":{\"name\":\"c\"}},\"pod_state\":\"complete\"}},\"time\":\"2026-11-"   \
    "23T20:55:00Z\",\"held_ms\":40}\n"

Test(events, json_passes_matching_lines_byte_for_byte)
{
    static const char unknown[] = "{ \"process_future\" : {\"x\" : 1.50} }\n";
    struct run run;
    char said[4096];

    write_file(EVENT("exec", "1", "a") "no json\n" EVENT("exec", "2", "b"));
    write_file(unknown);
    START(&run, "events", file_path, "-o", "json");
    cr_assert(eq(int, finish(&run, said), 0));
    cr_assert_str_eq(run.text,
        EVENT("exec", "1", "a") EVENT("exec", "2", "b") "{ \"process_future\" : {\"x\" : 1.50} }\n");
    cr_assert_str_eq(said, "podkin: warning: 1 malformed line not shown\n");
    START(&run, "events", file_path, "-o", "json", "--namespace", "b");
    cr_assert(eq(int, finish(&run, said), 0));
    cr_assert_str_eq(run.text, EVENT("exec", "2", "b"));
}

Test(events, stdin_is_shown_line_by_line_and_to_a_last_one_without_newline)
{
    struct run run;
    char said[4096];

    START(&run, "events", "-", "--time", "none", "--ascii");
    give(run.in, EVENT("exec", "1", "a"));
    read_until(&run, "held 40ms\n"); /* before the pipe is closed */
    give(run.in, "{\"process_exec\":{\"process\":{\"pid\":2,\"binary\":\"/last\"}}}");
    cr_assert(eq(int, finish(&run, said), 0));
    cr_assert_not_null(strstr(run.text, "/last\n"));
    cr_assert_str_eq(said, "");
}

Test(events, count_ends_it)
{
    struct run run;
    char said[4096];

    START(&run, "events", "-", "-n", "2", "--type", "fork");
    give(run.in,
        EVENT("exec", "1", "a") EVENT("fork", "2", "a") EVENT("fork", "3", "a") EVENT("fork", "4", "a"));
    read_until(&run, NULL);
    cr_assert(eq(int, finish(&run, said), 0));
    cr_assert_not_null(strstr(run.text, " 3 "));
    cr_assert_null(strstr(run.text, " 4 "));
    cr_assert_null(strstr(run.text, "exec"));
}

Test(events, a_reader_that_has_enough_ends_it_quietly)
{
    struct run run;
    char said[4096];

    START(&run, "events", "-", "--summary");
    (void)close(run.out);
    run.out = -1;
    if (write(run.in, "\n", 1) < 0)
        cr_assert(eq(int, errno, EPIPE));
    cr_assert(eq(int, finish(&run, said), 0));
    cr_assert_str_eq(said, "");
}

Test(events, interrupt_ends_with_the_summary)
{
    struct run run;
    char said[4096];

    START(&run, "events", "-", "--summary");
    give(run.in, EVENT("exec", "1", "a") EVENT("fork", "2", "a") "{\"lost\":{\"by_type\":{\"exec\":7}}}\n");
    read_until(&run, "7 lost");
    cr_assert(eq(int, kill(run.pid, SIGINT), 0));
    cr_assert(eq(int, finish(&run, said), 0));
    cr_assert_not_null(strstr(run.text, "\n  fork                        1\n"));
    cr_assert_not_null(strstr(run.text, "\n  complete                    2\n"));
    cr_assert_not_null(strstr(run.text, "\n  median                  40 ms\n"));
    cr_assert_not_null(strstr(run.text, "\nlost\n  records                     7\n"));
}

Test(events, a_followed_file_is_followed_over_its_rotation)
{
    struct run run;
    char said[4096], rotated[128];

    (void)snprintf(rotated, sizeof(rotated), "%s.1", file_path);
    write_file(EVENT("exec", "1001", "a"));
    START(&run, "events", file_path, "--follow", "-o", "json");
    read_until(&run, "1001");
    write_file(EVENT("exec", "1002", "a"));
    cr_assert(eq(int, rename(file_path, rotated), 0));
    write_file(EVENT("exec", "1003", "a"));
    read_until(&run, "1003");
    cr_assert(eq(int, kill(run.pid, SIGTERM), 0));
    cr_assert(eq(int, finish(&run, said), 0));
    cr_assert_str_eq(
        run.text, EVENT("exec", "1001", "a") EVENT("exec", "1002", "a") EVENT("exec", "1003", "a"));
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    (void)unlink(path);
    cr_assert(ge(int, fd, 0));
    cr_assert(eq(int, bind(fd, (struct sockaddr *)&address, sizeof(address)), 0));
    cr_assert(eq(int, listen(fd, 4), 0));
    return fd;
}

/* A client whose request was `request`. */
static int accept_one(int listener, const char *request)
{
    struct pollfd polled = {.fd = listener, .events = POLLIN};
    char got[64] = "";
    int fd;

    cr_assert(eq(int, poll(&polled, 1, WAIT_MS), 1));
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert(ge(int, fd, 0));
    cr_assert(eq(i64, read(fd, got, sizeof(got) - 1), (ssize_t)strlen(request)));
    cr_assert_str_eq(got, request);
    return fd;
}

Test(events, live_events_go_on_when_the_enricher_is_back)
{
    int listener = listen_at(socket_path), client;
    struct run run;
    char said[4096];

    START(&run, "events", "--events-socket", socket_path, "--ascii");
    client = accept_one(listener, "events\n");
    give(client, EVENT("exec", "1001", "a") "{\"process_exec\":{\"process\":{\"pid\":66");
    read_until(&run, "1001");
    (void)close(client);
    (void)close(listener);
    read_until(&run, "went away");
    listener = listen_at(socket_path);
    client = accept_one(listener, "events\n");
    give(client, EVENT("exec", "1002", "a"));
    read_until(&run, "1002"); /* and not glued to the torn line before */
    cr_assert_not_null(strstr(run.text, "is back"));
    cr_assert(eq(int, kill(run.pid, SIGINT), 0));
    cr_assert(eq(int, finish(&run, said), 0));
    (void)close(client);
    (void)close(listener);
}

Test(events, without_reconnecting_it_ends_with_the_enricher)
{
    int listener = listen_at(socket_path), client;
    struct run run;
    char said[4096];

    START(&run, "events", "--events-socket", socket_path, "--no-reconnect", "-o", "json");
    client = accept_one(listener, "events\n");
    give(client, EVENT("exec", "1", "a"));
    (void)close(client);
    cr_assert(eq(int, finish(&run, said), 0));
    cr_assert_str_eq(run.text, EVENT("exec", "1", "a"));
    (void)close(listener);
}

Test(events, mistakes_are_one_line_and_a_status)
{
    static const struct {
        const char *words[6];
        int status;
        const char *said;
    } cases[] = {
        {{"events", "--frobnicate"}, 2,
            "podkin: error: unknown option '--frobnicate'; see podkin help events\n"},
        {{"events", "-x"}, 2, "podkin: error: unknown option '-x'; see podkin help events\n"},
        {{"events", "--pod"}, 2, "podkin: error: option '--pod' needs a value; see podkin help events\n"},
        {{"events", "-o", "xml"}, 2, "podkin: error: --output: expected one of compact, json, not 'xml'\n"},
        {{"events", "-n", "0"}, 2, "podkin: error: --count: expected a number above 0, not '0'\n"},
        {{"events", "--pid", "x"}, 2, "podkin: error: --pid: expected a process id, not 'x'\n"},
        {{"events", "-f"}, 2, "podkin: error: --follow is for a file; the enricher is followed anyway\n"},
        {{"events", "-f", "a", "b"}, 2, "podkin: error: --follow is for one file: 'a' and 'b'\n"},
        {{"events", "/nonexistent/x"}, 1,
            "podkin: error: cannot open /nonexistent/x: No such file or directory\n"},
        {{"events", "/tmp"}, 1, "podkin: error: cannot read /tmp: it is a directory\n"},
        {{"expand", "--all"}, 2, "podkin: error: unknown option '--all'; see podkin help expand\n"},
        {{"expand", "/nonexistent/x"}, 1,
            "podkin: error: cannot open /nonexistent/x: No such file or directory\n"},
        {{"frobnicate"}, 2, "podkin: error: no command 'frobnicate'; podkin help lists them\n"},
        {{"help", "frobnicate"}, 2, "podkin: error: no command 'frobnicate'; podkin help lists them\n"},
        {{"status", "--events-socket", "/nonexistent/s"}, 1,
            "podkin: error: cannot reach the enricher at /nonexistent/s: No such file or directory\n"},
        {{"status", "x"}, 2, "podkin: error: status takes no 'x'; see podkin help status\n"},
        {{"explain"}, 2, "podkin: error: explain takes one process id; see podkin help explain\n"},
        {{"explain", "-5"}, 2, "podkin: error: unknown option '-5'; see podkin help explain\n"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct run run;
        char said[4096];

        start(&run, cases[i].words);
        cr_expect(eq(int, finish(&run, said), cases[i].status), "%s", cases[i].said);
        cr_expect_str_eq(said, cases[i].said);
        cr_expect_str_eq(run.text, "");
    }
}

Test(events, help_is_on_stdout)
{
    static const char *const commands[] = {"events", "status", "explain"};
    struct run run;
    char said[4096];

    for (size_t i = 0; i < 3; i++) {
        char start_of_help[32];

        (void)snprintf(start_of_help, sizeof(start_of_help), "podkin %s", commands[i]);
        START(&run, "help", commands[i]);
        cr_expect(eq(int, finish(&run, said), 0));
        cr_expect(eq(int, strncmp(run.text, start_of_help, strlen(start_of_help)), 0));
        START(&run, commands[i], "--help");
        cr_expect(eq(int, finish(&run, said), 0));
        cr_expect(eq(int, strncmp(run.text, start_of_help, strlen(start_of_help)), 0));
    }
    START(&run, "--version");
    cr_expect(eq(int, finish(&run, said), 0));
    cr_expect(eq(int, strncmp(run.text, "podkin ", 7), 0));
}

Test(events, cgroup_paths_come_from_stdin_line_by_line)
{
    struct run run;
    char said[4096];

    START(&run, "explain", "--cgroup-path");
    give(
        run.in, "/system.slice/cron.service\n/kubepods/besteffort/pod6bd2a4d3-a55a-4450-b6fd-2a7ecc72c904\n");
    cr_assert(eq(int, finish(&run, said), 0));
    cr_assert_str_eq(run.text, "\t\tnone\n6bd2a4d3-a55a-4450-b6fd-2a7ecc72c904\t\tpod\n");
}

Test(events, explain_shows_the_enrichers_steps)
{
    int listener = listen_at(socket_path), client;
    struct run run;
    char said[4096];

    START(&run, "explain", "7", "--events-socket", socket_path);
    client = accept_one(listener, "explain 7\n");
    give(client, "{\"steps\":[{\"step\":\"process\",\"value\":7,\"source\":\"stream\"},{\"step\":\"Pod\","
                 "\"value\":\"\",\"missing\":\"no source \\u001b[2J\"}]}\n");
    (void)close(client);
    cr_assert(eq(int, finish(&run, said), 0));
    cr_assert_str_eq(
        run.text, " 1. process: 7   (from stream)\n 2. Pod: -\n    missing: no source \\x1b[2J\n");
    START(&run, "explain", "7", "--events-socket", socket_path);
    client = accept_one(listener, "explain 7\n");
    give(client, "{\"error\":\"no such process\"}");
    (void)close(client);
    cr_assert(eq(int, finish(&run, said), 1));
    cr_assert_str_eq(said, "podkin: error: no such process\n");
    (void)close(listener);
}

Test(events, an_answer_without_end_is_given_up)
{
    int listener = listen_at(socket_path), client;
    static char block[65536];
    struct run run;
    char said[4096];

    memset(block, 'x', sizeof(block));
    START(&run, "status", "--events-socket", socket_path);
    client = accept_one(listener, "status\n");
    while (send(client, block, sizeof(block), MSG_NOSIGNAL) > 0)
        ;
    cr_assert(eq(int, finish(&run, said), 1));
    cr_assert_not_null(strstr(said, "Message too long"));
    (void)close(client);
    (void)close(listener);
}

Test(events, a_refusal_at_first_is_a_failure_and_later_a_reason_to_wait)
{
    int listener = listen_at(socket_path), client;
    struct run run;
    char said[4096];

    START(&run, "events", "--events-socket", socket_path, "--namespace", "shop", "--type", "exec");
    client = accept_one(listener, "events\n");
    give(client, "{\"error\":\"too many viewers\"}\n");
    (void)close(client);
    cr_assert(eq(int, finish(&run, said), 1));
    cr_assert_str_eq(said, "podkin: error: the enricher says: too many viewers\n");

    START(&run, "events", "--events-socket", socket_path);
    client = accept_one(listener, "events\n");
    (void)close(client);
    client = accept_one(listener, "events\n");
    give(client, "{\"error\":\"too many viewers\"}\n");
    (void)close(client);
    client = accept_one(listener, "events\n");
    give(client, EVENT("exec", "1001", "a"));
    read_until(&run, "1001");
    cr_assert_not_null(strstr(run.text, "the enricher says: too many viewers"));
    cr_assert(eq(int, kill(run.pid, SIGINT), 0));
    cr_assert(eq(int, finish(&run, said), 0));
    (void)close(client);
    (void)close(listener);
}
