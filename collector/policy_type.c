/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_type.h"

#include <string.h>

#define NUMBERS    (POLICY_CLASS_NUMBER | POLICY_CLASS_CAPABILITY | POLICY_CLASS_SYSCALL)
#define ANY_SOCKET (POLICY_CLASS_SOCKET | POLICY_CLASS_SOCKET_ADDRESS)

static const struct policy_type types[] = {
    {"auto", RECORD_ARG_NONE, POLICY_CLASS_NONE, false, 0},
    {"nop", RECORD_ARG_NONE, POLICY_CLASS_NONE, false, 0},
    {"int", RECORD_ARG_INT, POLICY_CLASS_NUMBER, true, 32},
    {"int32", RECORD_ARG_INT, POLICY_CLASS_NUMBER, true, 32},
    {"sint32", RECORD_ARG_INT, POLICY_CLASS_NUMBER, true, 32},
    {"uint", RECORD_ARG_UINT, POLICY_CLASS_NUMBER, false, 32},
    {"uint32", RECORD_ARG_UINT, POLICY_CLASS_NUMBER, false, 32},
    {"int64", RECORD_ARG_LONG, POLICY_CLASS_NUMBER, true, 64},
    {"sint64", RECORD_ARG_LONG, POLICY_CLASS_NUMBER, true, 64},
    {"long", RECORD_ARG_LONG, POLICY_CLASS_NUMBER, true, 64},
    {"uint64", RECORD_ARG_ULONG, POLICY_CLASS_NUMBER, false, 64},
    {"ulong", RECORD_ARG_ULONG, POLICY_CLASS_NUMBER, false, 64},
    {"size_t", RECORD_ARG_SIZE, POLICY_CLASS_NUMBER, false, 64},
    {"char_buf", RECORD_ARG_BYTES, POLICY_CLASS_TEXT, false, 0},
    {"char_iovec", RECORD_ARG_BYTES, POLICY_CLASS_TEXT, false, 0},
    {"string", RECORD_ARG_STRING, POLICY_CLASS_TEXT, false, 0},
    {"filename", RECORD_ARG_STRING, POLICY_CLASS_TEXT, false, 0},
    {"fd", RECORD_ARG_FD, POLICY_CLASS_TEXT, false, 0},
    {"file", RECORD_ARG_FILE, POLICY_CLASS_TEXT, false, 0},
    {"path", RECORD_ARG_PATH, POLICY_CLASS_TEXT, false, 0},
    {"dentry", RECORD_ARG_PATH, POLICY_CLASS_TEXT, false, 0},
    {"linux_binprm", RECORD_ARG_BINPRM, POLICY_CLASS_TEXT, false, 0},
    {"sock", RECORD_ARG_SOCK, POLICY_CLASS_SOCKET, false, 0},
    {"skb", RECORD_ARG_SKB, POLICY_CLASS_SOCKET, false, 0},
    {"sockaddr", RECORD_ARG_SOCKADDR, POLICY_CLASS_SOCKET_ADDRESS, false, 0},
    {"cred", RECORD_ARG_CRED, POLICY_CLASS_NONE, false, 0},
    {"capability", RECORD_ARG_CAPABILITY, POLICY_CLASS_CAPABILITY, false, 0},
    {"syscall64", RECORD_ARG_SYSCALL, POLICY_CLASS_SYSCALL, false, 0},
};

/* A set in a map of the kernel and a list of values are the same question. */
static const struct policy_operator_word words[] = {
    {"Equal", POLICY_EQUAL, NUMBERS | POLICY_CLASS_TEXT, false, NULL},
    {"NotEqual", POLICY_NOT_EQUAL, NUMBERS | POLICY_CLASS_TEXT, false, NULL},
    {"In", POLICY_EQUAL, NUMBERS, false, NULL},
    {"NotIn", POLICY_NOT_EQUAL, NUMBERS, false, NULL},
    {"InMap", POLICY_EQUAL, NUMBERS, false, NULL},
    {"NotInMap", POLICY_NOT_EQUAL, NUMBERS, false, NULL},
    {"Prefix", POLICY_PREFIX, POLICY_CLASS_TEXT, false, NULL},
    {"NotPrefix", POLICY_NOT_PREFIX, POLICY_CLASS_TEXT, false, NULL},
    {"Postfix", POLICY_POSTFIX, POLICY_CLASS_TEXT, false, NULL},
    {"NotPostfix", POLICY_NOT_POSTFIX, POLICY_CLASS_TEXT, false, NULL},
    {"GreaterThan", POLICY_GREATER, POLICY_CLASS_NUMBER, false, NULL},
    {"GT", POLICY_GREATER, POLICY_CLASS_NUMBER, false, NULL},
    {"LessThan", POLICY_LESS, POLICY_CLASS_NUMBER, false, NULL},
    {"LT", POLICY_LESS, POLICY_CLASS_NUMBER, false, NULL},
    {"InRange", POLICY_IN_RANGE, POLICY_CLASS_NUMBER, false, NULL},
    {"NotInRange", POLICY_NOT_IN_RANGE, POLICY_CLASS_NUMBER, false, NULL},
    {"Mask", POLICY_MASK, POLICY_CLASS_NUMBER, false, NULL},
    {"SAddr", POLICY_SADDR, ANY_SOCKET, false, NULL},
    {"NotSAddr", POLICY_NOT_SADDR, ANY_SOCKET, false, NULL},
    {"DAddr", POLICY_DADDR, ANY_SOCKET, false, NULL},
    {"NotDAddr", POLICY_NOT_DADDR, ANY_SOCKET, false, NULL},
    {"SPort", POLICY_SPORT, ANY_SOCKET, false, NULL},
    {"NotSPort", POLICY_NOT_SPORT, ANY_SOCKET, false, NULL},
    {"SPortPriv", POLICY_SPORT, ANY_SOCKET, true, NULL},
    {"NotSPortPriv", POLICY_NOT_SPORT, ANY_SOCKET, true, NULL},
    {"DPort", POLICY_DPORT, ANY_SOCKET, false, NULL},
    {"NotDPort", POLICY_NOT_DPORT, ANY_SOCKET, false, NULL},
    {"DPortPriv", POLICY_DPORT, ANY_SOCKET, true, NULL},
    {"NotDPortPriv", POLICY_NOT_DPORT, ANY_SOCKET, true, NULL},
    {"Protocol", POLICY_PROTOCOL, POLICY_CLASS_SOCKET, false, NULL},
    {"Family", POLICY_FAMILY, ANY_SOCKET, false, NULL},
    {"State", POLICY_STATE, POLICY_CLASS_SOCKET, false, NULL},
    {"SubString", POLICY_OPERATOR_COUNT, 0, false, "strings are compared at their beginning or their end"},
    {"SubStringIgnCase", POLICY_OPERATOR_COUNT, 0, false,
        "strings are compared at their beginning or their end"},
    {"CapabilitiesGained", POLICY_OPERATOR_COUNT, 0, false, "it compares two arguments with each other"},
    {"FileType", POLICY_OPERATOR_COUNT, 0, false, "files are compared by their path"},
    {"NotFileType", POLICY_OPERATOR_COUNT, 0, false, "files are compared by their path"},
};

const struct policy_type *policy_type_at(unsigned number)
{
    return number < sizeof(types) / sizeof(types[0]) ? &types[number] : NULL;
}

const struct policy_type *policy_type_find(const char *name)
{
    for (unsigned i = 0; policy_type_at(i); i++) {
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    }
    return NULL;
}

const struct policy_operator_word *policy_operator_at(unsigned number)
{
    return number < sizeof(words) / sizeof(words[0]) ? &words[number] : NULL;
}

const struct policy_operator_word *policy_operator_find(const char *name)
{
    for (unsigned i = 0; policy_operator_at(i); i++) {
        if (strcmp(words[i].name, name) == 0)
            return &words[i];
    }
    return NULL;
}
