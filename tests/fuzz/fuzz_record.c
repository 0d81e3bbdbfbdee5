/* SPDX-License-Identifier: Apache-2.0 */
/* A record from the queue, a snapshot or the hold store: the check, then everything that the check allows. */
#include "common/record_check.h"

#include <string.h>

#include "common/cleanup.h"
#include "enricher/cgroup_path.h"
#include "enricher/image.h"
#include "enricher/policy_table.h"
#include "enricher/render_hook.h"
#include "enricher/snapshot_read.h"
#include "tests/fuzz/fuzz.h"

static void touch(struct record_bytes bytes)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < bytes.size; i++)
        sum ^= (uint8_t)bytes.data[i];
    __asm__ volatile("" : : "r"(sum)); /* the reads are the point */
}

static void use_process(const struct record_process *process)
{
    static const struct image_options all = {true, true, true, true};
    struct image *image = image_new(process, &all);

    touch(record_get_bytes(&process->header, process->filename));
    touch(record_get_bytes(&process->header, process->args));
    touch(record_get_bytes(&process->header, process->cwd));
    touch(record_get_comm(process->comm));
    FUZZ_CHECK(image && image->short_size <= image->size);
    touch((struct record_bytes){image->fragment, image->size});
    image_unref(image);
}

static void use_cgroup(const struct record_cgroup *cgroup)
{
    struct record_bytes path = record_get_bytes(&cgroup->header, cgroup->path);
    struct cgroup_identity identity;

    touch(path);
    cgroup_path_parse(path.size ? path.data : "", path.size, &identity);
}

/* Written in the room that it claims, and in the least; what a policy says of the hook, before. */
static void render_in(const struct render_hook *hook, size_t room)
{
    static char line[8 * RECORD_SIZE_MAX];
    bool cut = false;
    char *end;

    FUZZ_CHECK(room + 1 <= sizeof(line));
    line[room] = '#';
    end = render_hook(line, room, hook, &cut);
    FUZZ_CHECK(end >= line && (size_t)(end - line) <= room && line[room] == '#');
    touch((struct record_bytes){line, (size_t)(end - line)});
}

static void use_hook(const struct record_hook *record, struct policy_table *policies)
{
    const struct render_hook hook = {
        .record = record, .policy = policy_table_get(policies, record->hook_id, 1), .own_fields = true};
    size_t bound = render_hook_bound(&hook);

    FUZZ_CHECK(*render_hook_event_name(hook.policy) == 'p');
    render_in(&hook, bound);
    if (bound > RENDER_HOOK_MIN)
        render_in(&hook, RENDER_HOOK_MIN);
}

static void use_policy(const struct record_policy *record)
{
    static struct record_hook hook = {.header = {.size = sizeof(hook), .type = RECORD_HOOK}};
    struct policy_table policies;

    FUZZ_CHECK(policy_table_init(&policies) == 0);
    FUZZ_CHECK(policy_table_apply(&policies, record, 0, 1) != POLICY_REFUSED);
    hook.hook_id = record->hook_id;
    for (unsigned i = 0; i <= RECORD_HOOK_RETURN; i++)
        hook.args[i] = (struct record_arg){.type = RECORD_ARG_STRING, .flags = RECORD_ARG_ERROR};
    use_hook(&hook, &policies);
    policy_table_deinit(&policies);
}

static void use_hook_alone(const struct record_hook *record)
{
    struct policy_table policies;

    FUZZ_CHECK(policy_table_init(&policies) == 0);
    use_hook(record, &policies);
    policy_table_deinit(&policies);
}

static void use(const struct record_header *record)
{
    (void)record_type_name(record->type);
    switch (record->type) {
    case RECORD_FORK:
        touch(record_get_comm(((const struct record_fork *)record)->comm));
        break;
    case RECORD_EXIT:
        touch(record_get_comm(((const struct record_exit *)record)->comm));
        break;
    case RECORD_EXEC:
    case RECORD_SNAPSHOT_PROCESS:
        use_process((const struct record_process *)record);
        break;
    case RECORD_CGROUP_MKDIR:
    case RECORD_CGROUP_RMDIR:
    case RECORD_CGROUP_ATTACH:
    case RECORD_SNAPSHOT_CGROUP:
        use_cgroup((const struct record_cgroup *)record);
        break;
    case RECORD_HOOK:
        use_hook_alone((const struct record_hook *)record);
        break;
    case RECORD_POLICY:
        use_policy((const struct record_policy *)record);
        break;
    default:
        break;
    }
}

static void read_snapshot(const void *data, size_t size)
{
    const struct record_header *record;
    struct snapshot_reader reader;
    size_t given = 0;

    snapshot_read_init(&reader, data, size);
    while (snapshot_read_next(&reader, &record) == 1) {
        FUZZ_CHECK(record_check(record, size) == 0);
        use(record);
        given++;
    }
    FUZZ_CHECK(given == reader.process_count + reader.cgroup_count + reader.policy_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE void *copy =
        aligned_alloc(RECORD_ALIGN, (size + RECORD_ALIGN) / RECORD_ALIGN * RECORD_ALIGN);
    const struct record_header *record = copy;

    if (!copy)
        return 0;
    memcpy(copy, data, size);
    if (record_check(record, size) == 0) {
        FUZZ_CHECK(record->size <= size && record->size >= record_fixed_bytes(record->type));
        use(record);
    } else {
        FUZZ_CHECK(*record_fault_name(record_find_fault(record, size)) != '?');
    }
    read_snapshot(copy, size);
    return 0;
}
