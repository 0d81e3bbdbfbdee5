/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test writes HTTP/1.1, recorded or made up; here it goes out as HTTP/2 (RFC 9113): the head becomes HEADERS, what the
 * chunks or the length frame becomes DATA, their end END_STREAM. One stream at a time, as the enricher asks.
 */
#include <ctype.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/clock.h"
#include "common/text.h"
#include "tests/support/http_server_internal.h"

#define HEADERS_MAX 32

enum framing { BY_CLOSE, BY_LENGTH, BY_CHUNKS };

struct http2 {
    struct http_server_connection *connection;
    nghttp2_session *session;
    bool gone; /* the connection is over */
    /* the request */
    struct text request;
    char method[16], path[4096];
    int32_t stream; /* 0: none under way */
    bool whole;
    /* the answer, as the test writes it … */
    struct text head, line;
    bool head_done;
    enum framing framing;
    unsigned long long left; /* of the chunk, or of the length */
    enum { IN_SIZE, IN_DATA, IN_END } chunk;
    /* … and as it goes out */
    struct text body;
    size_t body_given;
    bool body_done;
};

/* ---- the wire ---- */

static bool http2_flush(struct http2 *http2)
{
    const uint8_t *data;
    ssize_t size;

    while (!http2->gone && (size = nghttp2_session_mem_send(http2->session, &data)) > 0)
        http2->gone = !connection_write(http2->connection, data, (size_t)size);
    return !http2->gone;
}

static bool http2_receive(struct http2 *http2)
{
    char data[16384];
    ssize_t size = connection_read(http2->connection, data, sizeof(data));

    if (size <= 0 || nghttp2_session_mem_recv(http2->session, (const uint8_t *)data, (size_t)size) < 0)
        http2->gone = true;
    return http2_flush(http2);
}

bool http2_sleep_ms(struct http2 *http2, unsigned ms)
{
    uint64_t until_ns = clock_boot_ns() + ms * NS_PER_MS, now_ns;
    int ready = 1;

    while (!http2->gone && ready > 0 && (now_ns = clock_boot_ns()) < until_ns) {
        ready = connection_wait(http2->connection, POLLIN, (int)((until_ns - now_ns) / NS_PER_MS) + 1);
        if (ready > 0)
            (void)http2_receive(http2);
    }
    return !http2->gone && ready >= 0;
}

/* ---- the request ---- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *arg)
{
    struct http2 *http2 = arg;

    (void)session;
    (void)flags;
    if (http2->stream != frame->hd.stream_id) {
        http2->stream = frame->hd.stream_id;
        text_clear(&http2->request);
    }
    if (strcmp((const char *)name, ":method") == 0)
        (void)snprintf(http2->method, sizeof(http2->method), "%s", (const char *)value);
    else if (strcmp((const char *)name, ":path") == 0)
        (void)snprintf(http2->path, sizeof(http2->path), "%s", (const char *)value);
    else if (*name != ':') {
        /* As curl writes them in HTTP/1.1, so that the test looks for the same. */
        bool word = true;

        for (size_t i = 0; i < name_size; i++) {
            text_append_char(&http2->request, (char)(word ? toupper(name[i]) : name[i]));
            word = name[i] == '-';
        }
        text_append_string(&http2->request, ": ");
        text_append(&http2->request, value, value_size);
        text_append_string(&http2->request, "\r\n");
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct http2 *http2 = arg;

    (void)session;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        http2->whole = true;
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *arg)
{
    struct http2 *http2 = arg;

    (void)session;
    (void)code;
    if (stream == http2->stream)
        http2->stream = 0;
    return 0;
}

/* ---- the answer ---- */

static ssize_t give_body(nghttp2_session *session, int32_t stream, uint8_t *to, size_t size, uint32_t *flags,
    nghttp2_data_source *source, void *arg)
{
    struct http2 *http2 = arg;
    size_t left = http2->body.size - http2->body_given, count = left < size ? left : size;

    (void)session;
    (void)stream;
    (void)source;
    if (!left && !http2->body_done)
        return NGHTTP2_ERR_DEFERRED;
    if (count)
        memcpy(to, http2->body.data + http2->body_given, count);
    http2->body_given += count;
    if (count == left) {
        text_clear(&http2->body);
        http2->body_given = 0;
        if (http2->body_done)
            *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)count;
}

static bool framing_header(struct http2 *http2, const char *name, const char *value)
{
    if (strcasecmp(name, "transfer-encoding") == 0)
        http2->framing = BY_CHUNKS;
    if (strcasecmp(name, "content-length") == 0) {
        http2->framing = BY_LENGTH;
        http2->left = strtoull(value, NULL, 10);
    }
    return strcasecmp(name, "transfer-encoding") == 0 || strcasecmp(name, "connection") == 0;
}

/* The head is whole, up to and with its empty line. False: it is none. */
static bool submit_head(struct http2 *http2)
{
    nghttp2_data_provider body = {.read_callback = give_body};
    nghttp2_nv fields[HEADERS_MAX];
    char status[4] = "", *line = http2->head.data, *rest = NULL;
    size_t count = 1;

    text_append_char(&http2->head, '\0');
    if (sscanf(http2->head.data, "HTTP/1.1 %3[0-9]", status) != 1)
        return false;
    fields[0] = (nghttp2_nv){(uint8_t *)":status", (uint8_t *)status, 7, 3, NGHTTP2_NV_FLAG_NONE};
    (void)strtok_r(line, "\r\n", &rest);
    while (count < HEADERS_MAX && (line = strtok_r(NULL, "\r\n", &rest))) {
        char *value = strchr(line, ':');

        if (!value)
            return false;
        *value++ = '\0';
        value += strspn(value, " ");
        for (char *c = line; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        if (!framing_header(http2, line, value))
            fields[count++] = (nghttp2_nv){
                (uint8_t *)line, (uint8_t *)value, strlen(line), strlen(value), NGHTTP2_NV_FLAG_NONE};
    }
    http2->head_done = true;
    http2->body_done = http2->framing == BY_LENGTH && !http2->left;
    return nghttp2_submit_response(http2->session, http2->stream, fields, count, &body) == 0;
}

/* One byte of a chunk's frame. False: no chunk looks like this. */
static bool take_chunk_byte(struct http2 *http2, char c)
{
    char *end;

    if (c != '\n') {
        text_append_char(&http2->line, c);
        return http2->line.size < 64;
    }
    text_append_char(&http2->line, '\0');
    if (http2->chunk == IN_END) { /* the line break behind the data */
        text_clear(&http2->line);
        http2->chunk = IN_SIZE;
        return true;
    }
    http2->left = strtoull(http2->line.data, &end, 16);
    if (end == http2->line.data || (*end != '\r' && *end != ';') || http2->left > 1 << 30)
        return false;
    text_clear(&http2->line);
    http2->chunk = IN_DATA;
    http2->body_done = http2->left == 0;
    return true;
}

static bool take_body(struct http2 *http2, const char *data, size_t size)
{
    while (size && !http2->body_done) {
        size_t count = size;

        if (http2->framing == BY_CHUNKS && http2->chunk != IN_DATA) {
            if (!take_chunk_byte(http2, *data))
                return false;
            data++;
            size--;
            continue;
        }
        if (http2->framing != BY_CLOSE && count > http2->left)
            count = (size_t)http2->left;
        text_append(&http2->body, data, count);
        data += count;
        size -= count;
        http2->left -= http2->framing == BY_CLOSE ? 0 : count;
        if (http2->framing == BY_LENGTH && !http2->left)
            http2->body_done = true;
        if (http2->framing == BY_CHUNKS && !http2->left)
            http2->chunk = IN_END;
    }
    return true;
}

/* Until what is to go out has gone, as far as the peer's windows let it. */
static bool http2_push(struct http2 *http2)
{
    (void)nghttp2_session_resume_data(http2->session, http2->stream);
    (void)http2_flush(http2);
    while (!http2->gone && http2->stream && http2->body.size > http2->body_given) {
        if (connection_wait(http2->connection, POLLIN, -1) < 0)
            return false;
        (void)http2_receive(http2);
    }
    return !http2->gone && (http2->stream || http2->body_done);
}

bool http2_write(struct http2 *http2, const char *data, size_t size)
{
    bool good = http2->stream && !http2->gone;

    while (good && size && !http2->head_done) {
        text_append_char(&http2->head, *data++);
        size--;
        if (http2->head.size >= 4 && memcmp(http2->head.data + http2->head.size - 4, "\r\n\r\n", 4) == 0)
            good = submit_head(http2);
    }
    if (!good || !take_body(http2, data, size)) {
        (void)nghttp2_submit_rst_stream(
            http2->session, NGHTTP2_FLAG_NONE, http2->stream, NGHTTP2_PROTOCOL_ERROR);
        (void)http2_flush(http2);
        return false;
    }
    return !http2->head_done || http2_push(http2);
}

/* The answer is over, as its author sees it: an open end is an end, a broken one is the connection's. */
static void end_answer(struct http2 *http2)
{
    if (http2->head_done && http2->framing == BY_CLOSE && !http2->connection->reset) {
        http2->body_done = true;
        (void)http2_push(http2);
    }
    text_clear(&http2->head);
    text_clear(&http2->body);
    text_clear(&http2->line);
    http2->head_done = http2->body_done = http2->whole = false;
    http2->framing = BY_CLOSE;
    http2->chunk = IN_SIZE;
    http2->body_given = 0;
}

bool http_server_go_away(struct http_server_connection *connection)
{
    struct http2 *http2 = connection->http2;

    (void)nghttp2_submit_goaway(
        http2->session, NGHTTP2_FLAG_NONE, http2->stream, NGHTTP2_NO_ERROR, (const uint8_t *)"", 0);
    return http2_flush(http2);
}

bool http_server_reset_stream(struct http_server_connection *connection)
{
    struct http2 *http2 = connection->http2;

    (void)nghttp2_submit_rst_stream(http2->session, NGHTTP2_FLAG_NONE, http2->stream, NGHTTP2_INTERNAL_ERROR);
    return http2_flush(http2);
}

static int session_new(struct http2 *http2)
{
    static const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1}};
    nghttp2_session_callbacks *callbacks = NULL;
    int error = nghttp2_session_callbacks_new(&callbacks);

    if (error)
        return error;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    error = nghttp2_session_server_new(&http2->session, callbacks, http2);
    nghttp2_session_callbacks_del(callbacks);
    return error ? error : nghttp2_submit_settings(http2->session, NGHTTP2_FLAG_NONE, settings, 1);
}

void http2_serve(struct http_server_connection *connection, http_server_fn *fn, void *arg)
{
    struct http2 *http2 = calloc(1, sizeof(*http2));
    char *head = malloc(HEAD_MAX + 1);
    bool more = http2 && head;

    if (more) {
        http2->connection = connection;
        connection->http2 = http2;
        more = session_new(http2) == 0 && http2_flush(http2);
    }
    while (more && !http2->gone) {
        if (!http2->whole) {
            more = connection_wait(connection, POLLIN, -1) > 0 && http2_receive(http2);
            continue;
        }
        (void)snprintf(head, HEAD_MAX, "%s %s HTTP/2\r\n%.*s\r\n", http2->method, http2->path,
            (int)http2->request.size, http2->request.data);
        more = fn(arg, connection, head);
        end_answer(http2);
    }
    connection->http2 = NULL;
    free(head);
    if (!http2)
        return;
    nghttp2_session_del(http2->session);
    text_deinit(&http2->request);
    text_deinit(&http2->head);
    text_deinit(&http2->line);
    text_deinit(&http2->body);
    free(http2);
}
