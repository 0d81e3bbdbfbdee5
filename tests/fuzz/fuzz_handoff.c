/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a consumer says to the collector: messages, each with its length before it (two bytes; the high bit: send a file descriptor along).
 */
#include "collector/handoff.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/record.h"
#include "tests/fuzz/fuzz.h"

static void send_message(int fd, const uint8_t *data, size_t size, bool with_fd)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {(void *)(uintptr_t)data, size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    if (with_fd) {
        struct cmsghdr *header = (struct cmsghdr *)(void *)control;

        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    }
    (void)sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool is_hello(const uint8_t *data, size_t size, bool with_fd)
{
    const struct handoff_hello hello = {HANDOFF_MAGIC, HANDOFF_VERSION, HANDOFF_HELLO, RECORD_VERSION};

    return !with_fd && size == sizeof(hello) && memcmp(data, &hello, sizeof(hello)) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct handoff handoff = HANDOFF_EMPTY;
    CLEANUP_CLOSE int peer = -1;
    int pair[2];

    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    handoff.connection = pair[0];
    handoff.state = HANDOFF_GREETING;
    peer = pair[1];
    while (size >= 2 && handoff.state != HANDOFF_IDLE) {
        uint16_t length = (uint16_t)(data[0] | data[1] << 8);
        bool with_fd = length & 0x8000;
        enum handoff_state before = handoff.state;
        enum handoff_event event;

        data += 2;
        size -= 2;
        length &= 0x7fff;
        if (length > size)
            length = (uint16_t)size;
        send_message(peer, data, length, with_fd);
        event = handoff_on_connection(&handoff);
        FUZZ_CHECK(
            (event == HANDOFF_WANTED) == (before == HANDOFF_GREETING && is_hello(data, length, with_fd)));
        FUZZ_CHECK(handoff.state == (event == HANDOFF_WANTED ? HANDOFF_PREPARING : HANDOFF_IDLE));
        FUZZ_CHECK(strlen(handoff_line(&handoff)) > 0);
        data += length;
        size -= length;
    }
    handoff_close_connection(&handoff);
    FUZZ_CHECK(handoff.state == HANDOFF_IDLE && handoff.connection == -1);
    return 0;
}
