/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/http_request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "common/cleanup.h"
#include "common/clock.h"

#define USER_AGENT                                                                                           \
    "podkin-enricher/" PODKIN_VERSION /* "curl…" would get pretty-printed JSON of twice the size */
#define CONNECTION_LIFE_SEC 600L      /* changed certificate files count after this at the latest */
#define RECEIVE_BYTES       32768L
#define TOKEN_PIECE         8 /* bytes of a token in a row that are not shown */

static void cleanup_curlu(CURLU **url)
{
    curl_url_cleanup(*url);
}

static void cleanup_curl_string(char **string)
{
    curl_free(*string);
}

#define CLEANUP_CURLU       CLEANUP(cleanup_curlu)
#define CLEANUP_CURL_STRING CLEANUP(cleanup_curl_string)

/* 127.0.0.0/8, ::1 and "localhost" (which libcurl maps to loopback by itself, without a resolver). libcurl's URL parser has already
 * brought forms like 127.1 or 0x7f000001 into dotted decimal, so what we judge is what it connects to. */
static bool host_is_loopback(const char *host)
{
    char bare[INET6_ADDRSTRLEN + 2];
    struct in6_addr v6;
    struct in_addr v4;
    size_t length = strlen(host);

    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    if (length > 2 && length < sizeof(bare) && host[0] == '[' && host[length - 1] == ']') {
        memcpy(bare, host + 1, length - 2);
        bare[length - 2] = '\0';
        return inet_pton(AF_INET6, bare, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return strcmp(host, "localhost") == 0;
}

static int url_parse(CURLU *parsed, const char *url, bool *ret_tls, char **ret_host)
{
    CLEANUP_CURL_STRING char *scheme = NULL;

    if (curl_url_set(parsed, CURLUPART_URL, url, CURLU_DISALLOW_USER) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_HOST, ret_host, 0) != CURLUE_OK)
        return -EINVAL;
    *ret_tls = strcmp(scheme, "https") == 0;
    return *ret_tls || strcmp(scheme, "http") == 0 ? 0 : -EINVAL;
}

/* libcurl reads these files itself and would wait for ever on a FIFO. */
static bool file_is_usable(const char *what, const char *path, char error[HTTP_ERROR_MAX])
{
    struct stat status;
    const char *why = NULL;

    if (!path)
        return true;
    if (stat(path, &status) < 0 || (S_ISREG(status.st_mode) && access(path, R_OK) < 0))
        why = strerrordesc_np(errno);
    else if (!S_ISREG(status.st_mode))
        why = "not a regular file";
    if (why)
        (void)snprintf(error, HTTP_ERROR_MAX, "%s %s: %s", what, path, why);
    return !why;
}

enum http_outcome http_request_check(const struct http_request *request, char error[HTTP_ERROR_MAX])
{
    CLEANUP_CURLU CURLU *parsed = curl_url();
    CLEANUP_CURL_STRING char *host = NULL;
    bool tls = false;

    if (!parsed || url_parse(parsed, request->url, &tls, &host) < 0) {
        (void)snprintf(error, HTTP_ERROR_MAX, "expected a URL like https://127.0.0.1:10250 without a user");
        return HTTP_REFUSED;
    }
    if ((request->token_file || request->token) && !tls && !host_is_loopback(host)) {
        (void)snprintf(
            error, HTTP_ERROR_MAX, "the token is not sent over plain http except to a loopback address");
        return HTTP_REFUSED;
    }
    if (tls && ((!request->ca_data && !file_is_usable("CA file", request->ca_file, error)) ||
                   (!request->client_cert_data &&
                       !file_is_usable("client certificate", request->client_cert, error)) ||
                   (!request->client_key_data && !file_is_usable("client key", request->client_key, error))))
        return HTTP_BAD_CREDENTIAL;
    return HTTP_ANSWERED;
}

/* Reads at most size - 1 bytes. Length or negative errno; -EFBIG when there is more. */
static ssize_t read_small_file(const char *path, char *buffer, size_t size)
{
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    size_t length = 0;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    while (length < size) {
        ssize_t count = read(fd, buffer + length, size - length);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        if (count == 0)
            return (ssize_t)length;
        length += (size_t)count;
    }
    return -EFBIG;
}

/* The b64token of RFC 6750 is narrower; any printable byte is let through, for the server to judge. */
static bool token_is_printable(const char *token, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return false;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const char token_prefix[] = "Authorization: Bearer ";

/* NULL with *ret_why said. */
static char *token_header(const char *token, size_t length, const char **ret_why)
{
    size_t prefix_length = sizeof(token_prefix) - 1;
    char *header = NULL;

    while (length > 0 && is_blank(token[length - 1]))
        length--;
    while (length > 0 && is_blank(*token)) {
        token++;
        length--;
    }
    *ret_why = "out of memory";
    if (length == 0)
        *ret_why = "empty";
    else if (!token_is_printable(token, length))
        *ret_why = "holds more than one token (a blank or a control character within)";
    else
        header = malloc(prefix_length + length + 1);
    if (header) {
        memcpy(header, token_prefix, prefix_length);
        memcpy(header + prefix_length, token, length);
        header[prefix_length + length] = '\0';
    }
    return header;
}

char *http_token_header(const struct http_request *request, char error[HTTP_ERROR_MAX])
{
    char buffer[HTTP_TOKEN_MAX + 1] = "";
    const char *why = NULL;
    char *header = NULL;
    ssize_t length;

    if (!request->token_file) {
        header = token_header(request->token, strlen(request->token), &why);
        if (!header)
            (void)snprintf(error, HTTP_ERROR_MAX, "token: %s", why);
        return header;
    }
    length = read_small_file(request->token_file, buffer, sizeof(buffer));
    if (length < 0)
        why = length == -EFBIG ? "larger than any token" : strerrordesc_np((int)-length);
    else
        header = token_header(buffer, (size_t)length, &why);
    if (!header)
        (void)snprintf(error, HTTP_ERROR_MAX, "token file %s: %s", request->token_file, why);
    explicit_bzero(buffer, sizeof(buffer));
    return header;
}

void http_header_wipe(char *header)
{
    if (header)
        explicit_bzero(header, strlen(header));
    free(header);
}

void http_text_clean(char *out, size_t size, const char *text, size_t text_size)
{
    size_t used = 0;

    for (size_t i = 0; i < text_size && used + 1 < size; i++) {
        bool printable = text[i] > ' ' && text[i] <= '~';

        if (printable)
            out[used++] = text[i];
        else if (is_blank(text[i]) && used && out[used - 1] != ' ')
            out[used++] = ' ';
        else if (!is_blank(text[i]))
            out[used++] = '?';
    }
    while (used && out[used - 1] == ' ')
        used--;
    out[used] = '\0';
}

/* How much of the beginning of `text` stands somewhere in the token. */
static size_t length_within(const char *text, const char *token)
{
    size_t longest = 0;

    for (; *token; token++) {
        size_t length = 0;

        while (text[length] && text[length] == token[length])
            length++;
        longest = length > longest ? length : longest;
    }
    return longest;
}

void http_text_hide_token(char *text, const char *header)
{
    const char *token = header ? header + sizeof(token_prefix) - 1 : "";
    size_t size = strlen(token), shortest = size < TOKEN_PIECE ? size : TOKEN_PIECE;

    while (size && *text) {
        size_t length = length_within(text, token);

        if (length >= shortest)
            memset(text, '*', length);
        text += length >= shortest ? length : 1;
    }
}

static long timeout_ms(uint64_t ns)
{
    return ns ? (long)((ns + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

#define SET(option, value) code = code ? code : curl_easy_setopt(easy, option, value)
/* Borrowed, so that there is no copy of a key that we do not wipe. */
#define SET_BLOB(option, blob)                                                                               \
    SET(option, &((struct curl_blob){.data = (blob)->data, .len = (blob)->size, .flags = CURL_BLOB_NOCOPY}))

static CURLcode apply_tls(const struct http_request *request, CURL *easy)
{
    CURLcode code = CURLE_OK;

    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, request->insecure ? 0L : 1L);
    SET(CURLOPT_SSL_VERIFYHOST, request->insecure ? 0L : 2L);
    SET(CURLOPT_CA_CACHE_TIMEOUT, 0L);    /* a replaced CA file would be ignored for a day */
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L); /* a resumed session checks no certificate, on either side */
    SET(CURLOPT_KEYPASSWD,
        ""); /* else OpenSSL asks for the password of an encrypted key on the terminal, and waits */
    if (request->ca_file || request->ca_data) {
        SET(CURLOPT_CAINFO, request->ca_data ? NULL : request->ca_file);
        SET(CURLOPT_CAPATH, NULL); /* Debian's default would still trust every public authority */
    }
    if (request->ca_data)
        SET_BLOB(CURLOPT_CAINFO_BLOB, request->ca_data);
    if (request->client_cert_data)
        SET_BLOB(CURLOPT_SSLCERT_BLOB, request->client_cert_data);
    else if (request->client_cert)
        SET(CURLOPT_SSLCERT, request->client_cert);
    if (request->client_key_data)
        SET_BLOB(CURLOPT_SSLKEY_BLOB, request->client_key_data);
    else if (request->client_key)
        SET(CURLOPT_SSLKEY, request->client_key);
    return code;
}

CURLcode http_request_apply(const struct http_request *request, CURL *easy)
{
    CURLcode code = CURLE_OK;

    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* else removing a request waits for the thread of its name lookup */
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_USERAGENT, USER_AGENT);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    SET(CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFE_SEC);
    SET(CURLOPT_FRESH_CONNECT, request->fresh || request->alone ? 1L : 0L);
    SET(CURLOPT_FORBID_REUSE, request->alone ? 1L : 0L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L); /* a peer that vanished: known before the idle time-out of a long watch */
    SET(CURLOPT_TCP_KEEPIDLE, 20L);
    SET(CURLOPT_TCP_KEEPINTVL, 10L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, timeout_ms(request->connect_timeout_ns));
    SET(CURLOPT_TIMEOUT_MS, timeout_ms(request->overall_timeout_ns));
    return code ? code : apply_tls(request, easy);
}

#undef SET_BLOB
#undef SET

enum http_outcome http_outcome_of(CURLcode code, const char *text)
{
    switch (code) {
    case CURLE_OK:
        return HTTP_ANSWERED;
    case CURLE_URL_MALFORMAT:
        return HTTP_REFUSED;
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return HTTP_BAD_CREDENTIAL;
    case CURLE_COULDNT_RESOLVE_HOST:
        return HTTP_NO_ADDRESS;
    case CURLE_COULDNT_CONNECT:
        return HTTP_NO_CONNECTION;
    case CURLE_PEER_FAILED_VERIFICATION:
        return HTTP_NOT_TRUSTED;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CIPHER:
        return HTTP_TLS_FAILED;
    case CURLE_OPERATION_TIMEDOUT:
        return HTTP_TIMED_OUT;
    default:
        /* In TLS 1.3 the server refuses our certificate (or its absence) after the handshake is over for us: an alert in place of an answer. */
        return strstr(text, " alert ") ? HTTP_TLS_FAILED : HTTP_BROKEN;
    }
}

static bool url_has(CURLU *url, CURLUPart part)
{
    CLEANUP_CURL_STRING char *value = NULL;

    return curl_url_get(url, part, &value, 0) == CURLUE_OK;
}

int http_url_join(const char *base, const char *path, unsigned https_port, unsigned http_port, char **ret)
{
    CLEANUP_CURLU CURLU *parsed = curl_url();
    CLEANUP_CURL_STRING char *host = NULL, *old_path = NULL, *url = NULL;
    CLEANUP_FREE char *new_path = NULL;
    char port[8];
    bool tls;
    size_t length;

    if (!parsed)
        return -ENOMEM;
    if (url_parse(parsed, base, &tls, &host) < 0 || url_has(parsed, CURLUPART_QUERY) ||
        url_has(parsed, CURLUPART_FRAGMENT) ||
        curl_url_get(parsed, CURLUPART_PATH, &old_path, 0) != CURLUE_OK)
        return -EINVAL;
    length = strlen(old_path);
    while (length && old_path[length - 1] == '/')
        length--;
    if (asprintf(&new_path, "%.*s%s", (int)length, old_path, path) < 0) {
        new_path = NULL;
        return -ENOMEM;
    }
    (void)snprintf(port, sizeof(port), "%u", tls ? https_port : http_port);
    if (!url_has(parsed, CURLUPART_PORT) && curl_url_set(parsed, CURLUPART_PORT, port, 0) != CURLUE_OK)
        return -EINVAL;
    if (curl_url_set(parsed, CURLUPART_PATH, new_path, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_URL, &url, 0) != CURLUE_OK)
        return -EINVAL;
    *ret = strdup(url);
    return *ret ? 0 : -ENOMEM;
}
