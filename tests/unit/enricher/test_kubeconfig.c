/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/kubeconfig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/cleanup.h"

/* "-----BEGIN X-----\n" and "-----BEGIN KEY-----\n" */
#define PEM "LS0tLS1CRUdJTiBYLS0tLS0K"
#define KEY "LS0tLS1CRUdJTiBLRVktLS0tLQo="

#define HEAD                                                                                                 \
    "apiVersion: v1\n"                                                                                       \
    "kind: Config\n"                                                                                         \
    "current-context: c\n"                                                                                   \
    "contexts:\n"                                                                                            \
    "- name: c\n"                                                                                            \
    "  context:\n"                                                                                           \
    "    cluster: k\n"                                                                                       \
    "    user: u\n"
#define CLUSTER "clusters:\n- name: k\n  cluster:\n    server: https://10.0.0.1:6443\n"
#define USER    "users:\n- name: u\n  user:\n"

static int parse(struct kubeconfig *ret, const char *text, char error[KUBECONFIG_ERROR_MAX])
{
    error[0] = '\0';
    return kubeconfig_parse(ret, "/etc/x/conf", text, strlen(text), error);
}

static void assert_refused(const char *text, const char *expected)
{
    char error[KUBECONFIG_ERROR_MAX];
    struct kubeconfig config;

    cr_assert_eq(parse(&config, text, error), -EINVAL, "%s", text);
    cr_assert_str_eq(error, expected, "%s\nnot %s", error, expected);
    cr_assert_null(config.server);
    cr_assert_null(config.token);
    cr_assert_null(strchr(error, '\n'), "C1");
}

/* ---- the shapes that are met ---- */

Test(kubeconfig, kubeadm_kubelet_conf)
{
    /* As kubeadm writes /etc/kubernetes/kubelet.conf: the authority inline, the rotated certificate and its
     * key in one file. */
    static const char text[] =
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: " PEM "\n"
        "    server: https://10.0.0.1:6443\n  name: kubernetes\ncontexts:\n- context:\n    cluster: "
        "kubernetes\n"
        "    user: system:node:n1\n  name: system:node:n1@kubernetes\n"
        "current-context: system:node:n1@kubernetes\nkind: Config\npreferences: {}\nusers:\n- name: "
        "system:node:n1\n"
        "  user:\n    client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem\n"
        "    client-key: /var/lib/kubelet/pki/kubelet-client-current.pem\n";
    char error[KUBECONFIG_ERROR_MAX];
    struct kubeconfig config;

    cr_assert_eq(parse(&config, text, error), 0, "%s", error);
    cr_assert_str_eq(config.server, "https://10.0.0.1:6443");
    cr_assert_eq(config.ca_data.size, 18);
    cr_assert_eq(memcmp(config.ca_data.data, "-----BEGIN X-----\n", 18), 0);
    cr_assert_str_eq(config.client_cert, "/var/lib/kubelet/pki/kubelet-client-current.pem");
    cr_assert_str_eq(config.client_key, config.client_cert);
    cr_assert(kubeconfig_has_credential(&config));
    cr_assert_not(config.insecure);
    kubeconfig_deinit(&config);
    kubeconfig_deinit(&config);
    cr_assert_null(config.server);
}

Test(kubeconfig, k3s_admin_conf_all_inline)
{
    static const char text[] =
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: " PEM "\n"
        "    server: https://127.0.0.1:6443\n  name: default\ncontexts:\n- context:\n    cluster: default\n"
        "    user: default\n  name: default\ncurrent-context: default\nkind: Config\nusers:\n- name: "
        "default\n"
        "  user:\n    client-certificate-data: " PEM "\n    client-key-data: " KEY "\n";
    char error[KUBECONFIG_ERROR_MAX];
    struct kubeconfig config;

    cr_assert_eq(parse(&config, text, error), 0, "%s", error);
    cr_assert_str_eq(config.server, "https://127.0.0.1:6443");
    cr_assert_eq(config.client_key_data.size, 20);
    cr_assert_eq(memcmp(config.client_key_data.data, "-----BEGIN KEY-----\n", 20), 0);
    cr_assert_null(config.client_cert);
    kubeconfig_deinit(&config);
}

Test(kubeconfig, k3s_and_rke2_agent_conf_by_files)
{
    /* /var/lib/rancher/{k3s,rke2}/agent/kubelet.kubeconfig */
    static const char text[] =
        "\napiVersion: v1\nclusters:\n- cluster:\n    server: https://127.0.0.1:6444\n"
        "    certificate-authority: /var/lib/rancher/rke2/agent/server-ca.crt\n  name: local\n"
        "contexts:\n- context:\n    cluster: local\n    namespace: default\n    user: user\n  name: Default\n"
        "current-context: Default\nkind: Config\npreferences: {}\nusers:\n- name: user\n  user:\n"
        "    client-certificate: /var/lib/rancher/rke2/agent/client-kubelet.crt\n"
        "    client-key: /var/lib/rancher/rke2/agent/client-kubelet.key\n";
    char error[KUBECONFIG_ERROR_MAX];
    struct kubeconfig config;

    cr_assert_eq(parse(&config, text, error), 0, "%s", error);
    cr_assert_str_eq(config.ca_file, "/var/lib/rancher/rke2/agent/server-ca.crt");
    cr_assert_str_eq(config.client_cert, "/var/lib/rancher/rke2/agent/client-kubelet.crt");
    cr_assert_str_eq(config.client_key, "/var/lib/rancher/rke2/agent/client-kubelet.key");
    kubeconfig_deinit(&config);
}

Test(kubeconfig, relative_paths_start_in_its_folder)
{
    char error[KUBECONFIG_ERROR_MAX];
    struct kubeconfig config;

    cr_assert_eq(parse(&config,
                     HEAD CLUSTER "    certificate-authority: pki/ca.crt\n" USER "    tokenFile: t\n", error),
        0);
    cr_assert_str_eq(config.ca_file, "/etc/x/pki/ca.crt");
    cr_assert_str_eq(config.token_file, "/etc/x/t");
    kubeconfig_deinit(&config);
    cr_assert_eq(kubeconfig_parse(&config, "conf", HEAD CLUSTER USER "    tokenFile: t\n",
                     strlen(HEAD CLUSTER USER "    tokenFile: t\n"), error),
        0);
    cr_assert_str_eq(config.token_file, "t");
    kubeconfig_deinit(&config);
}

Test(kubeconfig, json_is_yaml_and_null_is_nothing)
{
    char error[KUBECONFIG_ERROR_MAX];
    struct kubeconfig config;

    cr_assert_eq(
        parse(&config,
            "{\"current-context\":\"c\",\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"k\","
            "\"user\":\"u\"}}],"
            "\"clusters\":[{\"name\":\"k\",\"cluster\":{\"server\":\"https://"
            "[::1]:6443\",\"proxy-url\":null}}],"
            "\"users\":[{\"name\":\"u\",\"user\":{\"token\":\"s3cret\",\"exec\":null,\"username\":\"\"}}]}",
            error),
        0, "%s", error);
    cr_assert_str_eq(config.token, "s3cret");
    kubeconfig_deinit(&config);
}

Test(kubeconfig, base64_may_be_folded_over_lines)
{
    char error[KUBECONFIG_ERROR_MAX];
    struct kubeconfig config;

    cr_assert_eq(
        parse(&config,
            HEAD CLUSTER "    certificate-authority-data: |\n      LS0tLS1C\n      RUdJTiBYLS0tLS0K\n" USER
                         "    token: t\n",
            error),
        0, "%s", error);
    cr_assert_eq(config.ca_data.size, 18);
    kubeconfig_deinit(&config);
}

/* ---- what is refused, and how it is said ---- */

Test(kubeconfig, programs_and_disguises_are_refused_by_name)
{
    assert_refused(HEAD CLUSTER USER
        "    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: aws\n",
        "/etc/x/conf:17: users[0].user.exec: podkin runs no program to get a credential: give a certificate, "
        "a token or a "
        "tokenFile ('aws')");
    assert_refused(HEAD CLUSTER USER "    auth-provider:\n      name: oidc\n",
        "/etc/x/conf:17: users[0].user.auth-provider: auth providers are not supported: give a certificate, "
        "a token or a "
        "tokenFile ('oidc')");
    assert_refused(HEAD CLUSTER USER "    username: me\n    password: s3cret\n",
        "/etc/x/conf:16: users[0].user.username: passwords are not supported: give a certificate, a token or "
        "a tokenFile");
    assert_refused(
        HEAD CLUSTER USER "    as: root\n", "/etc/x/conf:16: users[0].user.as: podkin does not impersonate");
    assert_refused(HEAD CLUSTER "    proxy-url: http://x\n" USER "    token: t\n",
        "/etc/x/conf:13: clusters[0].cluster.proxy-url: podkin asks the API server itself, not a proxy");
    assert_refused(HEAD CLUSTER "    tls-server-name: x\n" USER "    token: t\n",
        "/etc/x/conf:13: clusters[0].cluster.tls-server-name: not supported: give the server by a name that "
        "its "
        "certificate has");
}

Test(kubeconfig, mistakes_are_one_line_with_line_and_key)
{
    assert_refused("", "/etc/x/conf:1: the file is empty");
    assert_refused("- a\n", "/etc/x/conf:1: expected a kubeconfig: keys and values");
    assert_refused("a: [\n", "/etc/x/conf:2: not YAML: did not find expected node content");
    assert_refused(
        "kind: Config\n", "/etc/x/conf:1: current-context: expected the name of one of the contexts");
    assert_refused("current-context: x\ncontexts: []\n",
        "/etc/x/conf:1: current-context: no 'x' with a 'context' among the contexts");
    assert_refused("current-context: x\ncontexts: 7\n", "/etc/x/conf:2: contexts: expected a list");
    assert_refused("current-context: [x]\n", "/etc/x/conf:1: current-context: expected a string");
    assert_refused("current-context: a\nkind: Config\ncurrent-context: b\n",
        "/etc/x/conf:3: current-context: given twice");
    assert_refused(HEAD "clusters:\n- name: k\n  cluster:\n    server: 10.0.0.1:6443x\n" USER
                        "    token: t\n",
        "/etc/x/conf:12: clusters[0].cluster.server: expected a URL like https://10.0.0.1:6443");
    assert_refused(HEAD "clusters:\n- name: k\n  cluster:\n    insecure-skip-tls-verify: maybe\n" USER
                        "    token: t\n",
        "/etc/x/conf:12: clusters[0].cluster.insecure-skip-tls-verify: expected true or false");
    assert_refused(HEAD CLUSTER USER "    client-certificate: /x\n",
        "/etc/x/conf:16: users[0].user: client-certificate without client-key");
    assert_refused(HEAD CLUSTER USER "    client-key-data: " KEY "\n",
        "/etc/x/conf:16: users[0].user: client-key without client-certificate");
    assert_refused(HEAD CLUSTER "users: []\n",
        "/etc/x/conf:8: contexts[0].context.user: no 'u' with a 'user' among the users");
}

/* C1 */
Test(kubeconfig, no_error_shows_a_secret)
{
    assert_refused(HEAD CLUSTER USER "    client-key-data: s3cret!\n",
        "/etc/x/conf:16: users[0].user.client-key-data: expected base64");
    assert_refused(HEAD CLUSTER USER "    client-key-data: c2VjcmV0\n",
        "/etc/x/conf:16: users[0].user.client-key-data: expected base64 of PEM");
    assert_refused(HEAD CLUSTER USER "    token: \"s3cret\\nX-Header: 1\"\n",
        "/etc/x/conf:16: users[0].user.token: expected one line without control characters");
    assert_refused(HEAD CLUSTER USER "    token: s3cret: more\n",
        "/etc/x/conf:16: not YAML: mapping values are not allowed in this context");
}

Test(kubeconfig, aliases_make_nothing_large)
{
    char error[KUBECONFIG_ERROR_MAX];
    struct kubeconfig config;

    cr_assert_eq(
        parse(&config,
            "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: &d [*c,*c,*c]\n" HEAD
            "clusters: &k\n- name: k\n  cluster:\n    server: https://h\nextra: *k\n" USER "    token: t\n",
            error),
        0, "%s", error);
    cr_assert_str_eq(config.server, "https://h");
    kubeconfig_deinit(&config);
    cr_assert_eq(parse(&config, "a: &a\n  b: *a\n", error), -EINVAL);
}

/* ---- where it is ---- */

Test(kubeconfig, files_that_cannot_be_read_say_why)
{
    char error[KUBECONFIG_ERROR_MAX];
    struct kubeconfig config;

    cr_assert_eq(kubeconfig_load(&config, "/nowhere/conf", error), -ENOENT);
    cr_assert_str_eq(error, "/nowhere/conf: No such file or directory");
    cr_assert_eq(kubeconfig_load(&config, "/tmp", error), -EISDIR);
    cr_assert_str_eq(error, "/tmp: Is a directory");
    cr_assert_eq(kubeconfig_load(&config, "/dev/null", error), -EINVAL);
    cr_assert_str_eq(error, "/dev/null: not a regular file");
}

Test(kubeconfig, bare_name_is_looked_for_in_the_credentials_directory)
{
    static const char text[] = HEAD CLUSTER USER "    tokenFile: token\n";
    char folder[] = "/tmp/podkin-kubeconfig.XXXXXX", path[128], error[KUBECONFIG_ERROR_MAX];
    struct kubeconfig config;
    FILE *file;

    cr_assert(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/kubeconfig", folder);
    file = fopen(path, "we");
    cr_assert(file);
    (void)fputs(text, file);
    (void)fclose(file);
    cr_assert_eq(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    cr_assert_eq(kubeconfig_load(&config, "kubeconfig", error), -ENOENT);
    cr_assert_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    cr_assert_eq(kubeconfig_load(&config, "kubeconfig", error), 0, "%s", error);
    (void)snprintf(path, sizeof(path), "%s/token", folder);
    cr_assert_str_eq(config.token_file, path);
    kubeconfig_deinit(&config);
    (void)snprintf(path, sizeof(path), "%s/kubeconfig", folder);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rmdir(folder), 0);
}

Test(kubeconfig, in_cluster_is_the_service_account)
{
    char error[KUBECONFIG_ERROR_MAX];
    struct kubeconfig config;

    cr_assert_eq(unsetenv("KUBERNETES_SERVICE_HOST"), 0);
    cr_assert_eq(kubeconfig_load(&config, "in-cluster", error), -EINVAL);
    cr_assert(strstr(error, "is this in a Pod?"), "%s", error);
    cr_assert_eq(setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1), 0);
    cr_assert_eq(setenv("KUBERNETES_SERVICE_PORT", "443", 1), 0);
    cr_assert_eq(kubeconfig_in_cluster(&config, "/sa", error), 0);
    cr_assert_str_eq(config.server, "https://[fd00::1]:443");
    cr_assert_str_eq(config.token_file, "/sa/token");
    cr_assert_str_eq(config.ca_file, "/sa/ca.crt");
    cr_assert_not(config.insecure);
    kubeconfig_deinit(&config);
    cr_assert_eq(setenv("KUBERNETES_SERVICE_HOST", "a/b?c", 1), 0);
    cr_assert_eq(kubeconfig_in_cluster(&config, "/sa", error), -EINVAL);
}
