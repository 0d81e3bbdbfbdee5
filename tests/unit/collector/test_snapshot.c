/* SPDX-License-Identifier: Apache-2.0 */
/* The empty states; what a snapshot holds is proven in tests/assume, on a real kernel. */
#include "collector/snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(snapshot, start_without_a_cgroup_root_fails_and_leaves_the_output)
{
    uint64_t seq = 7;
    struct snapshot_options options = {.probe = NULL, .cgroup_root = "/does/not/exist", .seq = &seq};
    struct snapshot *snapshot = NULL;
    char error[PROBE_ERROR_MAX] = "";

    cr_expect_eq(snapshot_start(&snapshot, &options, error), -ENOENT);
    cr_expect_null(snapshot);
    cr_expect_eq(strncmp(error, "/does/not/exist: ", 17), 0, "%s", error);
    cr_expect_eq(seq, 7);
}

Test(snapshot, free_of_nothing_is_fine)
{
    cr_expect_null(snapshot_free(NULL));
}
