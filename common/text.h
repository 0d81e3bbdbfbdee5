/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A growable byte buffer for building text; not NUL-terminated unless text_terminate() is asked. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *data;
    size_t size, capacity;
    bool failed; /* an allocation failed: everything appended since is missing; checked once at the end */
};

void text_deinit(struct text *text);
void text_clear(struct text *text); /* keeps the memory */
/* Room for `size` more bytes: pointer to write to, then text_commit(); NULL on failure. */
char *text_reserve(struct text *text, size_t size);
static inline void text_commit(struct text *text, size_t size)
{
    text->size += size;
}
void text_append(struct text *text, const void *data, size_t size);
void text_append_string(struct text *text, const char *string);
void text_append_char(struct text *text, char c);
void text_append_u64(struct text *text, uint64_t value);
void text_append_i64(struct text *text, int64_t value);
void text_append_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *text_terminate(struct text *text);        /* a C string, borrowed */
char *text_take(struct text *text, size_t *ret_size); /* owned; the text is empty after */

/* JSON (RFC 8259) string contents without the quotes: invalid UTF-8 becomes U+FFFD, control characters are
 * escaped, DEL too. At most `limit` bytes are written, never a torn escape or character. Returns how many
 * bytes of the input were taken. SSE2 on the clean runs. */
size_t text_append_json(struct text *text, const void *data, size_t size, size_t limit);
/* The same into memory of the caller's: at most `limit` bytes at `to`. Returns what is behind them; *ret_taken: how many bytes of the input. */
char *text_put_json(char *to, size_t limit, const void *data, size_t size, size_t *ret_taken);
/* What the whole takes. */
size_t text_json_size(const void *data, size_t size);
void text_append_json_string(struct text *text, const char *string); /* with quotes */
/* RFC 4648 base64 with padding. */
void text_append_base64(struct text *text, const void *data, size_t size);
/* RFC 3339 UTC of Unix time in ns: "2026-11-23T20:55:00.123456789Z", without the fraction's last zeroes. */
void text_append_time(struct text *text, uint64_t unix_ns);
/* For terminals and logs: controls, escapes, bidi overrides and invalid UTF-8 made visible (\x1b …). */
void text_append_neutral(struct text *text, const void *data, size_t size);
