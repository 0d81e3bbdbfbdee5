/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of a kubelet, pushed whole and in pieces: both must say the same. First byte: the size of the pieces. */
#include "enricher/pod_json.h"

#include <string.h>

#include "enricher/pod.h"
#include "tests/fuzz/fuzz.h"

struct result {
    uint64_t pods, hash;
    size_t skipped;
    int r;
};

static void mix(struct result *result, const char *string)
{
    for (; string && *string; string++)
        result->hash = (result->hash ^ (uint8_t)*string) * UINT64_C(1099511628211);
    result->hash = result->hash * UINT64_C(1099511628211) + 1;
}

static void take(void *arg, const struct pod *pod)
{
    struct result *result = arg;

    FUZZ_CHECK(pod->uid && pod_uid_valid(pod->uid));
    FUZZ_CHECK(pod->label_count <= POD_MAX_LABELS && pod->annotation_count <= POD_MAX_ANNOTATIONS);
    FUZZ_CHECK(pod->container_count <= POD_MAX_CONTAINERS);
    result->pods++;
    mix(result, pod->uid);
    mix(result, pod->namespace_);
    mix(result, pod->name);
    mix(result, pod->workload);
    for (size_t i = 0; i < pod->label_count; i++)
        mix(result, pod->labels[i].value);
    for (size_t i = 0; i < pod->container_count; i++) {
        FUZZ_CHECK(pod->containers[i].name && pod->containers[i].old_id_count <= POD_MAX_OLD_IDS);
        FUZZ_CHECK(!pod->containers[i].id || pod_container_id_valid(pod->containers[i].id));
        mix(result, pod->containers[i].name);
        mix(result, pod->containers[i].id);
    }
}

static struct result parse(const uint8_t *data, size_t size, size_t piece)
{
    struct result result = {0};
    struct pod_json *parser = NULL;

    FUZZ_CHECK(pod_json_new(&parser, take, &result) == 0);
    for (size_t at = 0; at < size && result.r == 0; at += piece)
        result.r = pod_json_push(parser, (const char *)data + at, size - at < piece ? size - at : piece);
    if (result.r == 0)
        result.r = pod_json_finish(parser);
    FUZZ_CHECK(result.r == 0 || strlen(pod_json_error(parser)) > 0);
    result.skipped = result.r == 0 ? pod_json_skipped(parser) : 0;
    (void)pod_json_free(parser);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct result whole, pieces;

    if (size == 0)
        return 0;
    whole = parse(data + 1, size - 1, SIZE_MAX / 2);
    pieces = parse(data + 1, size - 1, 1 + data[0] % 64);
    FUZZ_CHECK(whole.r == pieces.r && whole.skipped == pieces.skipped);
    FUZZ_CHECK(whole.pods == pieces.pods && whole.hash == pieces.hash);
    return 0;
}
