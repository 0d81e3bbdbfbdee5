/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/bpf_message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "common/cleanup.h"

/* libbpf_set_print() takes no argument to hand through. */
static _Thread_local struct bpf_message *capture;

static void copy_line(char ret[BPF_MESSAGE_MAX], const char *line, size_t size)
{
    if (size >= BPF_MESSAGE_MAX)
        size = BPF_MESSAGE_MAX - 1;
    memcpy(ret, line, size);
    ret[size] = '\0';
}

/* In the verifier's log the reason is the last line before the statistics. */
static void keep_verdict(struct bpf_message *message, const char *log)
{
    const char *line = log, *end;

    for (; (end = strchr(line, '\n')); line = end + 1) {
        if (strncmp(line, "verification time", 17) == 0 || strncmp(line, "processed ", 10) == 0 ||
            strncmp(line, "-- END", 6) == 0)
            break;
        if (end > line)
            copy_line(message->verdict, line, (size_t)(end - line));
    }
}

__attribute__((format(printf, 2, 0))) static int on_message(
    enum libbpf_print_level level, const char *format, va_list arguments)
{
    CLEANUP_FREE char *text = NULL;
    const char *log;

    if (!capture || level != LIBBPF_WARN || vasprintf(&text, format, arguments) < 0)
        return 0;
    log = strstr(text, "BEGIN PROG LOAD LOG --\n");
    if (log)
        keep_verdict(capture, strchr(log, '\n') + 1);
    else if (!capture->text[0])
        copy_line(capture->text, text, strcspn(text, "\n"));
    return 0;
}

void bpf_message_begin(struct bpf_message *message)
{
    *message = (struct bpf_message){0};
    capture = message;
    (void)libbpf_set_print(on_message);
}

void bpf_message_end(void)
{
    capture = NULL;
}

const char *bpf_message_text(const struct bpf_message *message)
{
    return message->verdict[0] ? message->verdict : message->text;
}
