/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Types of arguments, as policies name them, and what each can be compared with. */
#include <stdbool.h>

#include "collector/policy.h"

/* What values of a type are compared as; bits, so that an operator can fit several. */
enum policy_type_class {
    POLICY_CLASS_NONE = 0,
    POLICY_CLASS_NUMBER = 1 << 0,
    POLICY_CLASS_TEXT = 1 << 1,
    POLICY_CLASS_CAPABILITY = 1 << 2,
    POLICY_CLASS_SYSCALL = 1 << 3,
    POLICY_CLASS_SOCKET = 1 << 4,         /* sock, skb */
    POLICY_CLASS_SOCKET_ADDRESS = 1 << 5, /* sockaddr */
};

struct policy_type {
    const char *name;
    enum record_arg_type type; /* RECORD_ARG_NONE: auto, nop */
    enum policy_type_class type_class;
    bool is_signed; /* NUMBER */
    unsigned bits;
};

/* NULL: podkin has no such type. */
const struct policy_type *policy_type_find(const char *name);
/* By number from 0; NULL behind the last. */
const struct policy_type *policy_type_at(unsigned number);

struct policy_operator_word {
    const char *name;
    enum policy_operator op;
    unsigned classes;    /* enum policy_type_class that it fits */
    bool is_privileged;  /* the value is not given: ports below 1024 */
    const char *refused; /* why podkin does not have it; NULL: it has */
};

/* Of matchArgs. NULL: no such word. */
const struct policy_operator_word *policy_operator_find(const char *name);
const struct policy_operator_word *policy_operator_at(unsigned number);
