// SPDX-License-Identifier: Apache-2.0
/* podkin expand: normalised lines in, full lines out. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "common/log.h"
#include "enricher/cli/command.h"
#include "enricher/cli/expander.h"
#include "enricher/cli/input.h"

#define OUTPUT_BLOCK_BYTES 262144
#define COMPLAINTS_MAX     20 /* of one file; the rest is counted */

const char command_expand_help[] =
    "podkin expand [FILE…|-]\n"
    "\n"
    "Writes full JSON lines, as podkin-enricher writes them with --format full, of the\n"
    "normalised ones in the files, or on stdin. Lines that are full already pass. Files are\n"
    "read in the order given, each by itself readable: rotated ones oldest first.\n"
    "\n"
    "A line that cannot be expanded is said with file and number and left out; the exit\n"
    "status is 1 then.\n";

struct expand {
    struct expander expander;
    struct input input;
    struct text out;
    const char *file;
    uint64_t lines; /* of the file */
    uint64_t wrong; /* of them, not expanded */
    bool failed, ended;
};

static void deinit(struct expand *expand)
{
    expander_deinit(&expand->expander);
    input_deinit(&expand->input);
    text_deinit(&expand->out);
}

static void flush(struct expand *expand)
{
    size_t done = 0;

    if (expand->out.failed) {
        log_error("out of memory");
        expand->failed = expand->ended = true;
    }
    while (done < expand->out.size && !expand->ended) {
        ssize_t written = write(STDOUT_FILENO, expand->out.data + done, expand->out.size - done);

        if (written >= 0) {
            done += (size_t)written;
        } else if (errno != EINTR) {
            expand->ended = true;
            if (errno == EPIPE) /* the reader has seen enough: no failure */
                break;
            log_error("cannot write the output: %s", strerror(errno));
            expand->failed = true;
        }
    }
    text_clear(&expand->out);
}

static void complain(struct expand *expand, const char *why)
{
    expand->failed = true;
    if (++expand->wrong <= COMPLAINTS_MAX)
        log_error(
            "%s:%llu: %s", expand->file, (unsigned long long)(expand->lines + expand->input.too_long), why);
}

static void take_line(struct expand *expand, struct slice line)
{
    expand->lines++;
    switch (expander_read(&expand->expander, line, &line)) {
    case EXPANDER_WRONG:
        complain(expand, expand->expander.why);
        break;
    case EXPANDER_NOTHING:
        break;
    default:
        text_append(&expand->out, line.data, line.size);
        text_append_char(&expand->out, '\n');
        if (expand->out.size >= OUTPUT_BLOCK_BYTES)
            flush(expand);
        break;
    }
}

static void take_lines(struct expand *expand)
{
    uint64_t too_long = expand->input.too_long;
    struct slice line;

    while (!expand->ended && input_next(&expand->input, &line)) {
        if (expand->input.too_long != too_long)
            complain(expand, "longer than a line may be");
        too_long = expand->input.too_long;
        take_line(expand, line);
    }
    flush(expand);
}

static int open_file(const char *file)
{
    return strcmp(file, "-") == 0 ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

static void read_file(struct expand *expand, const char *file)
{
    int fd = open_file(file);
    struct slice rest;
    ssize_t got = 0;

    expand->file = file;
    if (fd < 0) {
        log_error("cannot open %s: %s", file, strerror(errno));
        expand->failed = true;
        return;
    }
    input_deinit(&expand->input);
    input_init(&expand->input, fd);
    expand->lines = expand->wrong = 0;
    while (!expand->ended && (got = input_fill(&expand->input)) > 0)
        take_lines(expand);
    if (!expand->ended && got < 0) {
        log_error("cannot read %s: %s", file, input_error(got));
        expand->failed = true;
    }
    if (!expand->ended && input_last(&expand->input, &rest)) {
        take_line(expand, rest);
        flush(expand);
    }
    if (expand->wrong > COMPLAINTS_MAX)
        log_error("%s: and %llu more lines", file, (unsigned long long)(expand->wrong - COMPLAINTS_MAX));
}

int command_expand(int argc, char **argv)
{
    CLEANUP(deinit) struct expand expand = {.input = {.fd = -1}};
    int first = 1;

    if (argc > 1 && argv[1][0] == '-' && argv[1][1]) {
        if (strcmp(argv[1], "--") != 0) {
            log_error("unknown option '%s'; see podkin help expand", argv[1]);
            return COMMAND_BAD_USE;
        }
        first = 2;
    }
    expander_init(&expand.expander);
    if (first == argc)
        read_file(&expand, "-");
    for (int i = first; i < argc && !expand.ended; i++)
        read_file(&expand, argv[i]);
    return expand.failed ? COMMAND_FAILED : COMMAND_DONE;
}
