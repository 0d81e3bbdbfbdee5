/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "enricher/cli/expander.h"

struct kit_expander {
    struct expander expander;
};

struct kit_expander *kit_expander_new(void);
struct kit_expander *kit_expander_free(struct kit_expander *kit);
char *kit_expander_read(struct kit_expander *kit, const char *line, size_t size);

struct kit_expander *kit_expander_new(void)
{
    return calloc(1, sizeof(struct kit_expander));
}

struct kit_expander *kit_expander_free(struct kit_expander *kit)
{
    if (kit)
        expander_deinit(&kit->expander);
    free(kit);
    return NULL;
}

char *kit_expander_read(struct kit_expander *kit, const char *line, size_t size)
{
    struct slice full;
    enum expander_result result = expander_read(&kit->expander, (struct slice){line, size}, &full);

    cr_assert_neq(result, EXPANDER_WRONG, "%s: %.*s", kit->expander.why, (int)size, line);
    cr_assert_neq(result, EXPANDER_AS_IS, "not normalised: %.*s", (int)size, line);
    return result == EXPANDER_LINE ? strndup(full.data, full.size) : NULL;
}
