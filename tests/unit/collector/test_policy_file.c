/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/collector/policy_kit.h"

/* ---- YAML -------------------------------------------------------------------------------------------------------- */

Test(policy_file, what_is_no_yaml_is_refused_with_its_place)
{
    static const struct kit_refusal bad[] = {
        {"", "p:1:1: there is no policy: the file is empty"},
        {"# nothing\n---\n", "p:1:1: there is no policy: the file is empty"},
        {"kind: [\n", "p:2:1: not YAML: did not find expected node content, while parsing a flow node"},
        {"a: b\n\tc: d\n", "p:2:1: not YAML: found a tab character that violates indentation, while scanning "
                           "a plain scalar"},
        {"a: 'b\n", "p:2:1: not YAML: found unexpected end of stream, while scanning a quoted scalar"},
        {"a: \"\\q\"\n", "p:1:5: not YAML: found unknown escape character, while parsing a quoted scalar"},
        {"a: b\nc\n", "p:3:1: not YAML: could not find expected ':', while scanning a simple key"},
        {"? [a]\n: b\n", "p:1:3: expected a key: text, not a list, a map or an alias"},
        {"a: *b\n", "p:1:4: alias *b: expected the name of an anchor (&b) that is complete before it"},
        {"a: &b [*b]\n", "p:1:8: alias *b: expected the name of an anchor (&b) that is complete before it"},
        {"a: !color red\n", "p:1:1: a: unknown key: expected one of " DOCUMENT_KEYS "\n"
                            "p:1:1: apiVersion: missing: it is required\n"
                            "p:1:1: kind: missing: it is required\n"
                            "p:1:1: metadata: missing: it is required\n"
                            "p:1:1: spec: missing: it is required\n"
                            "p:1:4: tag !color: expected none, or one of YAML's own"},
        {HEAD "  kprobes: []\n  kprobes: []\n", "p:6:3: key \"kprobes\" is given twice, first in line 5"},
        {"a: caf\xe9\n", "p:1:7: byte 0xe9 is not UTF-8: expected text in UTF-8"},
        {"a: b\x01\n", "p:1:5: control character U+0001: expected text"},
        {"a: b\n\xef\xbf\xbd\xed\xa0\x80\n", "p:2:2: byte 0xed is not UTF-8: expected text in UTF-8"},
    };

    KIT_ASSERT_REFUSED(bad);
}

Test(policy_file, yaml_is_read_as_kubernetes_reads_it)
{
    static const char *const good[] = {
        "\xef\xbb\xbf" HEAD "  kprobes: [{call: sys_dup}]\n", /* a byte order mark */
        "---\n# a comment\n" HEAD "  kprobes: [{call: sys_dup}]\n...\n",
        "---\n---\n" HEAD "  kprobes: [{call: sys_dup}]\n---\n",
        HEAD "  kprobes: [{call: sys_dup}]\r\n",
        "{\"apiVersion\": \"cilium.io/v1alpha1\", \"kind\": \"TracingPolicy\", \"metadata\": {\"name\": "
        "\"p\"},"
        " \"spec\": {\"kprobes\": [{\"call\": \"sys_dup\", \"syscall\": true}]}}",
        HEAD "  kprobes:\n  - call: !!str sys_dup\n    tags: !!seq [!!str 5]\n",
        HEAD "  kprobes: [{call: 'sys_dup', message: \"caf\u00e9 \\u00e9\"}]\n",
        HEAD "  kprobes: [{call: sys_dup, syscall: True, message: ~, selectors: null, args: }]\n",
        HEAD "  kprobes: [{call: sys_dup, ignore: , data: [], macros: []}]\n  options: []\n",
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nstatus: {x: y}\n"
        "metadata: {name: p, uid: x, generation: 3, labels: {a: b}, managedFields: [{a: b}]}\n"
        "spec: {kprobes: [{call: sys_dup}]}\n",
    };

    KIT_ASSERT_TAKEN(good);
}

Test(policy_file, aliases_stand_for_what_they_name)
{
    struct policy policy;

    kit_read_one(&policy, HEAD "  kprobes:\n"
                               "  - call: &c security_file_permission\n"
                               "    syscall: &no false\n"
                               "    args: &args [{index: 0, type: file}]\n"
                               "    selectors: &s\n"
                               "    - matchArgs: [{index: 0, operator: Prefix, values: &v [/etc]}]\n"
                               "  - call: security_mmap_file\n"
                               "    syscall: *no\n"
                               "    message: *c\n"
                               "    args: *args\n"
                               "    selectors: *s\n");
    cr_assert_eq(policy.hook_count, 2);
    cr_assert_str_eq(policy.hooks[1].message, "security_file_permission");
    cr_assert_str_eq(policy.hooks[1].selectors[0].matches[0].values.items[0].text.data, "/etc");
    cr_assert_eq(policy.hooks[1].args[0].type, RECORD_ARG_FILE);
    policy_deinit(&policy);
}

static void assert_fault(const char *text, size_t size, const char *fault)
{
    struct policy_list list = {0};
    struct text faults;

    cr_assert_eq(kit_read(&list, text, size, &faults), -EINVAL);
    cr_assert_not_null(strstr(text_terminate(&faults), fault), "%s", text_terminate(&faults));
    text_deinit(&faults);
}

/* Each level has ten of the one before. */
Test(policy_file, aliases_that_multiply_are_bounded)
{
    static const char text[] = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
                               "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
                               "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n"
                               "d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n"
                               "e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n"
                               "f: [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]\n";

    assert_fault(text, strlen(text), ": more than 100000 values, counting what aliases stand for");
}

Test(policy_file, depth_keys_anchors_and_documents_are_bounded)
{
    struct text text = {0};

    for (int i = 0; i < 20000; i++)
        text_append_char(&text, '[');
    assert_fault(text.data, text.size, "p:1:33: nested deeper than 32");
    text_clear(&text);
    for (int i = 0; i < 1000; i++)
        text_append_format(&text, "k%d: 1\n", i);
    assert_fault(text.data, text.size, "p:513:1: more than 512 keys");
    text_clear(&text);
    for (int i = 0; i < 1000; i++)
        text_append_format(&text, "- &a%d x\n", i);
    assert_fault(text.data, text.size, "p:257:3: more than 256 anchors");
    text_clear(&text);
    for (int i = 0; i < 200; i++)
        text_append_string(&text, "---\na: b\n");
    assert_fault(text.data, text.size, "p:258:1: more than 128 policies");
    text_deinit(&text);
}

Test(policy_file, faults_are_bounded_and_the_rest_is_counted)
{
    struct text text = {0};

    text_append_string(&text, HEAD "  kprobes:\n");
    for (int i = 0; i < 128; i++)
        text_append_string(&text, "  - {a: 1, b: 2}\n");
    assert_fault(text.data, text.size, "p: 184 more faults");
    text_deinit(&text);
}

Test(policy_file, unsafe_text_is_shown_made_visible)
{
    const struct kit_refusal refusal = {HEAD "  kprobes: [{call: \"a\\e[31m\\n\", syscall: false}]\n",
        "p:5:20: spec.kprobes[0].call: \"a\\x1b[31m\\n\": expected the name of a kernel function or system "
        "call, "
        "or list:NAME"};

    kit_assert_refused(&refusal);
}

/* ---- documents --------------------------------------------------------------------------------------------------- */

Test(policy_file, what_is_no_policy_is_refused_with_its_place)
{
    static const struct kit_refusal bad[] = {
        {"[]\n", "p:1:1: expected keys and values, not a list"},
        {"text\n", "p:1:1: expected keys and values, not a single value"},
        {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nspec: {kprobes: []}\n",
            "p:1:13: apiVersion: \"v1\": expected cilium.io/v1alpha1\n"
            "p:2:7: kind: \"ConfigMap\" is none of TracingPolicy, TracingPolicyNamespaced"},
        {"apiVersion: cilium.io/v1alpha1\n", "p:1:1: kind: missing: it is required\n"
                                             "p:1:1: metadata: missing: it is required\n"
                                             "p:1:1: spec: missing: it is required"},
        {HEAD "  {}\n", "p:5:3: spec: nothing to hook: expected kprobes, tracepoints, lsmhooks or uprobes"},
        {HEAD "  lists: []\n",
            "p:5:3: spec: nothing to hook: expected kprobes, tracepoints, lsmhooks or uprobes"},
        {HEAD "  probes: []\n", "p:5:3: spec.probes: unknown key: expected one of lists, kprobes, "
                                "tracepoints, lsmhooks, uprobes, podSelector, containerSelector"},
        {HEAD "  options: [{name: disable-kprobe-multi, value: \"1\"}]\n  kprobes: [{call: sys_dup}]\n",
            "p:5:3: spec.options: not supported: how a hook is attached is decided by what the kernel can "
            "do"},
        {HEAD "  enforcers: [{calls: [sys_dup]}]\n  kprobes: [{call: sys_dup}]\n",
            "p:5:3: spec.enforcers: not supported: use Override or Sigkill in matchActions"},
        {KPROBE "extra: 1\n", "p:8:1: extra: unknown key: expected one of " DOCUMENT_KEYS},
        {"apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: No_Name}\nspec: {kprobes: "
         "[{call: sys_dup}]}\n",
            "p:3:18: metadata.name: \"No_Name\": expected lower-case letters, digits, '-' and '.', letters "
            "or digits first and last"},
        {"apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: a..b}\nspec: {kprobes: "
         "[{call: sys_dup}]}\n",
            "p:3:18: metadata.name: \"a..b\": expected lower-case letters, digits, '-' and '.', letters or "
            "digits first and last"},
        {"apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: a, namespace: b}\nspec: "
         "{kprobes: [{call: sys_dup}]}\n",
            "p:2:7: kind: TracingPolicy is for the whole node, and metadata.namespace is given: expected "
            "TracingPolicyNamespaced"},
        {"apiVersion: cilium.io/v1alpha1\nkind: TracingPolicyNamespaced\nmetadata: {name: a}\nspec: "
         "{kprobes: [{call: sys_dup}]}\n",
            "p:2:7: kind: TracingPolicyNamespaced needs metadata.namespace"},
        {"apiVersion: cilium.io/v1alpha1\nkind: TracingPolicyNamespaced\nmetadata: {name: a, namespace: "
         "b.c}\nspec: {kprobes: [{call: sys_dup}]}\n",
            "p:3:32: metadata.namespace: \"b.c\": expected lower-case letters, digits and '-', letters or "
            "digits first and last"},
        {"apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: a\nspec: {kprobes: [{call: "
         "sys_dup}]}\n",
            "p:3:11: metadata: expected keys and values, not a single value"},
        {"apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {labels: {}}\nspec: {kprobes: "
         "[{call: sys_dup}]}\n",
            "p:3:11: metadata.name: missing: it is required"},
    };

    KIT_ASSERT_REFUSED(bad);
}

Test(policy_file, every_fault_is_told_in_the_order_of_the_file)
{
    static const struct kit_refusal bad[] = {
        {KPROBE "    args: [{index: 7, type: foo}]\n    selectors: [{matchFoo: []}]\n    calls: x\nfoo: 1\n",
            "p:8:20: spec.kprobes[0].args[0].index: \"7\": expected a whole number from 0 to 5\n"
            "p:8:29: spec.kprobes[0].args[0].type: \"foo\" is none of " TYPES "\n"
            "p:9:18: spec.kprobes[0].selectors[0].matchFoo: unknown key: expected one of " SELECTOR_KEYS "\n"
            "p:10:5: spec.kprobes[0].calls: unknown key: expected one of " KPROBE_KEYS "\n"
            "p:11:1: foo: unknown key: expected one of " DOCUMENT_KEYS},
        {"apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: a}\nspec: {kprobes: [{call: "
         "sys_dup}]}\n---\nkind: TracingPolicy\n",
            "p:6:1: apiVersion: missing: it is required\n"
            "p:6:1: metadata: missing: it is required\n"
            "p:6:1: spec: missing: it is required"},
    };

    KIT_ASSERT_REFUSED(bad);
}

Test(policy_file, several_documents_are_several_policies)
{
    static const char text[] =
        HEAD "  kprobes: [{call: sys_dup}]\n---\n"
             "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicyNamespaced\n"
             "metadata: {name: q.r-1, namespace: shop}\nspec: {kprobes: [{call: sys_dup2}]}\n";
    struct policy_list list = {0};
    struct text faults;

    cr_assert_eq(kit_read(&list, text, strlen(text), &faults), 0);
    cr_assert_eq(kit_read(&list, text, strlen(text), &faults), 0, "a list grows");
    cr_assert_eq(list.count, 4);
    cr_assert_str_eq(list.items[0].name.data, "p");
    cr_assert_null(list.items[0].name_space);
    cr_assert_not(policy_is_for_some_pods(&list.items[0]));
    cr_assert_str_eq(list.items[1].name.data, "q.r-1");
    cr_assert_str_eq(list.items[1].name_space, "shop");
    cr_assert(policy_is_for_some_pods(&list.items[1]));
    cr_assert_eq(list.items[1].place.line, 7);
    cr_assert_eq(list.items[1].name.place.line, 9);
    cr_assert_eq(list.items[1].name.place.column, 18);
    cr_assert_str_eq(list.items[1].file, "p");
    cr_assert_eq(list.items[0].digest, list.items[2].digest);
    cr_assert_neq(list.items[0].digest, list.items[1].digest);
    policy_list_deinit(&list);
    policy_list_deinit(&list);
}

Test(policy_file, digest_is_of_what_is_said_not_of_how)
{
    struct policy a, b, c;

    kit_read_one(&a, HEAD "  kprobes: [{call: sys_dup, tags: [x]}]\n");
    kit_read_one(&b, "# why\n" HEAD "  kprobes:\n  -   call: \"sys_dup\"\n      tags: [ x ]\n");
    kit_read_one(&c, HEAD "  kprobes: [{call: sys_dup, tags: [y]}]\n");
    cr_assert_eq(a.digest, b.digest);
    cr_assert_neq(a.digest, c.digest);
    policy_deinit(&a);
    policy_deinit(&b);
    policy_deinit(&c);
}

/* ---- Pods -------------------------------------------------------------------------------------------------------- */

Test(policy_file, pod_selectors_at_fault_are_refused_with_their_place)
{
    static const struct kit_refusal bad[] = {
        {HEAD "  podSelector: {matchLabels: {app: web}}\n  kprobes:\n  - call: sys_dup\n" ACTION(
             "{action: Sigkill}"),
            "p:9:22: action Sigkill" NOT_FOR_PODS},
        {HEAD "  containerSelector: {matchLabels: {name: web}}\n  kprobes:\n  - call: sys_dup\n" ACTION(
             "{action: Signal, argSig: 9}"),
            "p:9:22: action Signal" NOT_FOR_PODS},
        {HEAD "  podSelector: {matchLabels: [a]}\n  kprobes: [{call: sys_dup}]\n",
            "p:5:30: spec.podSelector.matchLabels: expected keys and values"},
        {HEAD "  podSelector: {matchNames: {a: b}}\n  kprobes: [{call: sys_dup}]\n",
            "p:5:17: spec.podSelector.matchNames: unknown key: expected one of matchLabels, "
            "matchExpressions"},
        {HEAD "  podSelector: {matchLabels: {\"a b\": c, d: \"e f\"}}\n  kprobes: [{call: sys_dup}]\n",
            "p:5:31: spec.podSelector.matchLabels.a b: \"a b\": expected the key of a label\n"
            "p:5:44: spec.podSelector.matchLabels.d: expected the value of a label: at most 63 letters, "
            "digits, '-', '_' and '.'"},
        {HEAD "  podSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}\n  kprobes: [{call: "
              "sys_dup}]\n",
            "p:5:55: spec.podSelector.matchExpressions[0].operator: \"Is\" is none of In, NotIn, Exists, "
            "DoesNotExist"},
        {HEAD "  podSelector: {matchExpressions: [{key: a, operator: In}]}\n  kprobes: [{call: sys_dup}]\n",
            "p:5:36: spec.podSelector.matchExpressions[0].values: missing: In and NotIn need at least one"},
        {HEAD "  podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}\n  kprobes: "
              "[{call: sys_dup}]\n",
            "p:5:36: spec.podSelector.matchExpressions[0]: values: Exists and DoesNotExist have none"},
        {HEAD "  containerSelector: {matchLabels: {repo: web}}\n  kprobes: [{call: sys_dup}]\n",
            "p:5:37: spec.containerSelector.matchLabels.repo: \"repo\": expected name, the one thing that a "
            "container is selected by"},
    };

    KIT_ASSERT_REFUSED(bad);
}

Test(policy_file, pod_and_container_selectors_become_words)
{
    static const char words[] = "pod\0app\0In\0"
                                "1\0web\0"
                                "pod\0k8s.io/tier\0NotIn\0"
                                "2\0a\0\0"
                                "pod\0x\0Exists\0"
                                "0\0"
                                "pod\0y\0DoesNotExist\0"
                                "0\0"
                                "container\0name\0In\0"
                                "2\0main\0side";
    struct policy policy;

    kit_read_one(&policy, HEAD "  podSelector:\n"
                               "    matchLabels: {app: web}\n"
                               "    matchExpressions:\n"
                               "    - {key: k8s.io/tier, operator: NotIn, values: [a, \"\"]}\n"
                               "    - {key: x, operator: Exists}\n"
                               "    - {key: y, operator: DoesNotExist, values: []}\n"
                               "  containerSelector:\n"
                               "    matchExpressions: [{key: name, operator: In, values: [main, side]}]\n"
                               "  kprobes: [{call: sys_dup}]\n");
    cr_assert_eq(policy.pod_selector_bytes, sizeof(words) - 1);
    cr_assert_eq(memcmp(policy.pod_selector, words, sizeof(words)), 0);
    cr_assert(policy_is_for_some_pods(&policy));
    policy_deinit(&policy);
    kit_read_one(&policy, HEAD "  podSelector: {}\n  kprobes: [{call: sys_dup}]\n");
    cr_assert_null(policy.pod_selector, "nothing is required");
    policy_deinit(&policy);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void make_folder(char path[32])
{
    (void)snprintf(path, 32, "/tmp/policy-file-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
}

static void write_file(const char *path, const char *text, size_t size)
{
    CLEANUP_FILE FILE *file = fopen(path, "we");

    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, size, file), size);
}

static int read_file(const char *path, struct policy_list *list, struct text *faults)
{
    *faults = (struct text){0};
    return policy_read_file(list, path, kit_add_fault, faults);
}

Test(policy_file, file_is_named_in_its_faults)
{
    char folder[32], path[64], expected[128];
    struct policy_list list = {0};
    struct text faults;

    make_folder(folder);
    (void)snprintf(path, sizeof(path), "%s/a.yaml", folder);
    write_file(path, HEAD "  x: 1\n", strlen(HEAD "  x: 1\n"));
    cr_assert_eq(read_file(path, &list, &faults), -EINVAL);
    (void)snprintf(expected, sizeof(expected), "%s:5:3: spec.x: unknown key", path);
    cr_assert_eq(strncmp(text_terminate(&faults), expected, strlen(expected)), 0, "%s", faults.data);
    text_deinit(&faults);
    write_file(path, HEAD "  kprobes: [{call: sys_dup}]\n", strlen(HEAD "  kprobes: [{call: sys_dup}]\n"));
    cr_assert_eq(read_file(path, &list, &faults), 0);
    cr_assert_str_eq(list.items[0].file, path);
    policy_list_deinit(&list);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rmdir(folder), 0);
}

Test(policy_file, what_cannot_be_read_is_a_fault_without_waiting)
{
    char folder[32], path[64];
    CLEANUP_FREE char *large = calloc(1, POLICY_FILE_BYTES_MAX + 1);
    struct policy_list list = {0};
    struct text faults;

    make_folder(folder);
    cr_assert_eq(read_file(folder, &list, &faults), -EISDIR);
    cr_assert_not_null(strstr(text_terminate(&faults), ": Is a directory"));
    text_deinit(&faults);
    (void)snprintf(path, sizeof(path), "%s/a.yaml", folder);
    cr_assert_eq(read_file(path, &list, &faults), -ENOENT);
    text_deinit(&faults);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(read_file(path, &list, &faults), -EINVAL, "a fifo without a writer is an empty file");
    text_deinit(&faults);
    cr_assert_eq(unlink(path), 0);
    memset(large, '#', POLICY_FILE_BYTES_MAX + 1);
    write_file(path, large, POLICY_FILE_BYTES_MAX + 1);
    cr_assert_eq(read_file(path, &list, &faults), -EFBIG);
    cr_assert_not_null(strstr(text_terminate(&faults), "expected at most 1 MiB"));
    text_deinit(&faults);
    cr_assert_eq(list.count, 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rmdir(folder), 0);
}
