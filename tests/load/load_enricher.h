/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The enricher under test: a process of its own that is started, watched from outside (/proc, its status) and ended. What it says goes to
 * FOLDER/enricher.log.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/load/load_conf.h"

struct load_enricher {
    pid_t pid;       /* 0: not running */
    int syscalls_fd; /* negative: they cannot be counted */
    char folder[160];
};

struct load_latency {
    uint64_t count, p50_us, p90_us, p99_us, p999_us, p9999_us, max_us;
};

#define LOAD_DROP_REASONS 8

/* As the enricher names them. */
struct load_drops {
    size_t count;
    struct {
        char reason[32];
        uint64_t events;
    } list[LOAD_DROP_REASONS];
};

/* What it is at a moment. */
struct load_sample {
    uint64_t time_ns;
    /* of its status */
    uint64_t received, emitted, held, held_max, dropped, lost_records, without_pod, pod_only, bytes, lines;
    uint64_t expired, evicted; /* held events that left without */
    struct load_latency write, release;
    struct load_drops drops;
    bool balanced;
    /* of /proc */
    uint64_t cpu_user_us, cpu_system_us, rss_bytes, rss_max_bytes, switches_voluntary, switches_involuntary;
    uint64_t calls_io; /* read- and write-like system calls (/proc/PID/io) */
    /* of the kernel's tracepoint */
    uint64_t syscalls;
    bool syscalls_known;
};

/* `source`: its option. 0 or negative errno. */
int load_enricher_start(struct load_enricher *enricher, const struct load_conf *conf, const char *program,
    const char *folder, const char *source);
bool load_enricher_is_running(struct load_enricher *enricher);
/* 0; negative errno: it does not answer. */
int load_enricher_sample(const struct load_enricher *enricher, struct load_sample *ret);
/* SIGTERM, and its exit status (128 + the signal that ended it). */
int load_enricher_stop(struct load_enricher *enricher);
