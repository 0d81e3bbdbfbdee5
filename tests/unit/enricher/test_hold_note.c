/* SPDX-License-Identifier: Apache-2.0 */
/* The note that one process leaves in the hold store for the next. */
#include "enricher/hold.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"

static const struct hold_limits limits = {.max_events = 1000, .max_bytes = 1 << 20};
static int fd;
static char read_back[HOLD_NOTE_BYTES];

static void setup(void)
{
    fd = fd_memfd_new("hold", 0);
    cr_assert_geq(fd, 0);
}

static void teardown(void)
{
    (void)close(fd);
}

TestSuite(hold_note, .init = setup, .fini = teardown);

static struct hold *open_hold(void)
{
    struct hold *hold = NULL;

    cr_assert_eq(hold_new(&hold, fd, &limits), 0);
    hold_defer_pops(hold);
    return hold;
}

static void leave(struct hold *hold, const char *words)
{
    char *to = hold_note_begin(hold);

    cr_assert_not_null(to);
    (void)snprintf(to, HOLD_NOTE_BYTES, "%s", words);
    hold_note_commit(hold, strlen(words));
}

static const char *found(struct hold *hold)
{
    size_t size = hold_note_read(hold, read_back);

    read_back[size] = '\0';
    return read_back;
}

static unsigned chance(unsigned below)
{
    static unsigned state = 3;

    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static void ignore(void *arg, const struct hold_entry *entry)
{
    (void)arg;
    (void)entry;
}

Test(hold_note, new_store_has_none)
{
    struct hold *hold = open_hold();

    cr_expect_eq(hold_note_read(hold, read_back), 0);
    (void)hold_free(hold);
}

Test(hold_note, successor_reads_the_last_one)
{
    struct hold *hold = open_hold();

    leave(hold, "one");
    leave(hold, "two");
    leave(hold, "three");
    (void)hold_free(hold);
    hold = open_hold();
    cr_expect_str_eq(found(hold), "three");
    (void)hold_free(hold);
}

Test(hold_note, one_that_was_not_finished_leaves_the_one_before)
{
    struct hold *hold = open_hold();

    leave(hold, "one");
    leave(hold, "two");
    memset(hold_note_begin(hold), 'x', HOLD_NOTE_BYTES);
    (void)hold_free(hold);
    hold = open_hold();
    cr_expect_str_eq(found(hold), "two");
    (void)hold_free(hold);
}

Test(hold_note, outlives_many_successors_and_takes_one_chunk)
{
    for (int i = 0; i < 50; i++) {
        struct hold *hold = open_hold();
        char words[16];

        (void)snprintf(words, sizeof(words), "%d", i - 1);
        cr_expect_str_eq(found(hold), i ? words : "");
        cr_expect_eq(hold_recover(hold, ignore, NULL), 0);
        (void)snprintf(words, sizeof(words), "%d", i);
        leave(hold, words);
        hold_settle(hold, hold_mark(hold));
        (void)hold_free(hold);
    }
    cr_expect_leq(lseek(fd, 0, SEEK_END), 64 * HOLD_CHUNK_BYTES);
}

Test(hold_note, bytes_of_anybody_do_no_harm)
{
    for (int i = 0; i < 500; i++) {
        struct hold *hold = open_hold();
        uint8_t *bytes;

        leave(hold, "fine");
        (void)hold_free(hold);
        bytes = mmap(NULL, HOLD_CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        cr_assert_neq(bytes, MAP_FAILED);
        for (int k = 0; k < 3; k++)
            bytes[64 + 32736 * chance(2) + chance(16)] = (uint8_t)chance(256);
        (void)munmap(bytes, HOLD_CHUNK_BYTES);
        hold = open_hold();
        cr_expect_leq(hold_note_read(hold, read_back), HOLD_NOTE_BYTES);
        (void)hold_free(hold);
    }
}
