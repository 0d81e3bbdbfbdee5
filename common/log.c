/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"

#define LINE_MAX_BYTES 4096

/* Said once at start by main(), before any thread: the one thing that every main-level function shares. */
static const char *log_program = "podkin";
static enum log_level log_maximum = LOG_LEVEL_INFO;
static bool log_to_journal;

/* sd-daemon(3): $JOURNAL_STREAM names device and inode of the journal's stream; stderr may have been
 * redirected since. */
static bool stderr_is_journal(void)
{
    const char *named = getenv("JOURNAL_STREAM");
    struct stat st;
    char *end;
    unsigned long long device;

    if (!named || fstat(STDERR_FILENO, &st) < 0)
        return false;
    device = strtoull(named, &end, 10);
    if (end == named || *end != ':')
        return false;
    named = end + 1;
    return device == st.st_dev && strtoull(named, &end, 10) == st.st_ino && end != named && *end == '\0';
}

void log_init(const char *program, enum log_level level)
{
    log_program = program;
    log_maximum = level;
    log_to_journal = stderr_is_journal();
}

static const char *level_word(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "error: ";
    case LOG_LEVEL_WARNING:
        return "warning: ";
    case LOG_LEVEL_DEBUG:
        return "debug: ";
    case LOG_LEVEL_INFO:
    default:
        return "";
    }
}

/* One write a line, so that lines of several processes on one stderr do not mix. */
static void write_line(const char *data, size_t size)
{
    ssize_t written = write(STDERR_FILENO, data, size);

    (void)written; /* there is nobody to tell */
}

void log_line(enum log_level level, const char *format, ...)
{
    char raw[LINE_MAX_BYTES];
    struct text line = {0};
    va_list args;
    int size;

    if (level > log_maximum)
        return;
    va_start(args, format);
    size = vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);
    if (size < 0)
        return;
    if (log_to_journal)
        text_append_format(&line, "<%d>", (int)level);
    else
        text_append_format(&line, "%s: %s", log_program, level_word(level));
    text_append_neutral(&line, raw, (size_t)size < sizeof(raw) ? (size_t)size : sizeof(raw) - 1);
    if ((size_t)size >= sizeof(raw))
        text_append_string(&line, " …");
    text_append_char(&line, '\n');
    if (!line.failed)
        write_line(line.data, line.size);
    text_deinit(&line);
}
