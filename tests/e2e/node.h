/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A node for one test case: collector as root, enricher as an unprivileged user, with sockets and output in a temporary folder. Everything started here is ended by
 * node_end(), and at exit or on a signal.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NODE_USER "nobody"

struct service_manager;

struct node {
    char dir[64];
    char socket[96], events_socket[96], output[96], pods[96];
    char collector_log[96], enricher_log[96];
    pid_t collector, enricher;
    const char *cgroup_hierarchy; /* for --cgroup-hierarchy; where the test's Pods are */
    bool to_pipe;    /* set before the enricher starts: output goes to output_fd, not to the file */
    int output_fd;   /* read end */
    unsigned serial; /* of the enricher, for messages */
    struct service_manager *manager; /* of the collector; NULL: it is started by hand */
};

/* Makes the folder; an empty Pod list stands in `pods`. Exits the test program when even that fails. */
void node_init(struct node *node);
/* Collectors started from now on have a service manager, which keeps what they give it until node_end(). */
bool node_add_manager(struct node *node);
void node_end(struct node *node);

/* Further options end with NULL. true: it is ready (its socket is there). */
bool node_start_collector(struct node *node, ...);
/* The same and does not wait. */
void node_begin_collector(struct node *node, ...);
/* The source is given as an option by the caller; --socket --output --events-socket --node-name are set. */
bool node_start_enricher(struct node *node, ...);
/* Sends the signal and waits at most 15 s. Exit status, or 128 + the signal that ended it; -1: it did not end. */
int node_stop_collector(struct node *node, int signal);
int node_stop_enricher(struct node *node, int signal);
bool node_is_running(pid_t pid);
/* What `podkin status` says now, as notes of the test. */
void node_show_status(const struct node *node);

/* Starts a program of the build tree; ended at the end of the test. Its stdout and stderr go to LOG. */
pid_t node_start(const char *log, bool unprivileged, const char *const argv[]);
int node_stop(pid_t pid, int signal);

/* Where a built program lives; static storage, overwritten by the next call but one. */
const char *node_program(const char *path_in_build);
bool node_log_contains(const char *log, const char *text);
bool node_wait_log(const char *log, const char *text, unsigned timeout_ms);

/* The unprivileged user. */
uid_t node_uid(void);
gid_t node_gid(void);
uint64_t node_now_ns(void); /* boot clock */
void node_sleep_ms(unsigned ms);
