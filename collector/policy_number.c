/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_number.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "collector/syscall_numbers.h"
#include "common/clock.h"

#define ERRNO_MAX 4095

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* Takes "0x", "0o", "0b" or the 0 of "017" off. */
static unsigned take_base(const char **text, size_t *size)
{
    unsigned base = 10;

    if (*size < 2 || (*text)[0] != '0')
        return 10;
    switch ((*text)[1]) {
    case 'x':
    case 'X':
        base = 16;
        break;
    case 'o':
    case 'O':
        base = 8;
        break;
    case 'b':
    case 'B':
        base = 2;
        break;
    default:
        *text += 1;
        *size -= 1;
        return 8;
    }
    *text += 2;
    *size -= 2;
    return base;
}

static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 16;
}

enum policy_number_result policy_parse_number(
    const char *text, size_t size, bool is_signed, unsigned bits, uint64_t *ret)
{
    bool is_negative = size > 0 && text[0] == '-';
    uint64_t value = 0, limit;
    unsigned base;
    bool is_over = false;

    if (size > 0 && (text[0] == '-' || text[0] == '+')) {
        text++;
        size--;
    }
    base = take_base(&text, &size);
    if (size == 0)
        return POLICY_NUMBER_BAD;
    for (size_t i = 0; i < size; i++) {
        unsigned digit = digit_value(text[i]);

        if (digit >= base)
            return POLICY_NUMBER_BAD;
        is_over |= __builtin_mul_overflow(value, base, &value);
        is_over |= __builtin_add_overflow(value, digit, &value);
    }
    limit = UINT64_MAX >> (64 - bits);
    if (is_signed)
        limit = (limit >> 1) + is_negative;
    else if (is_negative)
        limit = 0;
    if (is_over || value > limit)
        return POLICY_NUMBER_OUT_OF_RANGE;
    *ret = is_negative ? -value : value;
    return POLICY_NUMBER_FINE;
}

enum policy_number_result policy_parse_range(
    const char *text, bool is_signed, unsigned bits, uint64_t *ret_low, uint64_t *ret_high)
{
    size_t size = strcspn(text, ":");
    uint64_t low, high;
    enum policy_number_result result = policy_parse_number(text, size, is_signed, bits, &low);

    if (result != POLICY_NUMBER_FINE)
        return result;
    high = low;
    if (text[size]) {
        result = policy_parse_number(text + size + 1, strlen(text + size + 1), is_signed, bits, &high);
        if (result != POLICY_NUMBER_FINE)
            return result;
    }
    if (is_signed ? (int64_t)low > (int64_t)high : low > high)
        return POLICY_NUMBER_BAD;
    *ret_low = low;
    *ret_high = high;
    return POLICY_NUMBER_FINE;
}

bool policy_parse_network(const char *text, struct policy_value *value)
{
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    char address[INET6_ADDRSTRLEN];
    uint8_t bytes[16] = {0};
    uint64_t bits, width;
    uint8_t family;

    if (size >= sizeof(address))
        return false;
    memcpy(address, text, size);
    address[size] = '\0';
    if (inet_pton(AF_INET, address, bytes) == 1)
        family = AF_INET;
    else if (inet_pton(AF_INET6, address, bytes) == 1)
        family = AF_INET6;
    else
        return false;
    bits = width = family == AF_INET ? 32 : 128;
    if (slash &&
        (slash[1] < '0' || slash[1] > '9' ||
            policy_parse_number(slash + 1, strlen(slash + 1), false, 8, &bits) != POLICY_NUMBER_FINE ||
            bits > width))
        return false;
    for (size_t bit = bits; bit < width; bit++)
        bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
    memcpy(value->address, bytes, sizeof(bytes));
    value->family = family;
    value->prefix_bits = (uint8_t)bits;
    return true;
}

bool policy_parse_period(const char *text, uint64_t *ret_ns)
{
    static const struct {
        char name[3];
        uint64_t ns;
    } units[] = {{"", NS_PER_SEC}, {"ms", NS_PER_MS}, {"s", NS_PER_SEC}, {"m", 60 * NS_PER_SEC},
        {"h", 3600 * NS_PER_SEC}};
    const uint64_t max_ns = 24 * 3600 * NS_PER_SEC;
    size_t digits = strspn(text, "0123456789");
    uint64_t count = 0;

    for (size_t i = 0; i < digits && count <= max_ns; i++)
        count = count * 10 + (uint64_t)(text[i] - '0');
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].name) != 0 || count == 0 || count > max_ns / units[i].ns)
            continue;
        *ret_ns = count * units[i].ns;
        return true;
    }
    return false;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

struct name {
    const char *name;
    unsigned number;
};

static bool find_name(
    const struct name *names, size_t count, const char *prefix, const char *name, uint64_t *ret)
{
    if (strncasecmp(name, prefix, strlen(prefix)) == 0)
        name += strlen(prefix);
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(names[i].name, name) == 0) {
            *ret = names[i].number;
            return true;
        }
    }
    return false;
}

#define FIND(names, prefix, name, ret) find_name(names, sizeof(names) / sizeof((names)[0]), prefix, name, ret)

bool policy_capability_number(const char *name, unsigned *ret)
{
    /* capabilities(7), in the order of linux/capability.h */
    static const char *const names[] = {"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID",
        "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST",
        "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
        "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME",
        "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE",
        "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
        "CHECKPOINT_RESTORE"};

    if (strncasecmp(name, "CAP_", 4) == 0)
        name += 4;
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(names[i], name) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

bool policy_family_number(const char *name, uint64_t *ret)
{
    static const struct name names[] = {{"UNSPEC", AF_UNSPEC}, {"UNIX", AF_UNIX}, {"LOCAL", AF_UNIX},
        {"INET", AF_INET}, {"AX25", AF_AX25}, {"IPX", AF_IPX}, {"APPLETALK", AF_APPLETALK},
        {"NETROM", AF_NETROM}, {"BRIDGE", AF_BRIDGE}, {"ATMPVC", AF_ATMPVC}, {"X25", AF_X25},
        {"INET6", AF_INET6}, {"ROSE", AF_ROSE}, {"DECNET", AF_DECnet}, {"NETBEUI", AF_NETBEUI},
        {"SECURITY", AF_SECURITY}, {"KEY", AF_KEY}, {"NETLINK", AF_NETLINK}, {"ROUTE", AF_ROUTE},
        {"PACKET", AF_PACKET}, {"ASH", AF_ASH}, {"ECONET", AF_ECONET}, {"ATMSVC", AF_ATMSVC}, {"RDS", AF_RDS},
        {"SNA", AF_SNA}, {"IRDA", AF_IRDA}, {"PPPOX", AF_PPPOX}, {"WANPIPE", AF_WANPIPE}, {"LLC", AF_LLC},
        {"IB", AF_IB}, {"MPLS", AF_MPLS}, {"CAN", AF_CAN}, {"TIPC", AF_TIPC}, {"BLUETOOTH", AF_BLUETOOTH},
        {"IUCV", AF_IUCV}, {"RXRPC", AF_RXRPC}, {"ISDN", AF_ISDN}, {"PHONET", AF_PHONET},
        {"IEEE802154", AF_IEEE802154}, {"CAIF", AF_CAIF}, {"ALG", AF_ALG}, {"NFC", AF_NFC},
        {"VSOCK", AF_VSOCK}, {"KCM", AF_KCM}, {"QIPCRTR", AF_QIPCRTR}, {"SMC", AF_SMC}, {"XDP", AF_XDP}};

    return FIND(names, "AF_", name, ret);
}

bool policy_protocol_number(const char *name, uint64_t *ret)
{
    /* linux/in.h; MPTCP is beyond what an IP header carries */
    static const struct name names[] = {{"IP", 0}, {"ICMP", 1}, {"IGMP", 2}, {"IPIP", 4}, {"TCP", 6},
        {"EGP", 8}, {"PUP", 12}, {"UDP", 17}, {"IDP", 22}, {"TP", 29}, {"DCCP", 33}, {"IPV6", 41},
        {"RSVP", 46}, {"GRE", 47}, {"ESP", 50}, {"AH", 51}, {"ICMPV6", 58}, {"MTP", 92}, {"BEETPH", 94},
        {"ENCAP", 98}, {"PIM", 103}, {"COMP", 108}, {"L2TP", 115}, {"SCTP", 132}, {"UDPLITE", 136},
        {"MPLS", 137}, {"ETHERNET", 143}, {"RAW", 255}, {"MPTCP", 262}};

    return FIND(names, "IPPROTO_", name, ret);
}

bool policy_tcp_state_number(const char *name, uint64_t *ret)
{
    /* net/tcp_states.h */
    static const struct name names[] = {{"ESTABLISHED", 1}, {"SYN_SENT", 2}, {"SYN_RECV", 3},
        {"FIN_WAIT1", 4}, {"FIN_WAIT2", 5}, {"TIME_WAIT", 6}, {"CLOSE", 7}, {"CLOSE_WAIT", 8},
        {"LAST_ACK", 9}, {"LISTEN", 10}, {"CLOSING", 11}, {"NEW_SYN_RECV", 12}};

    return FIND(names, "TCP_", name, ret);
}

bool policy_signal_number(const char *name, int32_t *ret)
{
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (int i = 1; i < SIGRTMIN; i++) {
        const char *abbreviation = sigabbrev_np(i);

        if (abbreviation && strcmp(abbreviation, name) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

bool policy_errno_number(const char *name, int32_t *ret)
{
    for (int i = 1; i <= ERRNO_MAX; i++) {
        const char *known = strerrorname_np(i);

        if (known && strcmp(known, name) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

const char *policy_syscall_base(const char *name)
{
    static const char *const prefixes[] = {"sys_", "__x64_sys_", "__arm64_sys_"};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return name + strlen(prefixes[i]);
    }
    return NULL;
}

bool policy_syscall_number(const char *name, uint64_t *ret)
{
    const char *base = policy_syscall_base(name);

    if (base)
        name = base;
    for (size_t i = 0; i < sizeof(syscall_numbers) / sizeof(syscall_numbers[0]); i++) {
        if (strcmp(syscall_numbers[i].name, name) == 0) {
            *ret = syscall_numbers[i].number;
            return true;
        }
    }
    return false;
}
