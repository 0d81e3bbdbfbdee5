/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How to reach an API server and who we are there: a kubeconfig file as kubeadm, k3s and RKE2 write it, or
 * the service account of a Pod. https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
 *
 * Taken: current-context, its cluster (server, certificate-authority, insecure-skip-tls-verify,
 * disable-compression) and its user (client-certificate and client-key, token, tokenFile), each inline or
 * by file; a relative path starts in the file's own folder. What would run a program or hide who we are
 * (exec, auth-provider, username and password, impersonation, proxy-url, tls-server-name) is refused by its
 * name; the rest is skipped.
 *
 * C1  a mistake is one line: file, line, key, what was expected. No value of a secret is ever in it
 * C2  secrets stay in memory, are never written anywhere, and are wiped by kubeconfig_deinit()
 */
#include <stdbool.h>
#include <stddef.h>
#include "enricher/http.h"

#define KUBECONFIG_ERROR_MAX  512
#define KUBECONFIG_MAX_BYTES  (1u << 20)
#define KUBECONFIG_IN_CLUSTER "in-cluster"
#define SERVICE_ACCOUNT       "/var/run/secrets/kubernetes.io/serviceaccount"

struct kubeconfig {
    char *server; /* http or https URL */
    char *token;
    char *token_file, *ca_file, *client_cert, *client_key;       /* as to be opened */
    struct http_blob ca_data, client_cert_data, client_key_data; /* PEM; these win over the files */
    bool insecure, no_compression;
};

/* where: "in-cluster", or a file; a name without a slash is looked for in $CREDENTIALS_DIRECTORY (systemd's
 * LoadCredential=) first. 0, or -EINVAL, -ENOMEM or what opening the file gave, with `error` filled and
 * *ret empty. Reads local files, so it may wait for a disk. */
int kubeconfig_load(struct kubeconfig *ret, const char *where, char error[KUBECONFIG_ERROR_MAX]);
/* The text of a file; `path` is for errors and for relative paths only. As above. */
int kubeconfig_parse(struct kubeconfig *ret, const char *path, const char *data, size_t size,
    char error[KUBECONFIG_ERROR_MAX]);
/* The service account whose token and ca.crt are in `folder`, and $KUBERNETES_SERVICE_HOST and _PORT. */
int kubeconfig_in_cluster(struct kubeconfig *ret, const char *folder, char error[KUBECONFIG_ERROR_MAX]);
/* The path to open for a name that the operator gave, owned; NULL: no memory. A name without a slash is looked for in
 * $CREDENTIALS_DIRECTORY first. */
char *credential_find_file(const char *name);
void kubeconfig_deinit(struct kubeconfig *config); /* wipes; idempotent */
bool kubeconfig_has_credential(const struct kubeconfig *config);
