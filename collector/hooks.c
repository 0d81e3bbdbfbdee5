/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hooks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/checkpoint.h"
#include "collector/hook_engine.h"
#include "collector/hook_plan.h"
#include "collector/hook_record.h"
#include "collector/hook_sets.h"
#include "common/cleanup.h"
#include "common/clock.h"

/* One hook id: one function of one hook of a policy. */
struct hook {
    uint32_t id;
    uint32_t config;
    struct hook_attachment attachment;
    struct record_policy *record; /* owned */
    bool is_told;                 /* RECORD_POLICY went out */
};

/* What the hooks of a policy have in the shared maps: a configuration, used by one hook id or more. */
struct configuration {
    uint32_t number;
    struct hook_compiled compiled;
    uint32_t bits[HOOK_PROCESS_SETS_PER_HOOK];
    size_t bit_count;
    bool is_in;
};

struct loaded {
    struct policy policy;
    struct hook *hooks;
    size_t hook_count;
    struct configuration *configurations;
    size_t configuration_count;
    bool is_kept;           /* by the keeper, under its first hook id */
    uint64_t gone_position; /* of the queue, behind its GONE; 0: not known yet */
    struct loaded *next;
};

struct hooks {
    struct hooks_options options;
    struct hook_engine *engine; /* made with the first policy */
    struct hook_set_table *sets;
    struct hook_kernel kernel;
    struct loaded *loaded, *leaving; /* leaving: detached, GONE not told yet */
    struct loaded *inherited;        /* an earlier collector's, at work until hooks_end_inherited() */
    struct loaded *gone;             /* told; its records may still be read */
    bool sets_are_kept, has_changed;
    uint32_t next_hook, next_config, next_set;
    uint64_t missed_looked_ns;
};

/* ---- a policy's parts ----------------------------------------------------------------------------------------------- */

static uint32_t next_hook_id(struct hooks *hooks)
{
    return hooks->options.checkpoint ? checkpoint_next_hook(hooks->options.checkpoint) : hooks->next_hook++;
}

static struct hook *add_hook(struct hooks *hooks, struct loaded *loaded)
{
    struct hook *items = reallocarray(loaded->hooks, loaded->hook_count + 1, sizeof(*items));

    if (!items)
        return NULL;
    loaded->hooks = items;
    items[loaded->hook_count] = (struct hook){.id = next_hook_id(hooks), .attachment = HOOK_ATTACHMENT_EMPTY};
    return &items[loaded->hook_count++];
}

static struct configuration *add_configuration(struct hooks *hooks, struct loaded *loaded)
{
    struct configuration *items =
        reallocarray(loaded->configurations, loaded->configuration_count + 1, sizeof(*items));

    if (!items)
        return NULL;
    loaded->configurations = items;
    items[loaded->configuration_count] = (struct configuration){.number = hooks->next_config++};
    return &items[loaded->configuration_count++];
}

/* Set numbers of this configuration become the engine's own. */
static void shift_sets(struct hook_compiled *compiled, uint32_t first)
{
    for (size_t i = 0; i < HOOK_MATCHES_MAX; i++) {
        struct hook_match *match = &compiled->config.matches[i];

        if (match->op != HOOK_MATCH_PROCESS)
            match->set += first;
    }
    for (size_t i = 0; i < compiled->entry_count; i++) {
        union {
            struct hook_number_key *number;
            struct hook_text_key *text;
            struct hook_prefix_key *prefix;
            struct hook_network_key *network;
        } key = {.number = &compiled->entries[i].key.number};

        switch (compiled->entries[i].table) {
        case HOOK_TABLE_NUMBERS:
            key.number->set += first;
            break;
        case HOOK_TABLE_TEXTS:
            key.text->set += first;
            break;
        case HOOK_TABLE_PREFIXES:
        case HOOK_TABLE_POSTFIXES:
            key.prefix->set += first;
            break;
        case HOOK_TABLE_NETWORKS:
            key.network->set += first;
            break;
        }
    }
}

/* Bits for the sets of processes, in force. */
static int put_process_sets(struct hooks *hooks, struct configuration *configuration,
    const struct policy_hook *hook, struct hook_error *error)
{
    struct hook_compiled *compiled = &configuration->compiled;
    char text[HOOK_ERROR_MAX];
    int r = 0;

    for (size_t i = 0; i < compiled->process_set_count; i++) {
        const struct hook_process_set *set = &compiled->process_sets[i];

        r = hook_sets_add(hooks->sets, set, &configuration->bits[configuration->bit_count]);
        if (r == -E2BIG)
            return hook_error_set(error, hook->place, r,
                "more than %d matchBinaries and matchPIDs in all policies", HOOK_PROCESS_SETS_MAX);
        if (r < 0)
            return hook_error_set(error, hook->place, r, "matchBinaries, matchPIDs: %s", strerror(-r));
        compiled->config.matches[set->match].set = configuration->bits[configuration->bit_count++];
    }
    r = hook_sets_commit(hooks->sets, text);
    return r < 0 ? hook_error_set(error, hook->place, r, "%s", text) : 0;
}

static int put_configuration(struct hooks *hooks, struct configuration *configuration,
    const struct policy_hook *hook, struct hook_error *error)
{
    struct hook_compiled *compiled = &configuration->compiled;
    int r = put_process_sets(hooks, configuration, hook, error);

    if (r < 0)
        return r;
    configuration->is_in = true;
    for (size_t i = 0; i < compiled->entry_count && r == 0; i++)
        r = hook_engine_put_entry(hooks->engine, &compiled->entries[i]);
    if (r == 0)
        r = hook_engine_put_config(hooks->engine, configuration->number, &compiled->config);
    if (r < 0)
        return hook_error_set(error, hook->place, r, "the kernel's tables do not take it: %s", strerror(-r));
    return 0;
}

static void remove_configuration(struct hooks *hooks, struct configuration *configuration)
{
    if (configuration->is_in) {
        (void)hook_engine_remove_config(hooks->engine, configuration->number);
        for (size_t i = 0; i < configuration->compiled.entry_count; i++)
            (void)hook_engine_remove_entry(hooks->engine, &configuration->compiled.entries[i]);
    }
    for (size_t i = 0; i < configuration->bit_count; i++)
        hook_sets_remove(hooks->sets, configuration->bits[i]);
    hook_compiled_deinit(&configuration->compiled);
}

/* ---- the stream ----------------------------------------------------------------------------------------------------- */

static void tell(struct hooks *hooks, struct hook *hook, uint8_t flags)
{
    struct record_policy *record = hook->record;
    uint8_t before = record->flags;

    record->header.seq = (*hooks->options.seq)++;
    record->header.time_ns = clock_boot_ns();
    record->flags |= flags;
    (void)hooks->options.put(&record->header, record->header.size, hooks->options.put_arg);
    record->flags = before; /* a snapshot tells of it as it was */
    hook->is_told = true;
}

/* ---- unloading ------------------------------------------------------------------------------------------------------ */

/* All links of a policy, or (NULL) of what keeps the sets; at most `max`. */
static size_t collect_links(struct hooks *hooks, const struct loaded *loaded, int *fds, size_t max)
{
    size_t count = 0;

    if (!loaded)
        return hook_engine_get_process_links(hooks->engine, fds, max);
    for (size_t i = 0; i < loaded->hook_count && count + 2 <= max; i++)
        count += hook_engine_get_links(&loaded->hooks[i].attachment, fds + count);
    return count;
}

static void keep_links(struct hooks *hooks, struct loaded *loaded)
{
    const struct hooks_keeper *keeper = &hooks->options.keeper;
    CLEANUP_FREE int *fds = NULL;
    size_t max = 2 * loaded->hook_count + 2, count;

    if (!keeper->keep || loaded->hook_count == 0)
        return;
    fds = calloc(max, sizeof(*fds));
    if (!fds)
        return; /* its hooks end with this process */
    count = collect_links(hooks, NULL, fds, max);
    if (count > 0 && !hooks->sets_are_kept) {
        keeper->keep(keeper->arg, 0, fds, count);
        hooks->sets_are_kept = true;
    }
    count = collect_links(hooks, loaded, fds, max);
    keeper->keep(keeper->arg, loaded->hooks[0].id, fds, count);
    loaded->is_kept = true;
}

static void forget_links(struct hooks *hooks, struct loaded *loaded)
{
    if (loaded->is_kept)
        hooks->options.keeper.forget(hooks->options.keeper.arg, loaded->hooks[0].id);
    loaded->is_kept = false;
}

static void detach(struct hooks *hooks, struct loaded *loaded)
{
    forget_links(hooks, loaded);
    for (size_t i = 0; i < loaded->hook_count; i++) {
        struct hook_attachment *attachment = &loaded->hooks[i].attachment;

        probe_count_missed(hooks->options.probe, hook_engine_missed(hooks->engine, attachment));
        hook_engine_detach(hooks->engine, attachment);
    }
}

static void release(struct hooks *hooks, struct loaded *loaded)
{
    for (size_t i = 0; i < loaded->configuration_count; i++)
        remove_configuration(hooks, &loaded->configurations[i]);
    loaded->configuration_count = 0;
}

static void free_loaded(struct loaded *loaded)
{
    for (size_t i = 0; i < loaded->hook_count; i++)
        free(loaded->hooks[i].record);
    for (size_t i = 0; i < loaded->configuration_count; i++)
        hook_compiled_deinit(&loaded->configurations[i].compiled);
    free(loaded->hooks);
    free(loaded->configurations);
    policy_deinit(&loaded->policy);
    free(loaded);
}

/* Out of the kernel, now; GONE follows. `list`: what goes, linked. */
static void unload_all(struct hooks *hooks, struct loaded *list)
{
    char error[HOOK_ERROR_MAX];

    if (!list)
        return;
    hooks->has_changed = true;
    for (struct loaded *loaded = list; loaded; loaded = loaded->next) {
        detach(hooks, loaded);
        /* Who keeps the links lets go of them in his own time: until then there is nothing for the programs to do. */
        for (size_t i = 0; i < loaded->configuration_count; i++)
            (void)hook_engine_remove_config(hooks->engine, loaded->configurations[i].number);
    }
    hook_engine_settle(hooks->engine);
    while (list) {
        struct loaded *loaded = list;

        list = loaded->next;
        release(hooks, loaded);
        loaded->next = hooks->leaving;
        hooks->leaving = loaded;
    }
    (void)hook_sets_commit(hooks->sets, error); /* else with the next one: the bits stay taken until then */
}

bool hooks_unload(struct hooks *hooks, uint64_t digest)
{
    for (struct loaded **link = &hooks->loaded; *link; link = &(*link)->next) {
        struct loaded *loaded = *link;

        if (loaded->policy.digest != digest)
            continue;
        *link = loaded->next;
        loaded->next = NULL;
        unload_all(hooks, loaded);
        return true;
    }
    return false;
}

/* ---- loading -------------------------------------------------------------------------------------------------------- */

static int need_engine(struct hooks *hooks, const struct policy *policy, struct hook_error *error)
{
    char text[HOOK_ERROR_MAX];
    int r;

    if (hooks->engine)
        return 0;
    r = hook_kernel_init(&hooks->kernel, hooks->options.probe, text);
    if (hooks->options.no_perf)
        hooks->kernel.has_perf = hooks->kernel.has_kprobe = hooks->kernel.has_uprobe = false;
    if (hooks->options.no_trampolines)
        hooks->kernel.has_fentry = false;
    if (r == 0)
        r = hook_engine_new(&hooks->engine, hooks->options.probe, text);
    if (r == 0 && hook_sets_new(&hooks->sets, hooks->engine) < 0) {
        hooks->engine = hook_engine_free(hooks->engine);
        r = -ENOMEM;
    }
    return r < 0 ? hook_error_set(error, policy->name.place, r, "%s", text) : 0;
}

/* The configuration for a target: one that an earlier target of this hook has, or a new one. `first`: where this hook's begin. */
static int find_configuration(struct hooks *hooks, struct loaded *loaded, const struct policy_hook *hook,
    const struct hook_target *target, size_t first, uint32_t *ret_number, struct hook_error *error)
{
    struct hook_compiled compiled;
    struct configuration *configuration;
    uint32_t set = hooks->next_set;
    int r = hook_compile(&compiled, hook, target, &hooks->kernel.host, error);

    if (r < 0) {
        hook_compiled_deinit(&compiled);
        return r == -ENOMEM ? hook_error_set(error, hook->place, r, "out of memory") : r;
    }
    for (size_t i = first; i < loaded->configuration_count; i++) {
        struct hook_compiled *other = &loaded->configurations[i].compiled;

        /* The sets differ by where they were put; without sets nothing differs. */
        if (!compiled.set_count && !compiled.process_set_count &&
            memcmp(&other->config, &compiled.config, sizeof(compiled.config)) == 0) {
            *ret_number = loaded->configurations[i].number;
            hook_compiled_deinit(&compiled);
            return 0;
        }
    }
    configuration = add_configuration(hooks, loaded);
    if (!configuration) {
        hook_compiled_deinit(&compiled);
        return hook_error_set(error, hook->place, -ENOMEM, "out of memory");
    }
    hooks->next_set += compiled.set_count;
    shift_sets(&compiled, set);
    configuration->compiled = compiled;
    *ret_number = configuration->number;
    return put_configuration(hooks, configuration, hook, error);
}

static int load_target(struct hooks *hooks, struct loaded *loaded, const struct policy_hook *hook,
    struct hook_target *target, size_t first_configuration, struct hook_error *error)
{
    struct hook *item = add_hook(hooks, loaded);
    char text[HOOK_ERROR_MAX];
    int r;

    if (!item)
        return hook_error_set(error, hook->place, -ENOMEM, "out of memory");
    r = find_configuration(hooks, loaded, hook, target, first_configuration, &item->config, error);
    if (r < 0)
        return r;
    item->record = hook_record_new(&loaded->policy, hook, target, item->id);
    if (!item->record)
        return hook_error_set(error, hook->place, -ENOMEM, "out of memory");
    tell(hooks, item, 0);
    do {
        r = hook_engine_attach(
            hooks->engine, target, (uint64_t)item->config << 32 | item->id, &item->attachment, text);
    } while (r < 0 && hook_plan_fall_back(target, &hooks->kernel));
    return r < 0 ? hook_error_set(error, hook->place, r, "%s", text) : 0;
}

static int load_hook(
    struct hooks *hooks, struct loaded *loaded, const struct policy_hook *hook, struct hook_error *error)
{
    struct hook_targets targets = {0};
    size_t first = loaded->configuration_count;
    int r = hook_plan(&targets, &hooks->kernel, hook, error);

    for (size_t i = 0; i < targets.count && r == 0; i++)
        r = load_target(hooks, loaded, hook, &targets.items[i], first, error);
    hook_targets_deinit(&targets);
    return r;
}

static int check_enforcement(const struct hooks *hooks, const struct policy *policy, struct hook_error *error)
{
    const struct policy_action *action = policy_enforces(policy);

    if (!action || hooks->options.allow_enforcement)
        return 0;
    return hook_error_set(
        error, action->place, -EPERM, "%s needs --allow-enforcement", policy_action_name(action->kind));
}

int hooks_load(struct hooks *hooks, struct policy *policy, struct hook_error *error)
{
    struct loaded *loaded;
    int r = check_enforcement(hooks, policy, error);

    if (r == 0)
        r = need_engine(hooks, policy, error);
    if (r < 0)
        return r;
    loaded = calloc(1, sizeof(*loaded));
    if (!loaded)
        return hook_error_set(error, policy->name.place, -ENOMEM, "out of memory");
    loaded->policy = *policy;
    for (size_t i = 0; i < policy->hook_count && r == 0; i++)
        r = load_hook(hooks, loaded, &policy->hooks[i], error);
    if (r < 0) { /* HS1; what was told is told to be gone */
        loaded->policy = (struct policy){0};
        unload_all(hooks, loaded);
        return r;
    }
    *policy = (struct policy){0};
    keep_links(hooks, loaded);
    hooks->has_changed = true;
    loaded->next = hooks->loaded;
    hooks->loaded = loaded;
    return 0;
}

/* ---- the whole list ------------------------------------------------------------------------------------------------- */

static bool is_loaded(const struct hooks *hooks, uint64_t digest)
{
    for (const struct loaded *loaded = hooks->loaded; loaded; loaded = loaded->next) {
        if (loaded->policy.digest == digest)
            return true;
    }
    return false;
}

static bool has_name(const struct policy *policy, const struct policy *other)
{
    const char *a = policy->name_space ? policy->name_space : "",
               *b = other->name_space ? other->name_space : "";

    return policy->name.data && strcmp(policy->name.data, other->name.data) == 0 && strcmp(a, b) == 0;
}

/* What is left in the list was refused; what it took over is empty, and told by the digests. */
static bool stays(const struct policy *policy, const uint64_t *digests, const struct policy_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (digests[i] == policy->digest || has_name(&list->items[i], policy))
            return true;
    }
    return false;
}

static void load_new(struct hooks *hooks, struct policy_list *list, hooks_refused_fn refused, void *arg,
    struct hooks_change *change)
{
    for (size_t i = 0; i < list->count; i++) {
        struct policy *policy = &list->items[i];
        struct hook_error error = {0};

        if (is_loaded(hooks, policy->digest))
            policy_deinit(policy); /* as it is */
        else if (hooks_load(hooks, policy, &error) == 0)
            change->loaded++;
        else {
            change->refused++;
            refused(policy, &error, arg);
        }
    }
}

struct hooks_change hooks_apply(
    struct hooks *hooks, struct policy_list *list, hooks_refused_fn refused, hooks_keep_fn keep, void *arg)
{
    CLEANUP_FREE uint64_t *digests = calloc(list->count + 1, sizeof(*digests));
    struct loaded *going = NULL, **link = &hooks->loaded;
    struct hooks_change change = {0};

    if (!digests)
        return change;
    for (size_t i = 0; i < list->count; i++)
        digests[i] = list->items[i].digest;
    load_new(hooks, list, refused, arg, &change);
    while (*link) {
        struct loaded *loaded = *link;

        if (stays(&loaded->policy, digests, list) || (keep && keep(&loaded->policy, arg))) {
            link = &loaded->next;
            change.kept++;
            continue;
        }
        *link = loaded->next;
        loaded->next = going;
        going = loaded;
        change.unloaded++;
    }
    unload_all(hooks, going);
    change.kept -= change.loaded;
    return change;
}

/* ---- at work -------------------------------------------------------------------------------------------------------- */

static void count_missed(struct hooks *hooks)
{
    uint64_t missed = hook_engine_shared_missed(hooks->engine);

    for (struct loaded *loaded = hooks->loaded; loaded; loaded = loaded->next) {
        for (size_t i = 0; i < loaded->hook_count; i++)
            missed += hook_engine_missed(hooks->engine, &loaded->hooks[i].attachment);
    }
    probe_count_missed(hooks->options.probe, missed);
}

void hooks_on_drained(struct hooks *hooks)
{
    uint64_t now_ns = clock_boot_ns();

    while (hooks->leaving) {
        struct loaded *loaded = hooks->leaving;

        hooks->leaving = loaded->next;
        for (size_t i = 0; i < loaded->hook_count; i++) {
            if (loaded->hooks[i].is_told)
                tell(hooks, &loaded->hooks[i], RECORD_POLICY_GONE);
        }
        loaded->next = hooks->gone;
        hooks->gone = loaded;
    }
    if (hooks->engine && now_ns - hooks->missed_looked_ns >= NS_PER_SEC) {
        hooks->missed_looked_ns = now_ns;
        count_missed(hooks);
        hook_sets_repair(hooks->sets);
    }
}

/* ---- what went, and what an earlier collector had ---------------------------------------------------------------------- */

int hooks_inherit(struct hooks *hooks, const struct record_policy *record)
{
    struct loaded *loaded = calloc(1, sizeof(*loaded));
    struct hook *hook = calloc(1, sizeof(*hook));
    struct record_policy *copy = malloc(record->header.size);

    if (!loaded || !hook || !copy) {
        free(loaded);
        free(hook);
        free(copy);
        return -ENOMEM;
    }
    memcpy(copy, record, record->header.size);
    copy->flags &= (uint8_t)~RECORD_POLICY_GONE;
    *hook = (struct hook){.attachment = HOOK_ATTACHMENT_EMPTY, .record = copy, .is_told = true};
    loaded->hooks = hook;
    loaded->hook_count = 1;
    loaded->next = hooks->inherited;
    hooks->inherited = loaded;
    return 0;
}

void hooks_end_inherited(struct hooks *hooks)
{
    while (hooks->inherited) {
        struct loaded *loaded = hooks->inherited;

        hooks->inherited = loaded->next;
        loaded->next = hooks->leaving;
        hooks->leaving = loaded;
    }
}

bool hooks_look_at_gone(struct hooks *hooks, uint64_t head, uint64_t tail)
{
    struct loaded **link = &hooks->gone;
    bool changed = hooks->has_changed;

    while (*link) {
        struct loaded *loaded = *link;

        if (!loaded->gone_position) {
            loaded->gone_position = tail;
        } else if (loaded->gone_position <= head) {
            *link = loaded->next;
            free_loaded(loaded);
            changed = true;
            continue;
        }
        link = &loaded->next;
    }
    hooks->has_changed = false;
    return changed;
}

/* What a snapshot says is in force, also of what is gone when it is read: GONE follows in the stream. */
static int each_policy_of(
    struct loaded *loaded, int (*fn)(const struct record_header *record, void *arg), void *arg)
{
    for (; loaded; loaded = loaded->next) {
        for (size_t i = 0; i < loaded->hook_count; i++) {
            int r = loaded->hooks[i].is_told ? fn(&loaded->hooks[i].record->header, arg) : 0;

            if (r < 0)
                return r;
        }
    }
    return 0;
}

int hooks_each_policy(
    struct hooks *hooks, int (*fn)(const struct record_header *record, void *arg), void *arg)
{
    struct loaded *const lists[] = {hooks->gone, hooks->leaving, hooks->inherited, hooks->loaded};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        int r = each_policy_of(lists[i], fn, arg);

        if (r < 0)
            return r;
    }
    return 0;
}

size_t hooks_policy_count(const struct hooks *hooks)
{
    size_t count = 0;

    for (const struct loaded *loaded = hooks->loaded; loaded; loaded = loaded->next)
        count++;
    return count;
}

size_t hooks_hook_count(const struct hooks *hooks)
{
    size_t count = 0;

    for (const struct loaded *loaded = hooks->loaded; loaded; loaded = loaded->next)
        count += loaded->hook_count;
    return count;
}

/* ---- start and stop ------------------------------------------------------------------------------------------------- */

int hooks_new(struct hooks **ret, const struct hooks_options *options, char error[HOOK_ERROR_MAX])
{
    struct hooks *hooks = calloc(1, sizeof(*hooks));

    if (!hooks) {
        (void)snprintf(error, HOOK_ERROR_MAX, "out of memory");
        return -ENOMEM;
    }
    hooks->options = *options;
    hooks->next_hook = hooks->next_config = hooks->next_set = 1;
    *ret = hooks;
    return 0;
}

static void free_list(struct loaded *list)
{
    while (list) {
        struct loaded *loaded = list;

        list = loaded->next;
        free_loaded(loaded);
    }
}

struct hooks *hooks_free(struct hooks *hooks)
{
    if (!hooks)
        return NULL;
    unload_all(hooks, TAKE_POINTER(hooks->loaded));
    free_list(hooks->leaving);
    free_list(hooks->inherited);
    free_list(hooks->gone);
    hook_sets_free(hooks->sets);
    hook_engine_free(hooks->engine);
    hook_kernel_deinit(&hooks->kernel);
    free(hooks);
    return NULL;
}
