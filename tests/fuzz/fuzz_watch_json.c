/* SPDX-License-Identifier: Apache-2.0 */
/* An API server's watch, pushed whole and in pieces: both must tell the same events, up to the same error. First byte: the size of the pieces. */
#include "enricher/watch_json.h"

#include <errno.h>
#include <string.h>

#include "enricher/pod.h"
#include "tests/fuzz/fuzz.h"

struct result {
    uint64_t events, hash, give_up_at;
    bool between;
    char error[128];
    int r;
};

static void mix(struct result *result, const char *string)
{
    for (; string && *string; string++)
        result->hash = (result->hash ^ (uint8_t)*string) * UINT64_C(1099511628211);
    result->hash = result->hash * UINT64_C(1099511628211) + 1 + !string;
}

static void take_pod(struct result *result, const struct pod *pod)
{
    FUZZ_CHECK(pod->uid && pod_uid_valid(pod->uid));
    FUZZ_CHECK(pod->label_count <= POD_MAX_LABELS && pod->annotation_count <= POD_MAX_ANNOTATIONS);
    FUZZ_CHECK(pod->container_count <= POD_MAX_CONTAINERS);
    mix(result, pod->uid);
    mix(result, pod->namespace_);
    mix(result, pod->name);
    mix(result, pod->workload);
    for (size_t i = 0; i < pod->container_count; i++) {
        FUZZ_CHECK(pod->containers[i].name && pod->containers[i].old_id_count <= POD_MAX_OLD_IDS);
        FUZZ_CHECK(!pod->containers[i].id || pod_container_id_valid(pod->containers[i].id));
        mix(result, pod->containers[i].name);
        mix(result, pod->containers[i].id);
    }
}

static int take(void *arg, const struct watch_event *event)
{
    struct result *result = arg;
    bool has_pod =
        event->type == WATCH_ADDED || event->type == WATCH_MODIFIED || event->type == WATCH_DELETED;

    FUZZ_CHECK(event->type >= WATCH_ADDED && event->type <= WATCH_UNREADABLE);
    FUZZ_CHECK(has_pod == (event->pod != NULL));
    FUZZ_CHECK(!event->initial_end || event->type == WATCH_BOOKMARK);
    FUZZ_CHECK(event->code >= 0 && event->code < 1000);
    if (event->type == WATCH_ERROR) {
        FUZZ_CHECK(event->reason && event->message);
        mix(result, event->reason);
        mix(result, event->message);
    }
    if (event->pod)
        take_pod(result, event->pod);
    mix(result, event->version);
    result->hash += (uint64_t)event->type * 3 + (uint64_t)event->code * 7 + event->initial_end;
    return ++result->events == result->give_up_at;
}

static struct result parse(const uint8_t *data, size_t size, size_t piece, uint64_t give_up_at)
{
    struct result result = {.give_up_at = give_up_at};
    struct watch_json *parser = NULL;

    FUZZ_CHECK(watch_json_new(&parser, take, &result) == 0);
    for (size_t at = 0; at < size && result.r == 0; at += piece)
        result.r = watch_json_push(parser, (const char *)data + at, size - at < piece ? size - at : piece);
    FUZZ_CHECK(result.r == 0 || result.r == -EINVAL || result.r == -ECANCELED);
    FUZZ_CHECK((result.r == -EINVAL) == (strlen(watch_json_error(parser)) > 0));
    FUZZ_CHECK((result.r == -ECANCELED) == (result.events == give_up_at));
    result.between = result.r == 0 && watch_json_is_between(parser);
    (void)snprintf(result.error, sizeof(result.error), "%s", watch_json_error(parser));
    (void)watch_json_free(parser);
    return result;
}

static void check_same(const struct result *a, const struct result *b)
{
    FUZZ_CHECK(a->r == b->r && a->between == b->between);
    FUZZ_CHECK(a->events == b->events && a->hash == b->hash);
    FUZZ_CHECK(strcmp(a->error, b->error) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct result whole, pieces;

    if (size == 0)
        return 0;
    whole = parse(data + 1, size - 1, SIZE_MAX / 2, UINT64_MAX);
    pieces = parse(data + 1, size - 1, 1 + data[0] % 64, UINT64_MAX);
    check_same(&whole, &pieces);
    if (whole.events) { /* and where the source gives it up */
        uint64_t at = 1 + data[0] % whole.events;

        whole = parse(data + 1, size - 1, SIZE_MAX / 2, at);
        pieces = parse(data + 1, size - 1, 1 + data[0] % 64, at);
        check_same(&whole, &pieces);
    }
    return 0;
}
