/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The parts of http.c without state: may this URL be asked, may the token go there, can the files be read; a request and an outcome in libcurl's terms. */
#include <curl/curl.h>
#include <stddef.h>
#include "enricher/http.h"

#define HTTP_TOKEN_MAX 16384
#define HTTP_ERROR_MAX 256

/* Fills `error` and says HTTP_REFUSED or HTTP_BAD_CREDENTIAL, or HTTP_ANSWERED for "go on". Regular files only: a FIFO would stop the loop. */
enum http_outcome http_request_check(const struct http_request *request, char error[HTTP_ERROR_MAX]);

/* "Authorization: Bearer …" from the token or its file, owned: http_header_wipe() it. NULL with `error` filled: the file cannot be read, it is empty
 * or too large, or there are bytes that are no token's (a line break within would be a header of its own). Blanks and line ends around the token are taken off. */
char *http_token_header(const struct http_request *request, char error[HTTP_ERROR_MAX]);
void http_header_wipe(char *header); /* frees it, too; NULL is tolerated */

/* Sets all that follows from the request and nothing else: not its headers, not its callbacks. */
CURLcode http_request_apply(const struct http_request *request, CURL *easy);
/* text: libcurl's error buffer. */
enum http_outcome http_outcome_of(CURLcode code, const char *text);

/* Copies as printable ASCII, blanks folded, cut at size - 1; always terminated. */
void http_text_clean(char *out, size_t size, const char *text, size_t text_size);
/* Overwrites what is of the token, whole or a piece of it; header: http_token_header()'s, or NULL. */
void http_text_hide_token(char *text, const char *header);
