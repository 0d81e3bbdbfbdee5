/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Inside source_apiserver.c: one source. source_apiserver.c owns requests and times; apiserver_answer.c
 * takes in what comes and judges how a request ended.
 */
#include <stdbool.h>
#include "enricher/http.h"
#include "enricher/kubeconfig.h"
#include "enricher/loop.h"
#include "enricher/pod_json.h"
#include "enricher/source_apiserver.h"
#include "enricher/watch_json.h"

enum apiserver_phase {
    PHASE_LIST,    /* all of them as a list */
    PHASE_INITIAL, /* all of them as a watch's first events */
    PHASE_WATCH,
};

/* What a request that has ended asks for next. */
enum apiserver_next {
    NEXT_GO_ON, /* it went well: resume the watch */
    NEXT_RETRY, /* it did not: the same again */
    NEXT_LIST,  /* it did not: begin anew */
};

struct source_apiserver {
    struct source source; /* first */
    struct loop *loop;
    struct http *http;
    struct pod_table *table;
    char *where, *node_name;
    bool insecure_allowed;
    struct source_apiserver_params params;

    struct loop_timer timer;   /* the next request, while none is under way */
    struct loop_timer initial; /* PHASE_INITIAL takes too long */
    enum apiserver_phase phase;
    bool no_initial_events;             /* or not offered */
    bool any_version;                   /* A3: what the server has now, however old */
    bool relist;                        /* a Pod was not taken: begin anew at the watch's end */
    char version[POD_JSON_MAX_VERSION]; /* of the newest message; "": none */
    unsigned failed_in_a_row;
    uint64_t started_ns, heard_ns; /* the request's begin, its last byte */
    uint64_t not_before_ns;        /* A4 */

    struct kubeconfig config; /* of the request under way */
    char *url;
    struct http_exchange *exchange; /* NULL: none under way */
    struct pod_json *list;
    struct watch_json *watch;
    bool listing;      /* the table has been told that a list begins */
    size_t pods;       /* in the list, or the initial events */
    uint64_t events;   /* in this request */
    int stopped_by;    /* the code of an ERROR event; -1: none came */
    bool stopped_gone; /* … and it says that it is too late to resume */
    int merge_error;

    struct source_state state;
};

/* on_data of a list, and of a watch. */
int apiserver_on_list_data(void *arg, const char *data, size_t size);
int apiserver_on_watch_data(void *arg, const char *data, size_t size);
/* How the request ended; what is wrong is in state.last_error then. Moves the phase on when a list was
 * whole. */
enum apiserver_next apiserver_judge(struct source_apiserver *api, const struct http_result *result);
void apiserver_fail(struct source_apiserver *api, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
