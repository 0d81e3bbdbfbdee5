/* SPDX-License-Identifier: Apache-2.0 */
#include "common/notify.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"

static char folder[64], path[96];
static int manager = -1;
static struct notify notify;

static void open_manager(const struct sockaddr_un *address, socklen_t size)
{
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(manager, (const struct sockaddr *)address, size), 0);
}

static void setup(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(folder, sizeof(folder), "/tmp/podkin-notify-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/notify", folder);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    open_manager(&address, sizeof(address));
    cr_assert_eq(setenv("NOTIFY_SOCKET", path, 1), 0);
    cr_assert_eq(unsetenv("WATCHDOG_USEC"), 0);
    cr_assert_eq(unsetenv("WATCHDOG_PID"), 0);
}

static void teardown(void)
{
    notify_close(&notify);
    notify_close(&notify);
    fd_close(&manager);
    (void)unlink(path);
    (void)rmdir(folder);
}

TestSuite(notify, .init = setup, .fini = teardown);

/* The next message, "" when there is none. */
static const char *told(void)
{
    static char message[128];
    ssize_t n = recv(manager, message, sizeof(message) - 1, 0);

    message[n > 0 ? n : 0] = '\0';
    return message;
}

Test(notify, the_manager_is_told)
{
    cr_assert_eq(notify_open(&notify), 0);
    cr_assert_eq(notify_send(&notify, "READY=1"), 0);
    cr_expect_str_eq(told(), "READY=1");
    cr_expect_str_eq(told(), "");
}

Test(notify, an_abstract_name_works_as_well)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    int length = snprintf(name, sizeof(name), "@podkin-notify-%d", (int)getpid());

    fd_close(&manager);
    memcpy(address.sun_path + 1, name + 1, (size_t)length - 1);
    open_manager(&address, (socklen_t)(sizeof(address.sun_family) + (size_t)length));
    cr_assert_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
    cr_assert_eq(notify_open(&notify), 0);
    cr_assert_eq(notify_send(&notify, "READY=1"), 0);
    cr_expect_str_eq(told(), "READY=1");
}

Test(notify, nobody_asked_is_fine)
{
    cr_assert_eq(unsetenv("NOTIFY_SOCKET"), 0);
    cr_assert_eq(notify_open(&notify), 0);
    cr_expect_eq(notify.fd, -1);
    cr_expect_eq(notify_send(&notify, "READY=1"), 0);
    notify_watchdog(&notify, NS_PER_SEC);
}

Test(notify, a_name_that_leads_nowhere_is_an_error_and_leaves_it_usable)
{
    const char *const bad[] = {"/nonexistent/notify", "relative", "@", "/"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(setenv("NOTIFY_SOCKET", bad[i], 1), 0);
        cr_expect_lt(notify_open(&notify), 0, "%s", bad[i]);
        cr_expect_eq(notify_send(&notify, "READY=1"), 0);
    }
}

Test(notify, the_watchdog_is_fed_twice_as_often_as_it_asks)
{
    uint64_t now_ns = 1000 * NS_PER_SEC;

    cr_assert_eq(setenv("WATCHDOG_USEC", "30000000", 1), 0);
    cr_assert_eq(notify_open(&notify), 0);
    for (unsigned second = 0; second < 60; second++)
        notify_watchdog(&notify, now_ns + second * NS_PER_SEC);
    for (unsigned i = 0; i < 4; i++)
        cr_expect_str_eq(told(), "WATCHDOG=1");
    cr_expect_str_eq(told(), "");
}

Test(notify, a_watchdog_for_another_process_is_not_ours)
{
    cr_assert_eq(setenv("WATCHDOG_USEC", "30000000", 1), 0);
    cr_assert_eq(setenv("WATCHDOG_PID", "1", 1), 0);
    cr_assert_eq(notify_open(&notify), 0);
    notify_watchdog(&notify, 1000 * NS_PER_SEC);
    cr_expect_str_eq(told(), "");
}
