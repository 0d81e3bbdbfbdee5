/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/apiserver_explain.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX 160

/* The API server's refusals are Status objects in JSON, of which we have the beginning: their message, or
 * all of it. */
static void copy_message(char to[MESSAGE_MAX], const char *text)
{
    static const char key[] = "\"message\":\"";
    const char *from = strstr(text, key);
    size_t used = 0;

    if (!from) {
        (void)snprintf(to, MESSAGE_MAX, "%s", text);
        return;
    }
    for (from += sizeof(key) - 1; *from && *from != '"' && used + 1 < MESSAGE_MAX; from++) {
        if (from[0] == '\\' && from[1])
            from++;
        to[used++] = *from;
    }
    to[used] = '\0';
}

static const char *explain_401(const struct kubeconfig *config)
{
    if (!kubeconfig_has_credential(config))
        return "the kubeconfig's user has neither a token nor a client certificate";
    if (config->token || config->token_file)
        return "the token is not accepted: expired, or of another cluster?";
    return "the client certificate is not accepted: expired, or of another cluster?";
}

static void explain_status(
    char *ret, size_t size, const struct http_result *result, const struct kubeconfig *config)
{
    char message[MESSAGE_MAX];

    copy_message(message, result->text);
    switch (result->status) {
    case 401:
        (void)snprintf(ret, size, "401: %s", explain_401(config));
        break;
    case 403:
        (void)snprintf(ret, size, "403: the account needs list and watch on pods: %s", message);
        break;
    case 404:
        (void)snprintf(ret, size, "404: no /api/v1/pods there; is the kubeconfig's server an API server?");
        break;
    default:
        (void)snprintf(ret, size, "HTTP status %u: %s", result->status, message);
    }
}

void apiserver_explain(
    char *ret, size_t size, const struct http_result *result, const struct kubeconfig *config)
{
    const char *advice = "";

    switch (result->outcome) {
    case HTTP_ANSWERED:
        explain_status(ret, size, result, config);
        return;
    case HTTP_NOT_TRUSTED:
        advice = "the API server's certificate does not verify (the kubeconfig's certificate-authority): ";
        break;
    case HTTP_TLS_FAILED:
        advice = "TLS failed (the kubeconfig's client-certificate?): ";
        break;
    case HTTP_BROKEN: /* the alert that says so may be lost in the reset that follows it */
        if (!result->status && (config->client_cert || config->client_cert_data.data))
            advice = "cut off before an answer (the kubeconfig's client-certificate?): ";
        break;
    case HTTP_NO_CONNECTION:
        advice = "no connection to the API server: ";
        break;
    default:
        break;
    }
    (void)snprintf(ret, size, "%s%s", advice, result->text);
}
