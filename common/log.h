/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One line to stderr per thing worth saying: "podkin-enricher: warning: text". Under systemd
 * ($JOURNAL_STREAM) with a <priority> prefix instead. Text from outside is neutralised (control characters
 * escaped). Library code does not log: it returns; main-level code decides and logs once.
 */
#include <stdarg.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

void log_init(const char *program, enum log_level level);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
