/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint of any bytes: refused, or settled and read within its bounds. */
#include <string.h>
#include <unistd.h>

#include "collector/checkpoint.h"
#include "tests/fuzz/fuzz.h"

static void fill(void *arg, unsigned row, struct checkpoint_row *ret)
{
    (void)arg;
    memset(ret, (int)row, sizeof(*ret));
}

static void use(struct checkpoint *checkpoint, const uint8_t *data, size_t size)
{
    struct checkpoint_totals totals = {0};
    struct checkpoint_row row;
    uint64_t tail = 0;

    memcpy(&tail, data, size < sizeof(tail) ? size : sizeof(tail));
    checkpoint_settle(checkpoint, tail);
    checkpoint_get_totals(checkpoint, &totals);
    for (unsigned i = 0; i < checkpoint_row_count(checkpoint); i++)
        (void)checkpoint_get_row(checkpoint, i, &row);
    checkpoint_touch(checkpoint, (unsigned)tail);
    totals.tail++;
    if (checkpoint_prepare(checkpoint, &totals, fill, NULL))
        checkpoint_commit(checkpoint);
    (void)checkpoint_next_hook(checkpoint);
}

/* As much as the file takes; its size is sealed. */
static void overwrite(int fd, const uint8_t *data, size_t size)
{
    off_t at = size && data[0] & 1 ? 16 : 0, end = lseek(fd, 0, SEEK_END);

    if (size > 1)
        (void)!pwrite(fd, data + 1, size - 1 < (size_t)(end - at) ? size - 1 : (size_t)(end - at), at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct checkpoint_identity identity = {.record_version = 1};
    struct checkpoint *checkpoint = NULL, *next = NULL;

    /* Of a right form, with these bytes behind its head. */
    if (checkpoint_new(&checkpoint, &identity, 1, size && data[0] % 8 ? data[0] % 8 : 1) == 0) {
        overwrite(checkpoint_fd(checkpoint), data, size);
        if (checkpoint_open(&next, checkpoint_fd(checkpoint)) == 0)
            use(next, data, size);
    }
    checkpoint_close(next);
    checkpoint_close(checkpoint);
    return 0;
}
