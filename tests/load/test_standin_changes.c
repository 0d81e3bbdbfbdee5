/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/standin_changes.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

static char path[64];
static struct standin_changes *changes;
static struct {
    unsigned added, modified, deleted;
    uint64_t last;
    char text[4096];
} seen;

static void on_change(void *arg, enum standin_change change, uint64_t version, const char *text)
{
    char wanted[48];

    (void)arg;
    seen.added += change == STANDIN_ADDED;
    seen.modified += change == STANDIN_MODIFIED;
    seen.deleted += change == STANDIN_DELETED;
    seen.last = version;
    (void)snprintf(seen.text, sizeof(seen.text), "%s", text);
    (void)snprintf(wanted, sizeof(wanted), "\"resourceVersion\":\"%llu\"", (unsigned long long)version);
    cr_assert(strstr(text, wanted), "%s is not in %s", wanted, text);
}

/* Each letter is a Pod, with its case as a label. */
static void put(const char *letters)
{
    char hidden[80];
    CLEANUP_FILE FILE *file = NULL;

    (void)snprintf(hidden, sizeof(hidden), "%s.new", path);
    file = fopen(hidden, "we");
    cr_assert(file);
    (void)fprintf(file, "{\"items\":[");
    for (const char *at = letters; *at; at++)
        (void)fprintf(file, "%s{\"metadata\":{\"uid\":\"%c\",\"name\":\"%c\"}}", at == letters ? "" : ",",
            *at | 32, *at);
    (void)fprintf(file, "]}\n");
    cr_assert_eq(fflush(file), 0);
    cr_assert_eq(rename(hidden, path), 0);
}

static void setup(void)
{
    const struct standin_pods_options options = {.path = path};
    int fd;

    strcpy(path, "/tmp/podkin-changes.XXXXXX");
    fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    put("ab");
    cr_assert_eq(standin_changes_new(&changes, &options, 8), 0);
}

static void teardown(void)
{
    changes = standin_changes_free(changes);
    (void)unlink(path);
}

TestSuite(standin_changes, .init = setup, .fini = teardown);

Test(standin_changes, the_first_look_adds_what_is_there)
{
    uint64_t version = standin_changes_look(changes);

    cr_assert_eq(version, 1002);
    standin_changes_list(changes, on_change, NULL);
    cr_assert_eq(seen.added, 2);
}

Test(standin_changes, nothing_new_is_no_change)
{
    uint64_t version = standin_changes_look(changes);

    cr_assert_eq(standin_changes_look(changes), version);
    cr_assert_eq(standin_changes_read(changes, version, on_change, NULL), 0);
    cr_assert_eq(seen.last, 0);
}

Test(standin_changes, what_comes_changes_and_goes_is_told_once_each)
{
    uint64_t version = standin_changes_look(changes);

    put("Bc");
    cr_assert_eq(standin_changes_look(changes), version + 3);
    cr_assert_eq(standin_changes_read(changes, version, on_change, NULL), 0);
    cr_assert_eq(seen.added, 1);
    cr_assert_eq(seen.modified, 1);
    cr_assert_eq(seen.deleted, 1);
    cr_assert_eq(seen.last, version + 3);
    cr_assert(strstr(seen.text, "\"uid\":\"a\""));
}

Test(standin_changes, a_version_that_is_not_kept_any_more_is_stale)
{
    uint64_t version = standin_changes_look(changes);

    for (unsigned i = 0; i < 5; i++) { /* two changes each, eight are kept */
        put(i % 2 ? "ab" : "AB");
        (void)standin_changes_look(changes);
    }
    cr_assert_eq(standin_changes_read(changes, version, on_change, NULL), -ESTALE);
    cr_assert_eq(standin_changes_read(changes, version + 2, on_change, NULL), 0);
    cr_assert_eq(seen.modified, 8);
}

Test(standin_changes, a_version_of_the_future_is_stale)
{
    cr_assert_eq(standin_changes_read(changes, standin_changes_look(changes) + 1, on_change, NULL), -ESTALE);
}

Test(standin_changes, made_up_pods_are_as_many_as_asked_for)
{
    const struct standin_pods_options options = {.generate = 30, .containers = 3};
    struct standin_changes *made;

    cr_assert_eq(standin_changes_new(&made, &options, 8), 0);
    (void)standin_changes_look(made);
    standin_changes_list(made, on_change, NULL);
    cr_assert_eq(seen.added, 30);
    cr_assert(strstr(seen.text, "\"uid\":\"5eed0000-0000-4000-8000-000000000029\""));
    cr_assert(strstr(seen.text, "\"name\":\"c2\"") && !strstr(seen.text, "\"name\":\"c3\""));
    standin_changes_free(made);
}
