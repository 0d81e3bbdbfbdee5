// SPDX-License-Identifier: Apache-2.0
#include "enricher/cli/filter.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <string.h>

static const char event[] = "{\"process_exec\":{\"process\":{\"pid\":42,\"binary\":\"/usr/sbin/"
                            "nginx\",\"pod\":{\"namespace\":\"shop\",\"name\":\"web-1\","
                            "\"container\":{\"id\":\"containerd://"
                            "aa\",\"name\":\"nginx\"}},\"pod_state\":\"complete\"}},\"time\":\"t\"}";
static const char hook[] =
    "{\"process_kprobe\":{\"process\":{\"pid\":42,\"binary\":\"/tmp/a\\\"\\u0062\"},\"policy_name\":\"p\"}}";
static const char lost[] = "{\"lost\":{\"by_type\":{\"exec\":1}},\"time\":\"t\"}";

/* Both looks agree: what is ruled out early would not have matched. */
static bool shows(const struct filter *filter, const char *text)
{
    struct line line;
    bool matched;

    cr_assert(eq(int, line_parse(&line, text, strlen(text)), 0));
    matched = filter_match(filter, &line);
    if (filter_rules_out(filter, text, strlen(text))) {
        cr_assert_not(matched, "ruled out, yet it matches: %s", text);
        return false;
    }
    return matched;
}

static struct filter with(enum filter_key key, const char *value)
{
    struct filter filter = {0};

    cr_assert(eq(int, filter_add(&filter, key, value), 0));
    return filter;
}

Test(filter, without_conditions_everything_is_shown)
{
    cr_assert(shows(&(struct filter){0}, event));
    cr_assert(shows(&(struct filter){0}, lost));
    cr_assert(shows(&(struct filter){0}, "{}"));
}

Test(filter, each_key_decides)
{
    static const struct {
        enum filter_key key;
        const char *value;
        bool shown;
    } cases[] = {{FILTER_NAMESPACE, "shop", true}, {FILTER_NAMESPACE, "sho", false},
        {FILTER_POD, "web-1", true}, {FILTER_POD, "web-", false}, {FILTER_POD, "web-*", true},
        {FILTER_POD, "*", true}, {FILTER_POD, "eb-*", false}, {FILTER_CONTAINER, "nginx", true},
        {FILTER_CONTAINER, "web-1", false}, {FILTER_BINARY, "/usr/sbin/nginx", true},
        {FILTER_BINARY, "/sbin/nginx", false}, {FILTER_BINARY, "nginx", true},
        {FILTER_BINARY, "sbin/nginx", true}, {FILTER_BINARY, "ginx", false}, {FILTER_PID, "42", true},
        {FILTER_PID, "4", false}, {FILTER_POLICY, "p", false}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct filter filter = with(cases[i].key, cases[i].value);

        cr_expect(eq(int, shows(&filter, event), cases[i].shown), "%d %s", cases[i].key, cases[i].value);
    }
}

Test(filter, values_of_a_key_are_alternatives_and_keys_are_all_required)
{
    struct filter filter = with(FILTER_NAMESPACE, "other");

    cr_assert_not(shows(&filter, event));
    cr_assert(eq(int, filter_add(&filter, FILTER_NAMESPACE, "shop"), 0));
    cr_assert(shows(&filter, event));
    cr_assert(eq(int, filter_add(&filter, FILTER_PID, "1"), 0));
    cr_assert_not(shows(&filter, event));
}

Test(filter, escaped_values_are_compared_by_what_they_mean)
{
    struct filter filter = with(FILTER_BINARY, "/tmp/a\"b");

    cr_assert(shows(&filter, hook));
    filter = with(FILTER_BINARY, "/tmp/a");
    cr_assert_not(shows(&filter, hook));
}

Test(filter, a_gap_is_shown_whatever_pod_is_asked_for_but_not_against_its_type)
{
    struct filter filter = with(FILTER_NAMESPACE, "shop");
    struct slice bad;

    cr_assert(shows(&filter, lost));
    filter.unresolved = true;
    cr_assert(shows(&filter, lost));
    cr_assert_not(shows(&filter, event));
    cr_assert(eq(int, filter_add_types(&filter, "exec", &bad), 0));
    cr_assert_not(shows(&filter, lost));
}

static const char update[] =
    "{\"pod_update\":{\"exec_id\":\"eA==\",\"pid\":31,\"pod\":{\"namespace\":\"shop\",\"name\":\"late-1\","
    "\"container\":{\"name\":\"main\"}},\"docker\":\"abc\",\"pod_state\":\"complete\"},\"node_name\":\"n\"}";

Test(filter, correction_is_found_by_what_it_tells)
{
    static const struct {
        enum filter_key key;
        const char *value;
        bool shown;
    } cases[] = {{FILTER_NAMESPACE, "shop", true}, {FILTER_NAMESPACE, "sho", false},
        {FILTER_POD, "late-*", true}, {FILTER_POD, "web-1", false}, {FILTER_CONTAINER, "main", true},
        {FILTER_PID, "31", true}, {FILTER_PID, "32", false}};
    struct slice bad;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct filter filter = with(cases[i].key, cases[i].value);

        cr_expect(eq(int, shows(&filter, update), cases[i].shown), "%d %s", cases[i].key, cases[i].value);
        cr_assert(eq(int, filter_add_types(&filter, "pod_update", &bad), 0));
        cr_expect(eq(int, shows(&filter, update), cases[i].shown));
    }
}

Test(filter, types_are_given_by_either_name)
{
    struct filter filter = {0};
    struct slice bad;

    cr_assert(eq(int, filter_add_types(&filter, "fork,process_exec", &bad), 0));
    cr_assert(shows(&filter, event));
    cr_assert_not(shows(&filter, hook));
    cr_assert(eq(int, filter_add_types(&filter, "kprobe,exce", &bad), -EINVAL));
    cr_assert(SLICE_IS(bad, "exce"));
    cr_assert_not(shows(&filter, hook), "a refused list changes nothing");
    cr_assert(eq(int, filter_add_types(&filter, "", &bad), -EINVAL));
}

Test(filter, pids_that_are_none_are_refused)
{
    static const char *const bad[] = {"", "x", "-1", "1x", " 1", "99999999999"};
    struct filter filter = {0};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect(eq(int, filter_add(&filter, FILTER_PID, bad[i]), -EINVAL), "%s", bad[i]);
    for (size_t i = 0; i < FILTER_VALUES_MAX; i++)
        cr_assert(eq(int, filter_add(&filter, FILTER_PID, "1"), 0));
    cr_assert(eq(int, filter_add(&filter, FILTER_PID, "1"), -ENOSPC));
}
