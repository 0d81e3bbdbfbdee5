/* SPDX-License-Identifier: Apache-2.0 */
/* A cgroup path, as a workload may shape it. */
#include "enricher/cgroup_path.h"

#include <ctype.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static void check_uid(const char *uid)
{
    FUZZ_CHECK(strlen(uid) <= POD_UID_MAX);
    for (; *uid; uid++)
        FUZZ_CHECK(isascii(*uid) && (isalnum(*uid) || strchr("-_.", *uid)));
}

static void check_id(const char *id)
{
    FUZZ_CHECK(strlen(id) == 0 || strlen(id) == CONTAINER_ID_MAX);
    FUZZ_CHECK(strspn(id, "0123456789abcdef") == strlen(id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cgroup_identity identity, deeper;
    char *path;

    cgroup_path_parse((const char *)data, size, &identity);
    check_uid(identity.pod_uid);
    check_id(identity.container_id);
    switch (identity.role) {
    case CGROUP_ROLE_NONE:
        FUZZ_CHECK(!identity.pod_uid[0] && !identity.container_id[0]);
        break;
    case CGROUP_ROLE_POD:
        FUZZ_CHECK(identity.pod_uid[0] && !identity.container_id[0]);
        break;
    default:
        FUZZ_CHECK(identity.container_id[0]);
        break;
    }

    /* Whoever is in a Pod cannot make a child cgroup of another. */
    if (!identity.pod_uid[0] || memchr(data, '\0', size))
        return 0;
    if (asprintf(&path, "%.*s/kubepods/pod22222222-2222-4222-8222-222222222222", (int)size,
            (const char *)data) < 0)
        abort();
    cgroup_path_parse(path, strlen(path), &deeper);
    FUZZ_CHECK(strcmp(deeper.pod_uid, identity.pod_uid) == 0);
    FUZZ_CHECK(strcmp(deeper.container_id, identity.container_id) == 0);
    free(path);
    return 0;
}
