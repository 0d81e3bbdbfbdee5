/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The Pods that the kubelet stand-in serves: a JSON file (PodList, List or one Pod), or a directory of *.json files. Looked at anew for each answer, so that whoever adds, changes or
 * removes a file changes the node; a file is parsed again only when it changed. Write a file under another name and rename it: a half-written one is left out, with a line on stderr.
 *
 * Or as many as are asked for, made up (standin_generate.h).
 *
 * A Pod becomes visible its own delay after the stand-in's start, or after its file first named it (inode change time); once visible it stays so as long as its file names it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/load/standin_delay.h"

struct text;
struct standin_pods;

struct standin_pods_options {
    const char *path;              /* NULL: made up */
    unsigned generate, containers; /* so many, of so many containers each */
    struct standin_delay delay;
    uint64_t seed; /* of the delays */
    bool delay_from_file;
    FILE *announce; /* "visible BOOT_NS UID" a line, when a Pod is first served */
};

int standin_pods_new(struct standin_pods **ret, const struct standin_pods_options *options);
struct standin_pods *standin_pods_free(struct standin_pods *pods);

/* A PodList of the visible Pods; `running`: cut down to what /runningpods/ tells (and nothing is announced). */
void standin_pods_list(struct standin_pods *pods, bool running, struct text *out);

/* The visible Pods, each whole as JSON; nothing is announced. */
typedef void standin_pods_fn(void *arg, const char *uid, const char *text);
void standin_pods_each(struct standin_pods *pods, standin_pods_fn *fn, void *arg);
