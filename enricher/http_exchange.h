/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Inside http.c: one request from its start to its end. http.c owns the list of them and libcurl's multi handle; this part owns what happens to one.
 *
 * An answer is given to on_data in slices, SLICE_BYTES a turn of the loop: a list of 110 Pods takes 20 ms to digest, and libcurl hands out as much as the
 * socket holds. What is too much for this turn is left with libcurl, which is paused and so leaves the rest in the socket; the next turn goes on. A gzip body
 * is decoded here, in the same slices; what a slice leaves of its input (at most what libcurl gave at once) waits in `rest`.
 */
#include <curl/curl.h>
#include "common/text.h"
#include "enricher/http.h"
#include "enricher/http_gzip.h"
#include "enricher/http_request.h"
#include "enricher/loop.h"

struct http_socket;

struct http {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer timer;
    struct http_socket *sockets;
    struct http_exchange *active, *spare;
    size_t spare_count;
    bool in_callback; /* libcurl's or on_data: cancelled requests stay until http_collect() */
};

#define HTTP_MESSAGE_MAX 160 /* of the body of a refusal: shown */

struct http_exchange {
    struct http *http;
    struct http_exchange *next; /* in http->active or http->spare */
    CURL *easy;
    struct curl_slist *headers; /* without the token */
    char *token_header;         /* sent as the head of the list */
    struct curl_slist token_node;
    struct http_request request;
    struct loop_timer timer;   /* the start, then the idle time-out */
    struct loop_timer pump;    /* the next slice */
    enum http_outcome outcome; /* why we ended it; HTTP_ANSWERED: libcurl decides */
    bool running;              /* libcurl has it */
    bool paused;               /* libcurl holds a piece of the body for the next slice */
    bool ended;                /* libcurl is done with it, with `code`; `rest` is not empty yet */
    bool cancelled, finishing;
    CURLcode code;
    uint64_t bytes, header_bytes, last_byte_ns;
    struct http_gzip gzip;
    struct text rest; /* of the input, to be decoded */
    size_t rest_given;
    uint64_t slice_turn_ns; /* the turn in which … */
    size_t slice_bytes;     /* … so much was given */
    size_t message_size;
    char message[HTTP_MESSAGE_MAX];
    char curl_error[CURL_ERROR_SIZE];
    char error[HTTP_ERROR_MAX];
};

struct http_exchange *http_exchange_new(struct http *http, const struct http_request *request);
struct http_exchange *http_exchange_free(struct http_exchange *exchange);
/* Out of libcurl and of the active list without a word; kept as a spare or freed. */
void http_exchange_drop(struct http_exchange *exchange);
/* libcurl is done with it: on_done now, or when the last slice is given. */
void http_exchange_end(struct http_exchange *exchange, CURLcode code);

/* In http.c: takes in what has ended, and drops what was cancelled from inside a callback. */
void http_collect(struct http *http);
/* In http.c: libcurl's CURLOPT_CLOSESOCKETFUNCTION, with the struct http. */
int http_close_socket(void *arg, curl_socket_t fd);
