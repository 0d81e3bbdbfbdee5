/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/conf.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "enricher/loop.h"
#include "tests/unit/shipped_conf.h"

/* Longer than the 108 bytes of an address. */
#define TEN       "ten bytes/"
#define LONG_PATH "/" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static struct conf conf;
static char error[OPTIONS_ERROR_MAX];
static char file[] = "/tmp/podkin-conf-XXXXXX";

static void begin(void)
{
    int fd = mkstemp(file);

    cr_assert_geq(fd, 0);
    (void)close(fd);
    cr_assert_eq(unsetenv("NODE_NAME"), 0);
}

static void end(void)
{
    conf_deinit(&conf);
    (void)unlink(file);
}

TestSuite(conf, .init = begin, .fini = end);

/* init("--a", "b", NULL) */
static int init(const char *first, ...)
{
    char *words[64] = {(char *)(uintptr_t) "podkin-enricher"};
    va_list args;
    int count = 1;

    va_start(args, first);
    for (const char *word = first; word; word = va_arg(args, const char *))
        words[count++] = (char *)(uintptr_t)word;
    va_end(args);
    return conf_init(&conf, count, words, error);
}

static void write_file(const char *text)
{
    FILE *out = fopen(file, "we");

    cr_assert_not_null(out);
    cr_assert_geq(fputs(text, out), 0);
    cr_assert_eq(fclose(out), 0);
}

/* One line, with these words in it. */
static void expect_error(const char *words)
{
    cr_expect_not_null(strstr(error, words), "'%s' is not in: %s", words, error);
    cr_expect_null(strchr(error, '\n'));
    cr_expect_leq(strlen(error), 300);
}

Test(conf, defaults_are_as_documented)
{
    char host[HOST_NAME_MAX + 1] = "";

    cr_assert_eq(init(NULL), 0, "%s", error);
    cr_assert_eq(gethostname(host, sizeof(host) - 1), 0);
    cr_expect_str_eq(conf.node_name, host);
    cr_expect_str_eq(conf.socket, "/run/podkin/collector.sock");
    cr_expect_str_eq(conf.events_socket, "/run/podkin/events.sock");
    cr_expect_null(conf.output.path);
    cr_expect_eq(conf.output.rotate_bytes, 64 << 20);
    cr_expect_eq(conf.output.rotate_keep, 5);
    cr_expect_eq(conf.loop, LOOP_AUTO);
    cr_expect_eq(conf.hold.max_events, 200000);
    cr_expect_eq(conf.hold.max_bytes, 128 << 20);
    cr_expect_eq(conf.pipeline.hold_timeout_ns, 30 * NS_PER_SEC);
    cr_expect_eq(conf.pipeline.container_timeout_ns, 5 * NS_PER_SEC);
    cr_expect_eq(conf.pod_grace_ns, 300 * NS_PER_SEC);
    cr_expect(conf.pipeline.own_events && conf.render.own_fields && conf.render.image.own_fields);
    cr_expect(!conf.render.annotations && !conf.render.image.credentials && !conf.render.image.namespaces &&
              !conf.render.image.capabilities && !conf.tls.insecure);
    cr_expect(!conf.pipeline.names_suffice);
    cr_expect_eq(conf_action(&conf), CONF_RUN);
}

Test(conf, bare_names_of_credentials_are_looked_for_in_the_credentials_directory)
{
    char folder[] = "/tmp/podkin-conf.XXXXXX", path[64];
    FILE *made;

    cr_assert(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/token", folder);
    made = fopen(path, "we");
    cr_assert(made);
    (void)fclose(made);
    cr_assert_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    cr_assert_eq(init("--token-file", "token", "--ca-file", "elsewhere.pem", NULL), 0, "%s", error);
    cr_expect_str_eq(conf.tls.token_file, path);
    cr_expect_str_eq(conf.tls.ca_file, "elsewhere.pem", "there is none of that name");
    conf_deinit(&conf);
    cr_assert_eq(init("--token-file", "./token", NULL), 0, "%s", error);
    cr_expect_str_eq(conf.tls.token_file, "./token");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rmdir(folder), 0);
}

Test(conf, every_option_reaches_what_it_is_for)
{
    cr_assert_eq(init("--socket", "/s", "--source", "file:/p", "--source=kubelet:https://[::1]:10250",
                     "--token-file", "/t", "--ca-file", "/ca", "--client-cert", "/cc", "--client-key", "/ck",
                     "--insecure-skip-tls-verify", "on", "--node-name", "n1", "--output", "-",
                     "--output-rotate-size", "1M", "--output-rotate-keep", "0", "--events-socket", "/e",
                     "--hold-timeout", "1m", "--hold-container-timeout", "0", "--hold-max-events", "7",
                     "--hold-max-bytes", "1MiB", "--pod-grace", "2s", "--export-own-events", "off",
                     "--export-own-fields", "off", "--export-credentials", "on", "--export-namespaces", "on",
                     "--export-capabilities", "on", "--export-annotations", "on", "--format", "normalised",
                     "--compress", "none", "--loop", "epoll", "--log-level", "debug", "--check", NULL),
        0, "%s", error);
    cr_expect_str_eq(conf.socket, "/s");
    cr_assert_eq(conf.sources.count, 2);
    cr_expect_str_eq(conf.sources.items[0], "file:/p");
    cr_expect_str_eq(conf.sources.items[1], "kubelet:https://[::1]:10250");
    cr_expect_str_eq(conf.tls.token_file, "/t");
    cr_expect_str_eq(conf.tls.ca_file, "/ca");
    cr_expect_str_eq(conf.tls.client_cert, "/cc");
    cr_expect_str_eq(conf.tls.client_key, "/ck");
    cr_expect(conf.tls.insecure);
    cr_expect_str_eq(conf.render.node_name, "n1");
    cr_expect_str_eq(conf.output.path, "-");
    cr_expect_eq(conf.output.rotate_bytes, 1 << 20);
    cr_expect(conf.output.sections);
    cr_expect_eq(conf.output.rotate_keep, 0);
    cr_expect_str_eq(conf.events_socket, "/e");
    cr_expect_eq(conf.pipeline.hold_timeout_ns, 60 * NS_PER_SEC);
    cr_expect_eq(conf.pipeline.container_timeout_ns, 0);
    cr_expect_eq(conf.hold.max_events, 7);
    cr_expect_eq(conf.hold.max_bytes, 1 << 20);
    cr_expect_eq(conf.pod_grace_ns, 2 * NS_PER_SEC);
    cr_expect(!conf.pipeline.own_events && !conf.render.own_fields && !conf.render.image.own_fields);
    cr_expect(conf.render.annotations && conf.render.image.credentials && conf.render.image.namespaces &&
              conf.render.image.capabilities);
    cr_expect_eq(conf.loop, LOOP_EPOLL);
    cr_expect_eq(conf.log_level, 3);
    cr_expect_eq(conf_action(&conf), CONF_CHECK);
}

Test(conf, node_name_is_the_option_then_the_environment_then_the_host)
{
    cr_assert_eq(setenv("NODE_NAME", "from-environment", 1), 0);
    cr_assert_eq(init(NULL), 0);
    cr_expect_str_eq(conf.render.node_name, "from-environment");
    conf_deinit(&conf);
    cr_assert_eq(init("--node-name", "given", NULL), 0);
    cr_expect_str_eq(conf.render.node_name, "given");
}

Test(conf, names_suffice_only_when_nobody_else_is_asked)
{
    cr_assert_eq(init("--source", "logdir:/var/log", NULL), 0);
    cr_expect(conf.pipeline.names_suffice);
    conf_deinit(&conf);
    cr_assert_eq(init("--source", "logdir:/var/log", "--source", "file:x", NULL), 0);
    cr_expect(!conf.pipeline.names_suffice);
}

Test(conf, events_socket_can_be_left_out)
{
    cr_assert_eq(init("--events-socket", "none", NULL), 0, "%s", error);
    cr_expect_str_eq(conf.events_socket, "");
}

Test(conf, file_says_the_same_and_the_command_line_wins)
{
    write_file("# ours\nhold-timeout = 10s\nsource = file:/a\nsource = logdir:/b\nexport-own-events = off\n");
    cr_assert_eq(init("--config", file, "--hold-timeout", "20s", NULL), 0, "%s", error);
    cr_expect_eq(conf.pipeline.hold_timeout_ns, 20 * NS_PER_SEC);
    cr_expect_eq(conf.sources.count, 2);
    cr_expect(!conf.pipeline.own_events);
}

Test(conf, each_mistake_gives_one_line_that_names_the_option)
{
    static const struct {
        const char *option, *value, *words;
    } bad[] = {
        {"--source", "carrier:pigeon", "--source: expected apiserver:KUBECONFIG"},
        {"--source", "file:", "'file:'"},
        {"--source", "file", "'file'"},
        {"--source", "kubelet:127.0.0.1:10250", "'kubelet:127.0.0.1:10250'"},
        {"--source", "kubelet:ftp://h", "--source"},
        {"--source", "kubelet:https://", "--source"},
        {"--source", "kubelet:http://:10250", "--source"},
        {"--source", "", "--source"},
        {"--socket", LONG_PATH, "--socket"},
        {"--events-socket", LONG_PATH, "--events-socket"},
        {"--client-cert", "/only", "--client-cert and --client-key"},
        {"--client-key", "/only", "--client-cert and --client-key"},
        {"--insecure-skip-tls-verify", "maybe", "--insecure-skip-tls-verify: expected on or off"},
        {"--node-name", "", "--node-name"},
        {"--node-name", "two words", "--node-name"},
        {"--node-name", "a:b", "--node-name"},
        {"--node-name", "n\n", "--node-name"},
        {"--node-name", "\xff", "--node-name"},
        {"--output-rotate-size", "-1", "--output-rotate-size"},
        {"--output-rotate-keep", "1001", "--output-rotate-keep"},
        {"--hold-timeout", "30", "--hold-timeout: expected a duration"},
        {"--hold-timeout", "2h", "--hold-timeout"},
        {"--hold-container-timeout", "forever", "--hold-container-timeout"},
        {"--hold-max-events", "0", "--hold-max-events"},
        {"--lanes", "0", "--lanes"},
        {"--lanes", "129", "--lanes"},
        {"--hold-max-events", "18446744073709551616", "--hold-max-events"},
        {"--hold-max-bytes", "1k", "--hold-max-bytes"},
        {"--hold-max-bytes", "65G", "--hold-max-bytes"},
        {"--pod-grace", "2d", "--pod-grace"},
        {"--export-own-events", "perhaps", "--export-own-events"},
        {"--export-own-fields", "2", "--export-own-fields"},
        {"--export-credentials", "x", "--export-credentials"},
        {"--export-namespaces", "x", "--export-namespaces"},
        {"--export-capabilities", "x", "--export-capabilities"},
        {"--export-annotations", "x", "--export-annotations"},
        {"--format", "short", "--format: expected full or normalised"},
        {"--compress", "gzip", "--compress: expected none or zstd"},
        {"--loop", "fast", "--loop: expected auto, uring or epoll"},
        {"--log-level", "chatty", "--log-level"},
        {"--hold-timeuot", "3s", "did you mean --hold-timeout"},
        {"--check=yes", "x", "--check"},
        {"word", "x", "'word': expected no further words"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect_eq(init(bad[i].option, bad[i].value, NULL), -EINVAL, "%s %s", bad[i].option, bad[i].value);
        expect_error(bad[i].words);
        conf_deinit(&conf);
    }
}

Test(conf, node_name_of_253_characters_is_the_longest)
{
    char name[255];

    memset(name, 'n', 254);
    name[254] = '\0';
    cr_expect_eq(init("--node-name", name, NULL), -EINVAL);
    expect_error("253");
    conf_deinit(&conf);
    name[253] = '\0';
    cr_expect_eq(init("--node-name", name, NULL), 0);
}

Test(conf, second_source_of_a_kind_is_refused)
{
    write_file("source = file:/a\nsource = logdir:/b\nsource = kubelet:https://c:1\nsource = apiserver:/d\n");
    cr_expect_eq(init("--config", file, NULL), 0, "%s", error);
    cr_expect_eq(conf.sources.count, CONF_SOURCES_MAX);
    conf_deinit(&conf);
    cr_expect_eq(init("--source", "file:/a", "--source", "logdir:/b", "--source", "file:/c", NULL), -EINVAL);
    expect_error("'file:/c' beside 'file:/a'");
}

Test(conf, mistake_in_the_file_names_file_and_line)
{
    char expected[64];

    write_file("hold-timeout = 10s\n\nhold-max-events = many\n");
    (void)snprintf(expected, sizeof(expected), "%s:3: key 'hold-max-events'", file);
    cr_expect_eq(init("--config", file, NULL), -EINVAL);
    expect_error(expected);
    conf_deinit(&conf);
    write_file("podcasts = on\n");
    cr_expect_eq(init("--config", file, NULL), -EINVAL);
    expect_error(":1: ");
    conf_deinit(&conf);
    write_file("help = on\n");
    cr_expect_eq(init("--config", file, NULL), -EINVAL);
    expect_error("command line only");
    conf_deinit(&conf);
    cr_expect_eq(init("--config", "/nonexistent/podkin", NULL), -ENOENT);
    expect_error("/nonexistent/podkin");
}

Test(conf, help_and_version_work_where_all_else_is_broken)
{
    char name[300];

    write_file("what is this");
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    cr_assert_eq(setenv("NODE_NAME", name, 1), 0);
    cr_expect_eq(init("--config", file, "--help", NULL), 0, "%s", error);
    cr_expect_eq(conf_action(&conf), CONF_HELP);
    conf_deinit(&conf);
    cr_expect_eq(init("--config", "/nonexistent", "--source", "x", "--version", NULL), 0, "%s", error);
    cr_expect_eq(conf_action(&conf), CONF_VERSION);
}

Test(conf, several_lanes_want_a_file_each)
{
    cr_expect_eq(init("--lanes", "2", "--output", "-", NULL), -EINVAL);
    cr_expect_str_eq(error, "--lanes 2: expected a file for --output, as each lane writes one of its own");
    conf_deinit(&conf);
    cr_expect_eq(init("--lanes", "2", "--output", "/tmp/x", "--format", "normalised", NULL), 0, "%s", error);
    conf_deinit(&conf);
    cr_expect_eq(init("--lanes", "128", "--output", "/tmp/x", NULL), 0, "%s", error);
    cr_expect_eq(conf.lanes, 128);
    conf_deinit(&conf);
    cr_expect_eq(init("--lanes", "1", "--output", "-", NULL), 0, "%s", error);
    conf_deinit(&conf);
}

Test(conf, deinit_can_be_called_twice)
{
    cr_assert_eq(init("--source", "file:x", NULL), 0);
    conf_deinit(&conf);
    conf_deinit(&conf);
    cr_expect_null(conf.node_name);
    cr_expect_eq(conf.sources.count, 0);
}

Test(conf, shipped_file_shows_the_defaults)
{
    static const char *const examples[] = {
        "source", "token-file", "ca-file", "client-cert", "client-key", "node-name", "metrics-listen", NULL};
    struct conf shipped;

    cr_expect_eq(shipped_defaults("enricher.conf", examples, file), 23, "as many keys as there are");
    cr_assert_eq(init("--config", file, NULL), 0, "%s", error);
    shipped = conf;
    write_file("");
    cr_assert_eq(init("--config", file, NULL), 0, "%s", error);
    cr_expect_str_eq(shipped.socket, conf.socket);
    cr_expect_str_eq(shipped.events_socket, conf.events_socket);
    cr_expect_eq(shipped.insecure, conf.insecure);
    cr_expect_eq(shipped.format, conf.format);
    cr_expect_eq(shipped.lanes, conf.lanes);
    cr_expect_eq(shipped.rotate_bytes, conf.rotate_bytes);
    cr_expect_eq(shipped.rotate_age_ns, conf.rotate_age_ns);
    cr_expect_eq(shipped.rotate_keep, conf.rotate_keep);
    cr_expect_eq(shipped.pipeline.hold_timeout_ns, conf.pipeline.hold_timeout_ns);
    cr_expect_eq(shipped.pipeline.container_timeout_ns, conf.pipeline.container_timeout_ns);
    cr_expect_eq(memcmp(&shipped.hold, &conf.hold, sizeof(conf.hold)), 0, "hold-max-events, hold-max-bytes");
    cr_expect_eq(shipped.pod_grace_ns, conf.pod_grace_ns);
    cr_expect_eq(shipped.own_events, conf.own_events);
    cr_expect_eq(shipped.own_fields, conf.own_fields);
    cr_expect_eq(shipped.credentials, conf.credentials);
    cr_expect_eq(shipped.namespaces, conf.namespaces);
    cr_expect_eq(shipped.capabilities, conf.capabilities);
    cr_expect_eq(shipped.annotations, conf.annotations);
    cr_expect_eq(shipped.loop, conf.loop);
    cr_expect_eq(shipped.sandbox, conf.sandbox);
    cr_expect_eq(shipped.log_level, conf.log_level);
    conf_deinit(&shipped);
}
