/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * libbpf speaks through a process-wide print function. While a capture is on, this thread's messages are kept
 * here instead of being printed, and come down to the one line that tells what went wrong.
 */
#define BPF_MESSAGE_MAX 384

struct bpf_message {
    char text[BPF_MESSAGE_MAX];    /* the first complaint */
    char verdict[BPF_MESSAGE_MAX]; /* the verifier's last word; "" when it was not asked */
};

/* From here to bpf_message_end() nothing of libbpf is printed. Not nested. */
void bpf_message_begin(struct bpf_message *message);
void bpf_message_end(void);

/* The verifier's last word if there is one, else the first complaint, else "". Borrowed. */
const char *bpf_message_text(const struct bpf_message *message);
