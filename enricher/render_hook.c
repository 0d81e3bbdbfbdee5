/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/render_hook.h"

#include <stdint.h>
#include <string.h>

#include "enricher/policy_table.h"
#include "enricher/put.h"
#include "enricher/render_arg.h"

#define ARGS_COUNT (RECORD_HOOK_ARGS_MAX + 1)
/* One frame: {"address":"18446744073709551615"}, */
#define FRAME_MAX 36
/* Keys, action, our own fields; and the commas between the arguments. */
#define FIXED_MAX 512

_Static_assert(
    FIXED_MAX + POLICY_PIECES_MAX + RECORD_HOOK_STACK_MAX * FRAME_MAX + ARGS_COUNT * (RENDER_ARG_MIN + 1) <=
        RENDER_HOOK_MIN,
    "each argument has its form at least");

const char *render_hook_event_name(const struct policy_entry *policy)
{
    switch (policy->kind) {
    case RECORD_HOOK_TRACEPOINT:
        return "process_tracepoint";
    case RECORD_HOOK_LSM:
        return "process_lsm";
    case RECORD_HOOK_UPROBE:
        return "process_uprobe";
    default:
        return "process_kprobe";
    }
}

/* Everything but the arguments. */
static size_t frame_bound(const struct render_hook *hook)
{
    return FIXED_MAX + hook->policy->function.size + hook->policy->names.size +
           (size_t)hook->record->stack_count * FRAME_MAX;
}

static bool is_there(const struct record_hook *record, unsigned i)
{
    return record->args[i].type != RECORD_ARG_NONE;
}

static struct render_arg arg_of(const struct render_hook *hook, unsigned i)
{
    return (struct render_arg){.record = &hook->record->header,
        .arg = &hook->record->args[i],
        .end = &hook->policy->labels[i],
        .own_fields = hook->own_fields};
}

static size_t arg_bound(const struct render_hook *hook, unsigned i)
{
    const struct render_arg arg = arg_of(hook, i);

    return is_there(hook->record, i) ? render_arg_bound(&arg) : 0;
}

size_t render_hook_bound(const struct render_hook *hook)
{
    size_t bound = frame_bound(hook);

    for (unsigned i = 0; i < ARGS_COUNT; i++)
        bound += arg_bound(hook, i) + 1; /* and a comma */
    return bound;
}

/* ---- arguments ---------------------------------------------------------------------------------------------------- */

/* Room for each argument. Where all together ask for too much, what asks for little gets it, and the others share the rest. */
static void share_room(const struct render_hook *hook, size_t room, size_t shares[ARGS_COUNT])
{
    size_t asked[ARGS_COUNT], total = 0;
    unsigned left = 0;

    for (unsigned i = 0; i < ARGS_COUNT; i++) {
        asked[i] = shares[i] = arg_bound(hook, i);
        total += asked[i] + 1;
        left += asked[i] > 0;
    }
    if (total <= room)
        return;
    for (room -= ARGS_COUNT; left > 0; left--) { /* the smallest of those that have none yet */
        unsigned least = ARGS_COUNT;

        for (unsigned i = 0; i < ARGS_COUNT; i++) {
            if (asked[i] && (least == ARGS_COUNT || asked[i] < asked[least]))
                least = i;
        }
        if (shares[least] > room / left)
            shares[least] = room / left;
        room -= shares[least];
        asked[least] = 0;
    }
}

static char *put_arg(char *to, const struct render_hook *hook, unsigned i, size_t share, bool *cut)
{
    const struct render_arg arg = arg_of(hook, i);

    return render_arg(to, share < RENDER_ARG_MIN ? RENDER_ARG_MIN : share, &arg, cut);
}

static char *put_args(char *to, const struct render_hook *hook, const size_t shares[ARGS_COUNT], bool *cut)
{
    char *begin = to;

    for (unsigned i = 0; i < RECORD_HOOK_ARGS_MAX; i++) {
        if (!is_there(hook->record, i))
            continue;
        to = to == begin ? PUT(to, ",\"args\":[") : PUT(to, ",");
        to = put_arg(to, hook, i, shares[i], cut);
    }
    if (to != begin)
        to = PUT(to, "]");
    if (is_there(hook->record, RECORD_HOOK_RETURN)) {
        to = PUT(to, ",\"return\":");
        to = put_arg(to, hook, RECORD_HOOK_RETURN, shares[RECORD_HOOK_RETURN], cut);
    }
    return to;
}

/* ---- what is around them -------------------------------------------------------------------------------------------- */

static char *put_action(char *to, uint8_t action)
{
    switch (action) {
    case RECORD_HOOK_SIGKILL:
        return PUT(to, ",\"action\":\"KPROBE_ACTION_SIGKILL\"");
    case RECORD_HOOK_SIGNAL:
        return PUT(to, ",\"action\":\"KPROBE_ACTION_SIGNAL\"");
    case RECORD_HOOK_OVERRIDE:
        return PUT(to, ",\"action\":\"KPROBE_ACTION_OVERRIDE\"");
    default:
        return PUT(to, ",\"action\":\"KPROBE_ACTION_POST\"");
    }
}

static char *put_stack(char *to, const struct record_hook *record)
{
    const uint64_t *frames = (const void *)((const char *)record + record->stack.offset);

    if (!record->stack_count)
        return to;
    to = PUT(to, ",\"kernel_stack_trace\":[");
    for (unsigned i = 0; i < record->stack_count; i++) {
        to = i ? PUT(to, ",{\"address\":\"") : PUT(to, "{\"address\":\"");
        to = put_u64(to, frames[i]);
        to = PUT(to, "\"}");
    }
    return PUT(to, "]");
}

static char *put_own_fields(char *to, const struct render_hook *hook)
{
    const struct record_hook *record = hook->record;
    int64_t value = record->action_value;

    if (record->action == RECORD_HOOK_SIGNAL || record->action == RECORD_HOOK_OVERRIDE) {
        to = value < 0 ? PUT(to, ",\"action_value\":-") : PUT(to, ",\"action_value\":");
        to = put_u64(to, (uint64_t)(value < 0 ? -value : value));
    }
    if (record->action_failed)
        to = PUT(to, ",\"action_failed\":true");
    if (record->suppressed) {
        to = PUT(to, ",\"suppressed\":");
        to = put_u64(to, record->suppressed);
    }
    if (hook->selector_undecided)
        to = PUT(to, ",\"selector_undecided\":true");
    if (!hook->policy->known) {
        to = PUT(to, ",\"unknown_hook_id\":");
        to = put_u64(to, record->hook_id);
    }
    return to;
}

char *render_hook(char *to, size_t room, const struct render_hook *hook, bool *cut)
{
    const struct policy_entry *policy = hook->policy;
    size_t shares[ARGS_COUNT];

    share_room(hook, room - frame_bound(hook), shares);
    if (hook->reference) {
        to = PUT(to, ",\"hook\":");
        to = put_u64(to, hook->reference);
    } else {
        to = put(to, policy->function.data, policy->function.size);
    }
    to = put_args(to, hook, shares, cut);
    to = put_action(to, hook->record->action);
    to = put_stack(to, hook->record);
    if (!hook->reference)
        to = put(to, policy->names.data, policy->names.size);
    return hook->own_fields ? put_own_fields(to, hook) : to;
}
