/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/pod_feed.h"

#include <stdlib.h>
#include <string.h>

#include "enricher/crew.h"
#include "enricher/pod.h"
#include "enricher/pod_table.h"

struct parcel {
    struct crew_letter letter; /* first */
    struct pod_operation operation;
    struct pod pod;
    char uid[64]; /* pod_uid_valid() */
};

static void open_parcel(struct lane *lane, struct crew_letter *letter)
{
    struct parcel *parcel = (struct parcel *)letter;

    if (lane->pods)
        pod_table_apply(lane->pods, &parcel->operation);
    pod_clear(&parcel->pod);
    free(parcel);
}

static struct parcel *pack(const struct pod_operation *operation)
{
    struct parcel *parcel = calloc(1, sizeof(*parcel));

    if (!parcel)
        return NULL;
    parcel->letter.open = open_parcel;
    parcel->operation = *operation;
    if (operation->pod && pod_copy(&parcel->pod, operation->pod) < 0) {
        free(parcel);
        return NULL;
    }
    if (operation->pod)
        parcel->operation.pod = &parcel->pod;
    if (operation->uid) {
        strncpy(parcel->uid, operation->uid, sizeof(parcel->uid) - 1); /* a longer one is nobody's */
        parcel->operation.uid = parcel->uid;
    }
    return parcel;
}

/* Short of memory a lane misses one message; the source's next list has it again. */
static void on_operation(void *arg, const struct pod_operation *operation)
{
    struct crew *crew = arg;

    for (size_t i = 0; i < crew_size(crew); i++) {
        struct parcel *parcel = pack(operation);

        if (parcel)
            crew_post(crew, i, &parcel->letter);
    }
}

void pod_feed_start(struct pod_table *leader, struct crew *crew)
{
    if (crew)
        pod_table_observe(leader, on_operation, crew);
}
