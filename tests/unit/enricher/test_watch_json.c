/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/watch_json.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/cleanup.h"
#include "common/text.h"

/* What came, a line an event: type, UID, version, marks. */
struct told {
    struct text text;
    size_t events;
    bool refuse;
};

static int take(void *arg, const struct watch_event *event)
{
    static const char *const names[] = {"added", "modified", "deleted", "bookmark", "error", "unreadable"};
    struct told *told = arg;

    told->events++;
    text_append_format(&told->text, "%s %s %s%s", names[event->type], event->pod ? event->pod->uid : "-",
        event->version ? event->version : "-", event->initial_end ? " end" : "");
    if (event->type == WATCH_ERROR)
        text_append_format(&told->text, " %d %s: %s", event->code, event->reason, event->message);
    text_append_char(&told->text, '\n');
    return told->refuse ? -1 : 0;
}

static int push_pieces(struct watch_json *parser, const char *data, size_t size, size_t piece)
{
    int r = 0;

    for (size_t at = 0; at < size && r == 0; at += piece)
        r = watch_json_push(parser, data + at, size - at < piece ? size - at : piece);
    return r;
}

static void assert_told(const char *stream, int r, const char *expected)
{
    size_t size = strlen(stream);

    for (size_t piece = 1; piece <= size; piece++) { /* J2 */
        struct watch_json *parser = NULL;
        struct told told = {0};

        cr_assert_eq(watch_json_new(&parser, take, &told), 0);
        cr_assert_eq(push_pieces(parser, stream, size, piece), r, "%s", watch_json_error(parser));
        cr_assert_str_eq(text_terminate(&told.text), expected, "%s", told.text.data);
        cr_assert_eq(r < 0, watch_json_error(parser)[0] != '\0');
        watch_json_free(parser);
        text_deinit(&told.text);
    }
}

#define POD(uid, version) "{\"metadata\":{\"uid\":\"" uid "\",\"resourceVersion\":\"" version "\"}}"

Test(watch_json, events_are_told_however_they_are_cut)
{
    assert_told(
        "{\"type\":\"ADDED\",\"object\":" POD("a\\\"}{", "1") "}\n{\"type\":\"MODIFIED\",\"object\":" POD(
            "b", "2") "}"
                      "{\"object\":" POD("c", "3") ",\"type\":\"DELETED\"} \r\n\t ",
        0, "added a\"}{ 1\nmodified b 2\ndeleted c 3\n");
}

Test(watch_json, bookmarks_and_errors_say_what_they_mean)
{
    assert_told("{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\",\"annotations\":{"
                "\"k8s.io/initial-"
                "events-end\":\"true\"}}}}{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{"
                "\"resourceVersion\":\"8\"}}}"
                "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"message\":\"too "
                "old\",\"reason\":\"Expired\",\"code\":410}}"
                "{\"type\":\"ERROR\",\"object\":{\"code\":-9e99}}{\"type\":\"ERROR\",\"object\":{\"code\":"
                "123456789}}",
        0,
        "bookmark - 7 end\nbookmark - 8\nerror - - 410 Expired: too old\nerror - - 0 : \nerror - - 0 : \n");
}

Test(watch_json, what_is_no_pod_is_told_with_its_version)
{
    assert_told("{\"type\":\"ADDED\",\"object\":{\"kind\":\"Node\",\"metadata\":{\"uid\":\"n\","
                "\"resourceVersion\":\"4\"}}}"
                "{\"type\":\"RENAMED\",\"object\":{}}{\"type\":\"ADDED\",\"object\":{}}"
                "{\"type\":\"ADDED\",\"object\":{\"a\\u0000b\":1}}",
        0, "unreadable - 4\nunreadable - -\nunreadable - -\nunreadable - -\n");
}

Test(watch_json, bytes_of_no_watch_end_it)
{
    assert_told("hello", -EINVAL, "");
    assert_told("{}", -EINVAL, "");
    assert_told("[]", -EINVAL, "");
    assert_told("{]", -EINVAL, "");
    assert_told("{\"type\":\"ADDED\"}", -EINVAL, "");
    assert_told("{\"type\":\"ADDED\",\"object\":[]}", -EINVAL, "");
    assert_told("{\"type\":\"DELETED\",\"object\":" POD("c", "3") "}x", -EINVAL, "deleted c 3\n");
    assert_told("{\"kind\":\"PodList\",\"items\":[]}", -EINVAL, "");
}

Test(watch_json, error_says_at_which_byte)
{
    struct watch_json *parser = NULL;
    struct told told = {0};

    cr_assert_eq(watch_json_new(&parser, take, &told), 0);
    cr_assert_eq(watch_json_push(parser, "\n\n x", 4), -EINVAL);
    cr_assert_str_eq(watch_json_error(parser), "byte 3: not a watch event: expected '{'");
    watch_json_free(parser);
}

Test(watch_json, receiver_can_give_it_up)
{
    static const char stream[] = "{\"type\":\"BOOKMARK\",\"object\":{}}{\"type\":\"BOOKMARK\",\"object\":{}}";
    struct watch_json *parser = NULL;
    struct told told = {.refuse = true};

    cr_assert_eq(watch_json_new(&parser, take, &told), 0);
    cr_assert_eq(watch_json_push(parser, stream, sizeof(stream) - 1), -ECANCELED);
    cr_assert_eq(told.events, 1);
    watch_json_free(parser);
    text_deinit(&told.text);
}

Test(watch_json, between_events_is_known)
{
    struct watch_json *parser = NULL;
    struct told told = {0};

    cr_assert_eq(watch_json_new(&parser, take, &told), 0);
    cr_assert(watch_json_is_between(parser));
    cr_assert_eq(watch_json_push(parser, "\n{\"type\"", 8), 0);
    cr_assert_not(watch_json_is_between(parser));
    cr_assert_eq(watch_json_push(parser, ":\"BOOKMARK\",\"object\":{}}\n", 25), 0);
    cr_assert(watch_json_is_between(parser));
    watch_json_free(parser);
    text_deinit(&told.text);
}

/* J1: 64 MiB in one event, then a good one. */
Test(watch_json, event_without_end_costs_no_memory)
{
    static const char begin[] = "{\"type\":\"ADDED\",\"object\":{\"x\":\"", end[] = "\"}}";
    static const char good[] = "{\"type\":\"BOOKMARK\",\"object\":{}}";
    CLEANUP_FREE char *filler = malloc(1 << 20);
    struct watch_json *parser = NULL;
    struct told told = {0};
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, most = 0;

    cr_assert(filler);
    memset(filler, 'x', 1 << 20);
    cr_assert_eq(watch_json_new(&parser, take, &told), 0);
    cr_assert_eq(watch_json_push(parser, begin, sizeof(begin) - 1), 0);
    for (int i = 0; i < 64; i++) {
        size_t now;

        cr_assert_eq(watch_json_push(parser, filler, 1 << 20), 0);
        now = mallinfo2().uordblks + mallinfo2().hblkhd;
        most = now > most ? now : most;
    }
    cr_assert_eq(watch_json_push(parser, end, sizeof(end) - 1), 0);
    cr_assert_eq(watch_json_push(parser, good, sizeof(good) - 1), 0);
    cr_assert_str_eq(text_terminate(&told.text), "unreadable - -\nbookmark - -\n");
    cr_assert_lt(most, before + (8u << 20), "%zu", most - before);
    watch_json_free(parser);
    text_deinit(&told.text);
}

Test(watch_json, deep_or_crowded_events_are_refused_cheaply)
{
    CLEANUP_FREE char *crowd = malloc(600000);
    struct watch_json *parser = NULL;
    struct told told = {0};

    cr_assert(crowd);
    memset(crowd, '[', 200);
    cr_assert_eq(watch_json_new(&parser, take, &told), 0);
    cr_assert_eq(watch_json_push(parser, "{\"a\":", 5), 0);
    cr_assert_eq(watch_json_push(parser, crowd, 200), -EINVAL);
    watch_json_free(parser);
    for (size_t i = 0; i < 600000; i++)
        crowd[i] = i % 2 ? ',' : '0';
    cr_assert_eq(watch_json_new(&parser, take, &told), 0);
    cr_assert_eq(watch_json_push(parser, "{\"a\":[", 6), 0);
    cr_assert_eq(push_pieces(parser, crowd, 600000, 4096), 0);
    cr_assert_eq(watch_json_push(parser, "0]}", 3), 0);
    cr_assert_str_eq(text_terminate(&told.text), "unreadable - -\n");
    watch_json_free(parser);
    text_deinit(&told.text);
}
