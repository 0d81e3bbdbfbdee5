/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Names of the kernel's numbers, as the export spells them. NULL for what has none here: callers write the number. */
#include <stddef.h>

const char *kernel_family_name(unsigned family);     /* AF_INET … (linux/socket.h) */
const char *kernel_socket_type_name(unsigned type);  /* SOCK_STREAM … (linux/net.h) */
const char *kernel_protocol_name(unsigned protocol); /* IPPROTO_TCP … (linux/in.h) */
const char *kernel_tcp_state_name(unsigned state);   /* TCP_ESTABLISHED … (net/tcp_states.h) */
const char *kernel_capability_name(unsigned number); /* CAP_CHOWN … (linux/capability.h) */
const char *kernel_capability_set_name(
    unsigned number);                            /* the same in sets, where Tetragon has "DAC_OVERRIDE" */
const char *kernel_signal_name(unsigned number); /* SIGHUP … SIGSYS; real-time ones have none */
