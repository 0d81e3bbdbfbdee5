/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/kubeconfig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "common/cleanup.h"
#include "enricher/http_request.h"
#include "enricher/kubeconfig_yaml.h"

#define HTTPS_PORT 443
#define HTTP_PORT  80

static void wipe_string(char **string)
{
    if (*string)
        explicit_bzero(*string, strlen(*string));
    free(*string);
    *string = NULL;
}

static void wipe_blob(struct http_blob *blob)
{
    if (blob->data)
        explicit_bzero(blob->data, blob->size);
    free(blob->data);
    *blob = (struct http_blob){0};
}

void kubeconfig_deinit(struct kubeconfig *config)
{
    wipe_string(&config->token);
    wipe_blob(&config->ca_data);
    wipe_blob(&config->client_cert_data);
    wipe_blob(&config->client_key_data);
    free(config->server);
    free(config->token_file);
    free(config->ca_file);
    free(config->client_cert);
    free(config->client_key);
    *config = (struct kubeconfig){0};
}

bool kubeconfig_has_credential(const struct kubeconfig *config)
{
    return config->token || config->token_file || config->client_cert || config->client_cert_data.data;
}

/* ---- what is in the file ---- */

/* Replaces a relative path by one that starts in the kubeconfig's folder. */
static int join_folder(const char *path, char **file)
{
    const char *slash = strrchr(path, '/');
    char *joined;

    if (!*file || **file == '/' || !slash)
        return 0;
    if (asprintf(&joined, "%.*s/%s", (int)(slash - path), path, *file) < 0)
        return -ENOMEM;
    free(*file);
    *file = joined;
    return 0;
}

static int read_file_name(
    struct yaml_reader *reader, const struct yaml_place *map, const char *key, char **ret)
{
    int r = yaml_find_string(reader, map, key, ret);

    return r < 0 ? r : join_folder(reader->path, ret);
}

struct refusal {
    const char *key, *why;
};

/* By its name, and for a program also by the program's. */
static int refuse(struct yaml_reader *reader, const struct yaml_place *map, const struct refusal *refusals)
{
    for (; refusals->key; refusals++) {
        CLEANUP_FREE char *name = NULL;
        char shown[64] = "";
        struct yaml_place place;
        int r = yaml_find(reader, map, refusals->key, &place);

        if (r < 0)
            return r;
        if (!place.node)
            continue;
        if (place.node->type == YAML_MAPPING_NODE &&
            (yaml_find_string(reader, &place, "command", &name) < 0 ||
                (!name && yaml_find_string(reader, &place, "name", &name) < 0)))
            return -EINVAL;
        if (name)
            http_text_clean(shown, sizeof(shown), name, strlen(name));
        return yaml_reader_fail(
            reader, &place, "%s%s%s%s", refusals->why, name ? " ('" : "", shown, name ? "')" : "");
    }
    return 0;
}

static int read_cluster(struct yaml_reader *reader, const struct yaml_place *map, struct kubeconfig *ret)
{
    static const struct refusal refusals[] = {
        {"proxy-url", "podkin asks the API server itself, not a proxy"},
        {"tls-server-name", "not supported: give the server by a name that its certificate has"},
        {NULL, NULL},
    };
    CLEANUP_FREE char *url = NULL;
    struct yaml_place server = {0};
    int r = refuse(reader, map, refusals);

    if (r == 0)
        r = yaml_find_string(reader, map, "server", &ret->server);
    if (r == 0)
        r = yaml_find(reader, map, "server", &server);
    if (r == 0)
        r = read_file_name(reader, map, "certificate-authority", &ret->ca_file);
    if (r == 0)
        r = yaml_find_pem(reader, map, "certificate-authority-data", &ret->ca_data);
    if (r == 0)
        r = yaml_find_bool(reader, map, "insecure-skip-tls-verify", &ret->insecure);
    if (r == 0)
        r = yaml_find_bool(reader, map, "disable-compression", &ret->no_compression);
    if (r < 0)
        return r;
    if (!ret->server || http_url_join(ret->server, "/api", HTTPS_PORT, HTTP_PORT, &url) == -EINVAL)
        return yaml_reader_fail(reader, &server, "expected a URL like https://10.0.0.1:6443");
    return 0;
}

static int check_pair(struct yaml_reader *reader, const struct yaml_place *map, const struct kubeconfig *user)
{
    bool cert = user->client_cert || user->client_cert_data.data;
    bool key = user->client_key || user->client_key_data.data;

    if (cert == key)
        return 0;
    return yaml_reader_fail(reader, map,
        cert ? "client-certificate without client-key" : "client-key without client-certificate");
}

static int read_user(struct yaml_reader *reader, const struct yaml_place *map, struct kubeconfig *ret)
{
    static const struct refusal refusals[] = {
        {"exec", "podkin runs no program to get a credential: give a certificate, a token or a tokenFile"},
        {"auth-provider", "auth providers are not supported: give a certificate, a token or a tokenFile"},
        {"username", "passwords are not supported: give a certificate, a token or a tokenFile"},
        {"password", "passwords are not supported: give a certificate, a token or a tokenFile"},
        {"as", "podkin does not impersonate"},
        {"as-uid", "podkin does not impersonate"},
        {"as-groups", "podkin does not impersonate"},
        {"as-user-extra", "podkin does not impersonate"},
        {NULL, NULL},
    };
    int r = refuse(reader, map, refusals);

    if (r == 0)
        r = yaml_find_string(reader, map, "token", &ret->token);
    if (r == 0)
        r = read_file_name(reader, map, "tokenFile", &ret->token_file);
    if (r == 0)
        r = read_file_name(reader, map, "client-certificate", &ret->client_cert);
    if (r == 0)
        r = yaml_find_pem(reader, map, "client-certificate-data", &ret->client_cert_data);
    if (r == 0)
        r = read_file_name(reader, map, "client-key", &ret->client_key);
    if (r == 0)
        r = yaml_find_pem(reader, map, "client-key-data", &ret->client_key_data);
    return r < 0 ? r : check_pair(reader, map, ret);
}

/* map.key names an entry of the list; *ret is that entry's body. */
static int follow(struct yaml_reader *reader, const struct yaml_place *root, const struct yaml_place *map,
    const char *key, const char *list, const char *body, struct yaml_place *ret)
{
    CLEANUP_FREE char *name = NULL;
    struct yaml_place place = {0};
    char shown[128];
    int r = yaml_find(reader, map, key, &place);

    if (r == 0)
        r = yaml_find_string(reader, map, key, &name);
    if (r < 0)
        return r;
    if (!name)
        return yaml_reader_fail(reader, &place, "expected the name of one of the %s", list);
    r = yaml_find_entry(reader, root, list, name, body, ret);
    if (r < 0 || ret->node)
        return r;
    http_text_clean(shown, sizeof(shown), name, strlen(name));
    return yaml_reader_fail(reader, &place, "no '%s' with a '%s' among the %s", shown, body, list);
}

static int read_root(struct yaml_reader *reader, const struct yaml_place *root, struct kubeconfig *ret)
{
    struct yaml_place context, cluster, user;
    int r = follow(reader, root, root, "current-context", "contexts", "context", &context);

    if (r == 0)
        r = follow(reader, root, &context, "cluster", "clusters", "cluster", &cluster);
    if (r == 0)
        r = follow(reader, root, &context, "user", "users", "user", &user);
    if (r == 0)
        r = read_cluster(reader, &cluster, ret);
    return r < 0 ? r : read_user(reader, &user, ret);
}

int kubeconfig_parse(
    struct kubeconfig *ret, const char *path, const char *data, size_t size, char error[KUBECONFIG_ERROR_MAX])
{
    struct yaml_reader reader = {.path = path, .error = error, .error_size = KUBECONFIG_ERROR_MAX};
    struct kubeconfig config = {0};
    struct yaml_place root = {0};
    int r = yaml_reader_open(&reader, data, size, &root);

    *ret = config;
    if (r < 0)
        return r;
    r = read_root(&reader, &root, &config);
    yaml_reader_close(&reader);
    if (r < 0)
        kubeconfig_deinit(&config);
    if (r == -ENOMEM)
        (void)snprintf(error, KUBECONFIG_ERROR_MAX, "%s: out of memory", path);
    *ret = config;
    return r;
}

/* ---- where it is ---- */

int kubeconfig_in_cluster(struct kubeconfig *ret, const char *folder, char error[KUBECONFIG_ERROR_MAX])
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    struct kubeconfig config = {0};
    CLEANUP_FREE char *url = NULL;
    bool is_v6 = host && strchr(host, ':');

    *ret = config;
    if (!host || !*host || !port || !*port) {
        (void)snprintf(error, KUBECONFIG_ERROR_MAX,
            KUBECONFIG_IN_CLUSTER ": $KUBERNETES_SERVICE_HOST and _PORT are not set: is this in a Pod?");
        return -EINVAL;
    }
    if (asprintf(&config.server, "https://%s%s%s:%s", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port) < 0)
        config.server = NULL;
    if (asprintf(&config.token_file, "%s/token", folder) < 0)
        config.token_file = NULL;
    if (asprintf(&config.ca_file, "%s/ca.crt", folder) < 0)
        config.ca_file = NULL;
    if (!config.server || !config.token_file || !config.ca_file) {
        kubeconfig_deinit(&config);
        (void)snprintf(error, KUBECONFIG_ERROR_MAX, KUBECONFIG_IN_CLUSTER ": out of memory");
        return -ENOMEM;
    }
    if (http_url_join(config.server, "/api", HTTPS_PORT, HTTP_PORT, &url) == -EINVAL) {
        kubeconfig_deinit(&config);
        (void)snprintf(error, KUBECONFIG_ERROR_MAX,
            KUBECONFIG_IN_CLUSTER ": $KUBERNETES_SERVICE_HOST, _PORT: expected an address and a port");
        return -EINVAL;
    }
    *ret = config;
    return 0;
}

char *credential_find_file(const char *name)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    char *path;

    if (folder && *folder && !strchr(name, '/')) {
        if (asprintf(&path, "%s/%s", folder, name) < 0)
            return NULL;
        if (access(path, F_OK) == 0)
            return path;
        free(path);
    }
    return strdup(name);
}

/* Fills *ret with all of a regular file; what it holds is to be wiped. 0 or negative errno. */
static int read_file(const char *path, struct http_blob *ret)
{
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    ssize_t count;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    if (status.st_size > KUBECONFIG_MAX_BYTES)
        return -EFBIG;
    ret->data = malloc((size_t)status.st_size + 1);
    if (!ret->data)
        return -ENOMEM;
    while (ret->size < (size_t)status.st_size) {
        count = read(fd, (char *)ret->data + ret->size, (size_t)status.st_size - ret->size);
        if (count < 0 && errno != EINTR)
            return -errno;
        if (count == 0) /* it was cut meanwhile: what is left is judged */
            break;
        ret->size += count > 0 ? (size_t)count : 0;
    }
    return 0;
}

int kubeconfig_load(struct kubeconfig *ret, const char *where, char error[KUBECONFIG_ERROR_MAX])
{
    CLEANUP_FREE char *path = NULL;
    struct http_blob text = {0};
    int r;

    *ret = (struct kubeconfig){0};
    if (strcmp(where, KUBECONFIG_IN_CLUSTER) == 0)
        return kubeconfig_in_cluster(ret, SERVICE_ACCOUNT, error);
    path = credential_find_file(where);
    r = path ? read_file(path, &text) : -ENOMEM;
    if (r < 0)
        (void)snprintf(error, KUBECONFIG_ERROR_MAX, "%s: %s", path ? path : where,
            r == -EINVAL ? "not a regular file" : strerrordesc_np(-r));
    else
        r = kubeconfig_parse(ret, path, text.data, text.size, error);
    wipe_blob(&text);
    return r;
}
