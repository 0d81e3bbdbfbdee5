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
    pid_t pid; /* 0: not running */
    char folder[160];
};

/* What it is at a moment. */
struct load_sample {
    uint64_t time_ns;
    /* of its status */
    uint64_t received, emitted, held, held_max, dropped, lost_records, without_pod, pod_only, bytes, lines;
    uint64_t write_count, write_p50_us, write_p90_us, write_p99_us, write_p999_us, write_p9999_us,
        write_max_us;
    uint64_t release_count, release_p50_us, release_p99_us, release_max_us;
    bool balanced;
    /* of /proc */
    uint64_t cpu_user_us, cpu_system_us, rss_bytes, rss_max_bytes, switches_voluntary, switches_involuntary;
    uint64_t calls_read, calls_write; /* read- and write-like system calls (/proc/PID/io) */
};

/* `source`: its option. 0 or negative errno. */
int load_enricher_start(struct load_enricher *enricher, const struct load_conf *conf, const char *program,
    const char *folder, const char *source);
bool load_enricher_is_running(struct load_enricher *enricher);
/* 0; negative errno: it does not answer. */
int load_enricher_sample(const struct load_enricher *enricher, struct load_sample *ret);
/* SIGTERM, and its exit status (128 + the signal that ended it). */
int load_enricher_stop(struct load_enricher *enricher);
