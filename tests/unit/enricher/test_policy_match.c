/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/policy_match.h"

#include <criterion/criterion.h>
#include <string.h>

#include "enricher/container_table.h"
#include "enricher/pod_table.h"

#define ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* struct pod owns its strings; here it borrows. */
#define STR(literal) ((char *)(literal))

static struct pod_pair labels[2];
static struct pod_container status;
static struct pod pod;
static struct container container;

static void setup(void)
{
    labels[0] = (struct pod_pair){STR("app"), STR("web")};
    labels[1] = (struct pod_pair){STR("empty"), STR("")};
    status = (struct pod_container){.name = STR("main"), .id = STR(ID)};
    pod = (struct pod){.namespace_ = STR("shop"),
        .labels = labels,
        .label_count = 2,
        .containers = &status,
        .container_count = 1,
        .complete = true,
        .version = 1};
    container = (struct container){.pod = &pod, .state = CONTAINER_COMPLETE, .serial = 1};
    memcpy(container.identity.container_id, ID, sizeof(ID));
}

TestSuite(policy_match, .init = setup);

#define WORDS(literal) literal, sizeof(literal) - 1

static enum policy_verdict judge_in(const char *name_space, const char *words, size_t size)
{
    struct policy_match *match = policy_match_new(name_space, strlen(name_space), words, size);
    enum policy_verdict verdict, again;

    cr_assert_not_null(match);
    verdict = policy_match_judge(match, &container);
    again = policy_match_judge(match, &container);
    cr_expect_eq(verdict, again);
    policy_match_free(match);
    return verdict;
}

Test(policy_match, operators_mean_what_kubernetes_means)
{
    static const struct {
        const char *words;
        size_t size;
        enum policy_verdict expected;
    } cases[] = {
        {WORDS("pod\0app\0In\0001\0web"), POLICY_MATCHES},
        {WORDS("pod\0app\0In\0002\0db\0web"), POLICY_MATCHES},
        {WORDS("pod\0app\0In\0001\0db"), POLICY_DIFFERS},
        {WORDS("pod\0none\0In\0001\0web"), POLICY_DIFFERS},
        {WORDS("pod\0empty\0In\0001\0"), POLICY_MATCHES}, /* the last word is the empty one */
        {WORDS("pod\0empty\0In\0002\0\0x"), POLICY_MATCHES},
        {WORDS("pod\0app\0NotIn\0001\0web"), POLICY_DIFFERS},
        {WORDS("pod\0app\0NotIn\0001\0db"), POLICY_MATCHES},
        {WORDS("pod\0none\0NotIn\0001\0web"), POLICY_MATCHES},
        {WORDS("pod\0app\0Exists\0000"), POLICY_MATCHES},
        {WORDS("pod\0none\0Exists\0000"), POLICY_DIFFERS},
        {WORDS("pod\0app\0DoesNotExist\0000"), POLICY_DIFFERS},
        {WORDS("pod\0none\0DoesNotExist\0000"), POLICY_MATCHES},
        {WORDS("container\0name\0In\0001\0main"), POLICY_MATCHES},
        {WORDS("container\0name\0In\0001\0sidecar"), POLICY_DIFFERS},
        {WORDS("container\0name\0NotIn\0001\0sidecar"), POLICY_MATCHES},
        {WORDS("pod\0app\0In\0001\0web\0container\0name\0In\0001\0main"), POLICY_MATCHES},
        {WORDS("pod\0app\0In\0001\0web\0container\0name\0In\0001\0sidecar"), POLICY_DIFFERS},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(judge_in("", cases[i].words, cases[i].size), cases[i].expected, "case %zu", i);
}

Test(policy_match, namespace_decides_first)
{
    cr_expect_eq(judge_in("shop", NULL, 0), POLICY_MATCHES);
    cr_expect_eq(judge_in("sho", NULL, 0), POLICY_DIFFERS);
    cr_expect_eq(judge_in("shop", WORDS("pod\0app\0In\0001\0db")), POLICY_DIFFERS);
    pod.complete = false; /* of the log directory: it knows the namespace */
    cr_expect_eq(judge_in("other", WORDS("pod\0app\0In\0001\0web")), POLICY_DIFFERS);
}

Test(policy_match, host_never_matches)
{
    container.state = CONTAINER_HOST;
    container.pod = NULL;
    cr_expect_eq(judge_in("", WORDS("pod\0app\0NotIn\0001\0db")), POLICY_DIFFERS);
    cr_expect_eq(judge_in("shop", NULL, 0), POLICY_DIFFERS);
}

Test(policy_match, what_is_not_known_is_undecided)
{
    pod.complete = false;
    cr_expect_eq(judge_in("", WORDS("pod\0app\0In\0001\0db")), POLICY_UNDECIDED);
    pod.complete = true;
    pod.container_count = 0;
    cr_expect_eq(judge_in("", WORDS("container\0name\0In\0001\0main")), POLICY_UNDECIDED);
    cr_expect_eq(
        judge_in("", WORDS("container\0name\0In\0001\0main\0pod\0app\0In\0001\0db")), POLICY_DIFFERS);
    container.pod = NULL;
    container.state = CONTAINER_PENDING;
    cr_expect_eq(judge_in("shop", NULL, 0), POLICY_UNDECIDED);
}

Test(policy_match, cgroup_of_the_pod_itself_has_no_container_name)
{
    container.identity.container_id[0] = '\0';
    cr_expect_eq(judge_in("", WORDS("container\0name\0In\0001\0main")), POLICY_DIFFERS);
    cr_expect_eq(judge_in("", WORDS("container\0name\0NotIn\0001\0main")), POLICY_MATCHES);
}

Test(policy_match, words_that_break_the_grammar_leave_it_open_for_pods_only)
{
    static const struct {
        const char *words;
        size_t size;
    } cases[] = {{WORDS("pod")}, {WORDS("pod\0app")}, {WORDS("pod\0app\0In")}, {WORDS("pod\0app\0In\0001")},
        {WORDS("pod\0app\0In\0000")}, {WORDS("pod\0app\0In\0-1\0web")}, {WORDS("pod\0app\0In\00099999\0web")},
        {WORDS("pod\0app\0In\0001x\0web")}, {WORDS("pod\0app\0Exists\0001\0web")},
        {WORDS("node\0app\0In\0001\0web")}, {WORDS("container\0image\0In\0001\0web")},
        {WORDS("pod\0app\0In\0001\0web\0pod")}, {WORDS("\0\0\0\0")}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct policy_match *match = policy_match_new(NULL, 0, cases[i].words, cases[i].size);

        cr_expect(policy_match_is_malformed(match), "case %zu", i);
        policy_match_free(match);
        cr_expect_eq(judge_in("", cases[i].words, cases[i].size), POLICY_UNDECIDED);
        cr_expect_eq(judge_in("other", cases[i].words, cases[i].size), POLICY_DIFFERS);
    }
    container.state = CONTAINER_HOST;
    cr_expect_eq(judge_in("", WORDS("pod")), POLICY_DIFFERS);
}

Test(policy_match, answer_changes_with_the_pod)
{
    struct policy_match *match = policy_match_new(NULL, 0, WORDS("pod\0app\0In\0001\0web"));
    struct container other = container;

    cr_expect_eq(policy_match_judge(match, &container), POLICY_MATCHES);
    labels[0].value = STR("db");
    pod.version++;
    cr_expect_eq(policy_match_judge(match, &container), POLICY_DIFFERS);
    labels[0].value = STR("web");
    other.serial = 1 + 512; /* shares its place among the remembered answers */
    cr_expect_eq(policy_match_judge(match, &other), POLICY_MATCHES);
    pod.version++;
    cr_expect_eq(policy_match_judge(match, &container), POLICY_MATCHES);
    policy_match_free(match);
}
