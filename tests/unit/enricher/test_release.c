/* SPDX-License-Identifier: Apache-2.0 */
/* How queues are let go. */
#include "enricher/pipeline.h"

#include <errno.h>

#include "tests/unit/enricher/pipeline_kit.h"

TestSuite(release, .init = kit_setup, .fini = kit_teardown);

Test(release, full_output_loses_and_reorders_nothing)
{
    kit.room = 0;
    kit_feed(make_exec(&kit.record, A1, INIT, CG_A, kit.now, "/a"));
    const struct record_header *record = make_exec(&kit.record, B1, INIT, CG_HOST, kit.now, "/b");
    cr_expect_eq(kit_try(record), -EAGAIN);
    cr_expect_eq(kit_try(record), -EAGAIN);
    cr_expect(pipeline_is_blocked(&kit.pipeline));
    kit.room = 1;
    cr_expect_eq(kit_try(record), 0);
    cr_expect_eq(kit.line_count, 1);
    kit_expect_state(0, "process_exec", "host", "");
    kit_tell_pod(UID_A, "web-1", ID_A);
    cr_expect_eq(kit.line_count, 1);
    cr_expect(pipeline_is_blocked(&kit.pipeline));
    record = make_exit(&kit.record, A1, CG_A, kit.now, 0);
    cr_expect_eq(kit_try(record), -EAGAIN); /* what is being let go goes first */
    kit.room = SIZE_MAX;
    cr_expect_eq(kit_try(record), 0);
    cr_assert_eq(kit.line_count, 3);
    kit_expect_state(1, "process_exec", "complete", "web-1");
    kit_expect_state(2, "process_exit", "complete", "web-1");
    kit_expect_balanced();
}
