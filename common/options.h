/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Options of the daemons: the same names on the command line (--hold-timeout 30s, --hold-timeout=30s) and in
 * a configuration file (hold-timeout = 30s). File: `key = value` a line, `#` comments, blank lines;
 * FILE.d/NAME.conf drop-ins in name order after it. Order: defaults, file, drop-ins, command line; a
 * repeatable option given by a later layer replaces those of the earlier.
 * A flag named "help" or "version" on the command line: no file is read, and no other option is looked at beyond
 * its name, so that help can be had where the configuration is broken.
 *
 * Every mistake gives one line in `error`: "FILE:LINE: key 'x': expected …" or "--x: expected …"; nothing is
 * half-applied by the caller, who exits 2.
 */
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

enum option_kind {
    OPTION_STRING,   /* char **, owned */
    OPTION_STRINGS,  /* struct option_list *, repeatable */
    OPTION_BOOL,     /* bool *: on|off|yes|no|true|false|1|0 */
    OPTION_FLAG,     /* bool *: command line only, no value */
    OPTION_SIZE,     /* uint64_t *, bytes: 64M 16MiB 4k 4096 */
    OPTION_COUNT,    /* uint64_t * */
    OPTION_DURATION, /* uint64_t *, ns: 30s 500ms 5m 1h 0 (a plain number other than 0 is refused) */
    OPTION_CHOICE,   /* int *: index into choices */
};

struct option_list {
    char **items;
    size_t count;
};

struct option_spec {
    const char *name;
    enum option_kind kind;
    void *value;
    const char *argument;       /* for the help text: "PATH", "DURATION" … */
    const char *help;           /* one line */
    const char *const *choices; /* OPTION_CHOICE, NULL-terminated */
    uint64_t min, max;          /* SIZE, COUNT, DURATION; max 0: none */
};

#define OPTIONS_ERROR_MAX 512

/* Reads argv and, when the spec named "config" is given, the file and its drop-ins. Words that are no options
 * are left in argv[1..] and counted in *ret_rest. 0, or -EINVAL with `error` filled; -errno of opening the
 * file likewise. */
int options_parse(const struct option_spec *specs, size_t count, int argc, char **argv, int *ret_rest,
    char error[OPTIONS_ERROR_MAX]);
void options_print_help(const struct option_spec *specs, size_t count);
void option_list_deinit(struct option_list *list);

/* The parsers by themselves. 0 or -EINVAL / -ERANGE. */
int option_parse_size(const char *text, uint64_t *ret);
int option_parse_duration(const char *text, uint64_t *ret);
