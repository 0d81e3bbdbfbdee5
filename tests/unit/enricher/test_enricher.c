/* SPDX-License-Identifier: Apache-2.0 */
/* Start, the wait for a collector that is not there, and stop; with a collector: tests/e2e. */
#include "enricher/enricher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/enricher/enricher_kit.h"

static char folder[] = "/tmp/podkin-enricher-XXXXXX";

static void begin(void)
{
    cr_assert_not_null(mkdtemp(folder));
}

static void end(void)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%s/out", folder);
    (void)unlink(path);
    cr_expect_eq(rmdir(folder), 0, "something was left behind");
}

TestSuite(enricher, .init = begin, .fini = end);

static off_t size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_size : -1;
}

Test(enricher, what_cannot_be_had_at_start_is_an_error_and_leaves_nothing)
{
    char output[64], socket_path[64];
    const struct {
        const char *option, *value;
    } bad[] = {
        {"--output", output},
        {"--events-socket", socket_path},
    };

    (void)snprintf(output, sizeof(output), "%s/missing/out", folder);
    (void)snprintf(socket_path, sizeof(socket_path), "%s/missing/events.sock", folder);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(enricher_kit_conf(bad[i].option, bad[i].value), 0);
        cr_expect_lt(enricher_init(&enricher, &conf), 0, "%s", bad[i].option);
        enricher_kit_stop();
    }
}

Test(enricher, a_signal_ends_it_without_a_collector)
{
    cr_assert_eq(enricher_kit_conf(NULL, NULL), 0);
    cr_assert_eq(enricher_init(&enricher, &conf), 0);
    cr_assert_eq(raise(SIGTERM), 0); /* blocked, so it waits for the loop */
    cr_expect_eq(enricher_run(&enricher), 0);
    cr_expect_eq(enricher.attached_ns, 0);
    cr_expect_str_neq(enricher.attach_error, "", "why it is not attached");
    cr_expect_eq(enricher.attach_count, 0);
    enricher_kit_stop();
}

Test(enricher, what_was_composed_is_written_before_the_end)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%s/out", folder);
    enricher_kit_start("--output", path);
    feed(make_exec(&record, A1, INIT, CG_HOST, clock_boot_ns(), "/a"));
    cr_expect_eq(size_of(path), 0);
    cr_assert_eq(raise(SIGINT), 0);
    cr_expect_eq(enricher_run(&enricher), 0);
    enricher_kit_stop();
    cr_expect_gt(size_of(path), 100);
}

Test(enricher, hangup_opens_the_output_anew)
{
    char path[64], moved[64];

    (void)snprintf(path, sizeof(path), "%s/out", folder);
    (void)snprintf(moved, sizeof(moved), "%s/out.moved", folder);
    enricher_kit_start("--output", path);
    cr_assert_eq(rename(path, moved), 0);
    cr_assert_eq(raise(SIGHUP), 0);
    cr_assert_eq(loop_run_once(enricher.lane.loop, clock_boot_ns() + NS_PER_SEC), 0);
    cr_expect(!enricher.stop);
    feed(make_exec(&record, A1, INIT, CG_HOST, clock_boot_ns(), "/a"));
    enricher_kit_stop();
    cr_expect_eq(size_of(moved), 0);
    cr_expect_gt(size_of(path), 100);
    cr_expect_eq(unlink(moved), 0);
}

Test(enricher, news_of_a_pod_lets_its_events_go)
{
    enricher_kit_start(NULL, NULL);
    feed(make_exec(&record, A1, INIT, CG_A, clock_boot_ns(), "/a"));
    cr_expect_eq(hold_count(enricher.lane.hold), 1);
    tell_pod("web-1", ID_A);
    cr_expect_eq(hold_count(enricher.lane.hold), 0);
    enricher_kit_stop();
}

Test(enricher, deinit_of_nothing_is_fine_and_can_be_repeated)
{
    cr_assert_eq(enricher_kit_conf("--output", "/nonexistent/out"), 0);
    cr_expect_lt(enricher_init(&enricher, &conf), 0);
    enricher_deinit(&enricher);
    enricher_deinit(&enricher);
    conf_deinit(&conf);
}
