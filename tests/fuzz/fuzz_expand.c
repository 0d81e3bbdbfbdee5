/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz_expand.h"

#include <stdlib.h>
#include <string.h>

#include "enricher/cli/expander.h"
#include "tests/fuzz/fuzz.h"

struct fuzz_expander {
    struct expander expander;
};

struct fuzz_expander *fuzz_expander_new(void)
{
    return calloc(1, sizeof(struct fuzz_expander));
}

struct fuzz_expander *fuzz_expander_free(struct fuzz_expander *fuzz)
{
    if (fuzz)
        expander_deinit(&fuzz->expander);
    free(fuzz);
    return NULL;
}

size_t fuzz_expander_read(struct fuzz_expander *fuzz, char *line, size_t size, size_t room)
{
    struct slice full;
    enum expander_result result = expander_read(&fuzz->expander, (struct slice){line, size - 1}, &full);

    FUZZ_CHECK(result == EXPANDER_LINE || result == EXPANDER_NOTHING);
    if (result == EXPANDER_NOTHING)
        return 0;
    FUZZ_CHECK(full.size < room);
    memcpy(line, full.data, full.size);
    line[full.size] = '\n';
    return full.size + 1;
}
