/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The files that rotation has put aside: FILE.1 is the latest, FILE.KEEP the oldest. With compression FILE.2 and older become FILE.2.zst …: FILE.1 stays as it is, for those who follow.
 *
 * A1  a number has one file, plain or compressed; they move on together
 * A2  FILE.i.zst is there when it is whole, and only then FILE.i goes: a kill, a full disk or a stop at any moment loses nothing, and leaves at most FILE.zst.part, which the next job takes over
 * A3  all names are changed in the loop's thread
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "enricher/loop.h"

struct compressor;

struct aside {
    char *path, *name, *other; /* the latter two: room for a name */
    unsigned keep, mode;
    struct compressor *compressor; /* NULL: nothing is compressed */
    dev_t device;                  /* with inode: which file is being compressed */
    ino_t inode;
    uint64_t compressed, failures;
};

/* 0, -ENOMEM, or what making a compressor gave. aside_deinit() is due in either case. */
int aside_init(
    struct aside *aside, struct loop *loop, const char *path, unsigned keep, unsigned mode, bool compress);
void aside_deinit(struct aside *aside);
/* FILE → FILE.1, all others one further, the oldest goes; with keep 0 FILE goes. 0 or negative errno: FILE is where it was. */
int aside_put(struct aside *aside);
/* Compresses the next one that is due, if any and not at it already. */
void aside_compress(struct aside *aside);
