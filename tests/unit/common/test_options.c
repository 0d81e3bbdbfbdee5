/* SPDX-License-Identifier: Apache-2.0 */
#include "common/options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

static const char *const loops[] = {"auto", "uring", "epoll", NULL};

static struct {
    char *config, *socket;
    struct option_list source;
    uint64_t timeout, bytes, events;
    bool own, check, help, version;
    int loop;
} value;

static const struct option_spec specs[] = {
    {"config", OPTION_STRING, &value.config, "FILE", "read FILE", NULL, 0, 0},
    {"socket", OPTION_STRING, &value.socket, "PATH", "the collector's socket", NULL, 0, 0},
    {"source", OPTION_STRINGS, &value.source, "KIND:WHERE", "where to ask", NULL, 0, 0},
    {"hold-timeout", OPTION_DURATION, &value.timeout, "DURATION", "how long", NULL, 0, 3600 * NS_PER_SEC},
    {"hold-max-bytes", OPTION_SIZE, &value.bytes, "BYTES", "how much", NULL, 65536, UINT64_C(1) << 40},
    {"hold-max-events", OPTION_COUNT, &value.events, "N", "how many", NULL, 1, 0},
    {"export-own-events", OPTION_BOOL, &value.own, NULL, "ours", NULL, 0, 0},
    {"check", OPTION_FLAG, &value.check, NULL, "read and stop", NULL, 0, 0},
    {"loop", OPTION_CHOICE, &value.loop, NULL, "which", loops, 0, 0},
    {"o", OPTION_CHOICE, &value.loop, NULL, "which", loops, 0, 0},
    {"help", OPTION_FLAG, &value.help, NULL, "this", NULL, 0, 0},
    {"version", OPTION_FLAG, &value.version, NULL, "which", NULL, 0, 0},
};
#define SPEC_COUNT (sizeof(specs) / sizeof(specs[0]))

static char folder[] = "/tmp/podkin-options-XXXXXX";
static char conf[128];
static char error[OPTIONS_ERROR_MAX];
static char *words[32];
static int rest;

static void begin(void)
{
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(conf, sizeof(conf), "%s/a.conf", folder);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void end(void)
{
    free(value.config);
    free(value.socket);
    option_list_deinit(&value.source);
    cr_expect_eq(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

TestSuite(options, .init = begin, .fini = end);

static void write_file(const char *name, const void *data, size_t size)
{
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(data, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

static void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

/* parse("--a", "b", NULL) */
static int parse(const char *first, ...)
{
    va_list args;
    int count = 1;

    words[0] = (char *)(uintptr_t) "program";
    va_start(args, first);
    for (const char *word = first; word; word = va_arg(args, const char *))
        words[count++] = (char *)(uintptr_t)word;
    va_end(args);
    rest = -1;
    return options_parse(specs, SPEC_COUNT, count, words, &rest, error);
}

static int parse_conf(const char *text)
{
    write_text("a.conf", text);
    return parse("--config", conf, NULL);
}

/* The error without the path of the folder. */
static const char *message(void)
{
    size_t size = strlen(folder) + 1;

    return strncmp(error, folder, size - 1) == 0 ? error + size : error;
}

/* ---- command line ---- */

Test(options, every_kind_is_read_from_both_forms)
{
    cr_assert_eq(parse("--socket", "/s", "--hold-timeout=1m30s", "--hold-max-bytes", "64M",
                     "--hold-max-events=7", "--export-own-events", "off", "--check", "--loop=epoll", NULL),
        0, "%s", error);
    cr_expect_str_eq(value.socket, "/s");
    cr_expect_eq(value.timeout, 90 * NS_PER_SEC);
    cr_expect_eq(value.bytes, 64 << 20);
    cr_expect_eq(value.events, 7);
    cr_expect_not(value.own);
    cr_expect(value.check);
    cr_expect_eq(value.loop, 2);
    cr_expect_eq(rest, 0);
}

Test(options, words_that_are_no_options_are_left_in_order)
{
    cr_assert_eq(parse("one", "--check", "-", "--socket", "-x", "--", "--check", "-y", NULL), 0, "%s", error);
    cr_expect_eq(rest, 4);
    cr_expect_str_eq(words[1], "one");
    cr_expect_str_eq(words[2], "-");
    cr_expect_str_eq(words[3], "--check");
    cr_expect_str_eq(words[4], "-y");
    cr_expect_str_eq(value.socket, "-x");
}

Test(options, one_letter_options_have_one_dash)
{
    cr_expect_eq(parse("-o", "uring", NULL), 0);
    cr_expect_eq(value.loop, 1);
    cr_expect_eq(parse("-o=auto", NULL), 0);
    cr_expect_eq(value.loop, 0);
    cr_expect_eq(parse("--o", "uring", NULL), -EINVAL);
    cr_expect_eq(parse("-loop", "uring", NULL), -EINVAL);
    cr_expect_str_eq(error, "-loop: unknown option");
}

Test(options, last_one_on_the_command_line_wins_and_lists_add_up)
{
    cr_assert_eq(parse("--socket=a", "--socket=b", "--source=x", "--source=y", NULL), 0);
    cr_expect_str_eq(value.socket, "b");
    cr_expect_eq(value.source.count, 2);
    cr_expect_str_eq(value.source.items[0], "x");
    cr_expect_str_eq(value.source.items[1], "y");
}

Test(options, mistakes_on_the_command_line_are_named)
{
    cr_expect_eq(parse("--hold-timout", "3s", NULL), -EINVAL);
    cr_expect_str_eq(error, "--hold-timout: unknown option; did you mean --hold-timeout?");
    cr_expect_eq(parse("--frobnicate=7", NULL), -EINVAL);
    cr_expect_str_eq(error, "--frobnicate: unknown option");
    cr_expect_eq(parse("--socket", NULL), -EINVAL);
    cr_expect_str_eq(error, "--socket: expected PATH behind it");
    cr_expect_eq(parse("--socket=", NULL), -EINVAL);
    cr_expect_str_eq(error, "--socket: expected PATH, but there is no value");
    cr_expect_eq(parse("--check=on", NULL), -EINVAL);
    cr_expect_str_eq(error, "--check: expected no value");
    cr_expect_eq(parse("--export-own-events", "maybe", NULL), -EINVAL);
    cr_expect_str_eq(error, "--export-own-events: expected on or off, not 'maybe'");
    cr_expect_eq(parse("--loop", "Epoll", NULL), -EINVAL);
    cr_expect_str_eq(error, "--loop: expected auto, uring or epoll, not 'Epoll'");
    cr_expect_eq(parse("--hold-timeout", "3", NULL), -EINVAL);
    cr_expect_str_eq(
        error, "--hold-timeout: expected a duration such as 500ms, 30s, 1m30s or 0, at most 1h, not '3'");
    cr_expect_eq(parse("--hold-max-bytes", "4k", NULL), -EINVAL);
    cr_expect_str_eq(error,
        "--hold-max-bytes: expected a size in bytes such as 4096, 64M or 1GiB, from 64K to 1T, not '4k'");
    cr_expect_eq(parse("--hold-max-events", "0", NULL), -EINVAL);
    cr_expect_str_eq(error, "--hold-max-events: expected a whole number, at least 1, not '0'");
}

Test(options, error_is_safe_on_a_terminal_and_bounded)
{
    char longest[3000];

    cr_expect_eq(parse("--\x1b[31m", NULL), -EINVAL);
    cr_expect_str_eq(error, "--\\x1b[31m: unknown option");
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    memcpy(longest, "--", 2);
    cr_expect_eq(parse(longest, NULL), -EINVAL);
    cr_expect_lt(strlen(error), OPTIONS_ERROR_MAX);
    cr_expect_eq(parse("--loop", longest, NULL), -EINVAL);
    cr_expect_lt(strlen(error), OPTIONS_ERROR_MAX);
}

/* ---- file ---- */

Test(options, file_is_read_with_comments_quotes_and_either_line_end)
{
    cr_assert_eq(parse_conf("# a comment\n"
                            "\n"
                            "  socket =  /run/a b.sock  # where\r\n"
                            "\tsource=file:pods#1.json\n"
                            "source = \"x # y\" # z\n"
                            "hold-timeout=0\n"
                            "loop = uring"),
        0, "%s", error);
    cr_expect_str_eq(value.socket, "/run/a b.sock");
    cr_expect_eq(value.source.count, 2);
    cr_expect_str_eq(value.source.items[0], "file:pods#1.json");
    cr_expect_str_eq(value.source.items[1], "x # y");
    cr_expect_eq(value.loop, 1);
}

Test(options, command_line_wins_over_file_and_replaces_its_lists)
{
    write_text("a.conf", "socket = file\nsource = a\nsource = b\nhold-max-events = 5\n");
    cr_assert_eq(parse("--source", "c", "--config", conf, "--socket", "line", NULL), 0, "%s", error);
    cr_expect_str_eq(value.socket, "line");
    cr_expect_eq(value.source.count, 1);
    cr_expect_str_eq(value.source.items[0], "c");
    cr_expect_eq(value.events, 5);
    cr_expect_str_eq(value.config, conf);
}

Test(options, drop_ins_come_in_name_order_after_the_file)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/a.conf.d", folder);
    cr_assert_eq(mkdir(path, 0700), 0);
    write_text("a.conf", "socket = 0\nsource = base\nhold-max-events = 1\n");
    write_text("a.conf.d/20-b.conf", "socket = 20\n");
    write_text("a.conf.d/10-a.conf", "socket = 10\nsource = x\nsource = y\n");
    write_text("a.conf.d/30.conf~", "socket = backup\n");
    write_text("a.conf.d/.40.conf", "socket = hidden\n");
    write_text("a.conf.d/README", "not a file of ours\n");
    cr_assert_eq(parse("--config", conf, NULL), 0, "%s", error);
    cr_expect_str_eq(value.socket, "20");
    cr_expect_eq(value.source.count, 2);
    cr_expect_str_eq(value.source.items[0], "x");
    cr_expect_eq(value.events, 1);
    write_text("a.conf.d/20-b.conf", "\nsokcet = 20\n");
    cr_expect_eq(parse("--config", conf, NULL), -EINVAL);
    cr_expect_str_eq(message(), "a.conf.d/20-b.conf:2: unknown key 'sokcet'; did you mean 'socket'?");
}

Test(options, mistakes_in_a_file_name_file_line_and_key)
{
    static const char *const pairs[][2] = {
        {"\nhold-timeout 3s\n", "a.conf:2: expected 'key = value', not 'hold-timeout 3s'"},
        {"hold-timeout = x\n", "a.conf:1: key 'hold-timeout': expected a duration such as 500ms, 30s, 1m30s "
                               "or 0, at most 1h, not 'x'"},
        {"loop = auto\nloop = epoll\n", "a.conf:2: key 'loop' is set twice in this file"},
        {"socket =\n", "a.conf:1: key 'socket': expected PATH, but there is no value"},
        {"socket = # none\n", "a.conf:1: key 'socket': expected PATH, but there is no value"},
        {"socket = \"a\n", "a.conf:1: expected a closing '\"'"},
        {"socket = \"a\" b\n", "a.conf:1: expected nothing behind the closing '\"', not 'b'"},
        {"check = on\n", "a.conf:1: key 'check' is for the command line only"},
        {"config = x\n", "a.conf:1: key 'config' is for the command line only"},
        {"= x\n", "a.conf:1: unknown key ''"},
        {"--socket = x\n", "a.conf:1: unknown key '--socket'; did you mean 'socket'?"},
        {"socket = a\x1b[0m\n", "a.conf:1: byte 0x1b at column 11: expected printable UTF-8"},
        {"socket = a\xff\n", "a.conf:1: byte 0xff at column 11: expected printable UTF-8"},
        {"socket = a\xe2\x80\xae\n", "a.conf:1: byte 0xe2 at column 11: expected printable UTF-8"},
        {"socket = a\rb\n", "a.conf:1: byte 0x0d at column 11: expected printable UTF-8"},
        {"\xef\xbb\xbfsocket = a\n", "a.conf:1: byte 0xef at column 1: expected printable UTF-8"},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        cr_expect_eq(parse_conf(pairs[i][0]), -EINVAL, "%s", pairs[i][0]);
        cr_expect_str_eq(message(), pairs[i][1]);
    }
}

Test(options, nul_in_a_file_is_refused)
{
    write_file("a.conf", "socket = a\0b\n", 13);
    cr_expect_eq(parse("--config", conf, NULL), -EINVAL);
    cr_expect_str_eq(message(), "a.conf:1: byte 0x00 at column 11: expected printable UTF-8");
}

Test(options, file_of_one_mebibyte_is_read_and_a_greater_is_refused)
{
    size_t size = 1 << 20;
    char *data = malloc(size + 1);

    memset(data, '\n', size + 1);
    (void)snprintf(data + size - 10, 11, "\nsocket=ab");
    data[size] = '\n';
    write_file("a.conf", data, size);
    cr_expect_eq(parse("--config", conf, NULL), 0, "%s", error);
    cr_expect_str_eq(value.socket, "ab");
    write_file("a.conf", data, size + 1);
    cr_expect_eq(parse("--config", conf, NULL), -EINVAL);
    cr_expect_str_eq(message(), "a.conf: expected at most 1 MiB");
    cr_expect_eq(parse("--config", "/dev/zero", NULL), -EINVAL);
    free(data);
}

Test(options, missing_file_is_an_error_only_when_it_was_asked_for)
{
    cr_expect_eq(parse("--config", conf, NULL), -ENOENT);
    cr_expect_str_eq(message(), "a.conf: No such file or directory");
    cr_expect_eq(parse("--config", folder, NULL), -EISDIR);
    value.config = strdup(conf); /* a default */
    cr_expect_eq(parse(NULL), 0, "%s", error);
    write_text("a.conf", "socket = default\n");
    cr_expect_eq(parse(NULL), 0, "%s", error);
    cr_expect_str_eq(value.socket, "default");
}

/* ---- values ---- */

Test(options, sizes)
{
    static const struct {
        const char *text;
        int r;
        uint64_t value;
    } rows[] = {{"0", 0, 0}, {"4096", 0, 4096}, {"4k", 0, 4096}, {"4K", 0, 4096}, {"16MiB", 0, 16 << 20},
        {"16mib", 0, 16 << 20}, {"1G", 0, 1 << 30}, {"100B", 0, 100}, {"15E", 0, UINT64_C(15) << 60},
        {"16E", -ERANGE, 0}, {"18446744073709551615", 0, UINT64_MAX}, {"18446744073709551616", -ERANGE, 0},
        {"", -EINVAL, 0}, {"k", -EINVAL, 0}, {"-1", -EINVAL, 0}, {"+1", -EINVAL, 0}, {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0}, {"1 k", -EINVAL, 0}, {"1KB", -EINVAL, 0}, {"1kk", -EINVAL, 0},
        {"0x10", -EINVAL, 0}, {"1.5G", -EINVAL, 0}, {"1i", -EINVAL, 0}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t got = 7;

        cr_expect_eq(option_parse_size(rows[i].text, &got), rows[i].r, "%s", rows[i].text);
        cr_expect_eq(got, rows[i].r ? 7 : rows[i].value, "%s", rows[i].text);
    }
}

Test(options, durations)
{
    static const struct {
        const char *text;
        int r;
        uint64_t value;
    } rows[] = {{"0", 0, 0}, {"0s", 0, 0}, {"1ns", 0, 1}, {"500us", 0, 500000}, {"500ms", 0, 500 * NS_PER_MS},
        {"30s", 0, 30 * NS_PER_SEC}, {"5m", 0, 300 * NS_PER_SEC}, {"1h", 0, 3600 * NS_PER_SEC},
        {"1d", 0, 86400 * NS_PER_SEC}, {"1h2m3s", 0, 3723 * NS_PER_SEC}, {"584y", -EINVAL, 0},
        {"1", -EINVAL, 0}, {"00", -EINVAL, 0}, {"", -EINVAL, 0}, {"s", -EINVAL, 0}, {"1s5", -EINVAL, 0},
        {"1 s", -EINVAL, 0}, {"-1s", -EINVAL, 0}, {"1S", -EINVAL, 0}, {"1.5s", -EINVAL, 0},
        {"999999999999d", -ERANGE, 0}, {"18446744073s18446744073s", -ERANGE, 0}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t got = 7;

        cr_expect_eq(option_parse_duration(rows[i].text, &got), rows[i].r, "%s", rows[i].text);
        cr_expect_eq(got, rows[i].r ? 7 : rows[i].value, "%s", rows[i].text);
    }
}

/* Whoever asks for help may have a broken configuration to thank for it. */
Test(options, help_and_version_read_no_file)
{
    write_text("a.conf", "no such thing");
    cr_expect_eq(parse("--config", conf, "--help", NULL), 0, "%s", error);
    cr_expect(value.help);
    cr_expect_str_eq(error, "");
    cr_expect_eq(parse("--config", "/nonexistent/file", "--version", NULL), 0, "%s", error);
    cr_expect(value.version);
    value.config = strdup(conf); /* a default */
    value.help = false;
    cr_expect_eq(parse("--help", "--hold-timeout", "soon", NULL), 0, "%s", error);
    cr_expect(value.help);
    cr_expect_eq(value.timeout, 0);
    cr_expect_eq(parse("--check", NULL), -EINVAL);
    cr_expect_eq(parse("--help", "--no-such", NULL), -EINVAL);
}
