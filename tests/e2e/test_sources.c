/* SPDX-License-Identifier: Apache-2.0 */
/* Each source of metadata from end to end: the log directory, a kubelet over http, over https with a token or a client certificate, and one that says no. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "tests/e2e/scene.h"
#include "tests/e2e/standin.h"

static struct scene scene;
static struct standin standin;
static unsigned twenty = 20;

static void exec_some(void *arg)
{
    workload_exec_true(*(unsigned *)arg);
}

/* The enricher with these options and no Pod file. */
#define start_with(...)                                                                                      \
    (scene_start_collector(&scene) && node_start_enricher(&scene.node, __VA_ARGS__, NULL) &&                 \
        (events_open_file(&scene.events, scene.node.output), true))

static const char *in_dir(const char *name)
{
    static char paths[8][128];
    static unsigned turn;

    turn = (turn + 1) % 8;
    (void)snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", scene.node.dir, name);
    return paths[turn];
}

/* ---- log directory -------------------------------------------------------------------------------------- */

static char log_root[160];

static void log_directory(void)
{
    char source[200], command[200];
    struct test_container *container;
    size_t wrong = 0;

    if (!scene_make(&scene, 1))
        return scene_end(&scene);
    container = scene_container(&scene, 0);
    (void)snprintf(log_root, sizeof(log_root), "%s/log", scene.node.dir);
    tap_expect_equal(test_pod_log(log_root, NULL), 0, "making the log folder");
    (void)snprintf(source, sizeof(source), "logdir:%s", log_root);
    if (start_with("--source", source)) {
        (void)workload_run(container, exec_some, &twenty);
        node_sleep_ms(300);
        events_read(&scene.events);
        tap_expect_equal(
            events_count(&scene.events, container, -1), 0, "events that left before the folder was made");
        tap_expect_equal(test_pod_log(log_root, &scene.pods[0]), 0, "making the log folders");
        oracle_expect_equal(&scene.events, container, 12000);
        for (size_t i = 0; i < scene.events.count; i++) {
            const struct event *event = &scene.events.list[i];

            if (event_is_of(event, container) &&
                (strcmp(event->namespace_, "shop") != 0 || strcmp(event->pod, scene.pods[0].name) != 0 ||
                    strcmp(event->container, container->name) != 0 || strcmp(event->source, "logdir") != 0) &&
                wrong++ == 0)
                tap_note("%s: '%s' (%s), %s/%s container '%s' from '%s'", event_type_name(event->type),
                    event->state, event->reason, event->namespace_, event->pod, event->container,
                    event->source);
        }
        tap_expect_equal(wrong, 0, "events without namespace, Pod and container from the log directory");
    }
    (void)snprintf(command, sizeof(command), "rm -rf %s", log_root);
    (void)!system(command); /* NOLINT(cert-env33-c,bugprone-command-processor): our own temporary folder */
    scene_end(&scene);
}

/* ---- kubelet -------------------------------------------------------------------------------------------- */

static void kubelet_http(void)
{
    if (!scene_make(&scene, 2))
        return scene_end(&scene);
    scene_reveal(&scene);
    if (standin_start(&standin, &scene.node, "--delay", "2s", NULL) &&
        start_with("--source", standin.source)) {
        (void)workload_run(scene_container(&scene, 0), exec_some, &twenty);
        (void)workload_run(scene_container(&scene, 1), exec_some, &twenty);
        scene_check(&scene, 10000);
        tap_expect(scene.events.count && standin_visible_ns(&standin) > 0, "the kubelet was not asked");
    }
    standin_stop(&standin);
    scene_end(&scene);
}

/* openssl(1) makes an authority, a certificate for 127.0.0.1 and one for a client. */
static bool make_certificates(void)
{
    char command[2048];

    if (system("command -v openssl >/dev/null") != 0) { /* NOLINT(cert-env33-c) */
        tap_skip("needs openssl");
        return false;
    }
    (void)snprintf(command, sizeof(command),
        "cd %s && exec >openssl.log 2>&1 && set -e && key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 "
        "-nodes' && "
        "openssl req -x509 $key -keyout ca.key -out ca.pem -days 2 -subj /CN=e2e-ca && "
        "printf 'subjectAltName=IP:127.0.0.1\\n' >ext && "
        "for name in server client; do openssl req $key -keyout $name.key -out $name.csr -subj /CN=$name && "
        "openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $name.pem -days 2 "
        "-extfile ext; "
        "done && printf 'sesame\\n' >token && printf 'wrong\\n' >wrong && chmod 0644 *.pem client.key token "
        "wrong",
        scene.node.dir);
    return tap_expect(system(command) == 0, "openssl could not make certificates"); /* NOLINT(cert-env33-c) */
}

static bool start_https(void)
{
    if (!scene_make(&scene, 1) || !make_certificates())
        return false;
    scene_reveal(&scene);
    return standin_start(&standin, &scene.node, "--tls-cert", in_dir("server.pem"), "--tls-key",
        in_dir("server.key"), "--token-file", in_dir("token"), "--client-ca", in_dir("ca.pem"), NULL);
}

static void end_https(void)
{
    standin_stop(&standin);
    scene_end(&scene);
}

static void kubelet_token(void)
{
    if (start_https() && start_with("--source", standin.source, "--ca-file", in_dir("ca.pem"), "--token-file",
                             in_dir("token"))) {
        (void)workload_run(scene_container(&scene, 0), exec_some, &twenty);
        scene_check(&scene, 10000);
    }
    end_https();
}

static void kubelet_certificate(void)
{
    if (start_https() && start_with("--source", standin.source, "--ca-file", in_dir("ca.pem"),
                             "--client-cert", in_dir("client.pem"), "--client-key", in_dir("client.key"))) {
        (void)workload_run(scene_container(&scene, 0), exec_some, &twenty);
        scene_check(&scene, 10000);
    }
    end_https();
}

/* 401 until the token is changed: then what was held is completed, without a restart. */
static void kubelet_token_rotated(void)
{
    if (start_https() && start_with("--source", standin.source, "--ca-file", in_dir("ca.pem"), "--token-file",
                             in_dir("wrong"))) {
        struct test_container *container = scene_container(&scene, 0);

        (void)workload_run(container, exec_some, &twenty);
        node_sleep_ms(1500);
        events_read(&scene.events);
        tap_expect_equal(
            events_count(&scene.events, container, -1), 0, "events that left while the kubelet refuses");
        {
            CLEANUP_FILE FILE *file = fopen(in_dir("wrong.new"), "we");

            tap_expect(file && fputs("sesame\n", file) >= 0, "writing the token");
        }
        (void)chmod(in_dir("wrong.new"), 0644);
        tap_expect(rename(in_dir("wrong.new"), in_dir("wrong")) == 0, "rotating the token");
        scene_check(&scene, 25000);
    }
    end_https();
}

static void kubelet_down(void)
{
    if (!scene_make(&scene, 1))
        return scene_end(&scene);
    scene_reveal(&scene);
    /* The first three lists fail, then all is well. */
    if (standin_start(&standin, &scene.node, "--fail-status", "503", "--fail-count", "3", NULL) &&
        start_with("--source", standin.source)) {
        (void)workload_run(scene_container(&scene, 0), exec_some, &twenty);
        scene_check(&scene, 25000);
    }
    end_https();
}

/* The log directory tells the names, the file adds labels later: nothing is lost or doubled between two sources. */
static void two_sources(void)
{
    if (!scene_make(&scene, 1))
        return scene_end(&scene);
    if (standin_start(&standin, &scene.node, "--delay", "1s", NULL) &&
        start_with("--source", standin.source, "--source", scene.source)) {
        (void)workload_run(scene_container(&scene, 0), exec_some, &twenty);
        scene_reveal(&scene);
        scene_check(&scene, 10000);
    }
    end_https();
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        {"the log directory names namespace, Pod and container", log_directory},
        {"a kubelet over http completes what was held", kubelet_http},
        {"a kubelet over https takes the token", kubelet_token},
        {"a kubelet over https takes the client certificate", kubelet_certificate},
        {"a kubelet that refuses is asked again with the new token", kubelet_token_rotated},
        {"a kubelet that fails is asked again", kubelet_down},
        {"two sources complete each event once", two_sources},
    };

    return tap_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
