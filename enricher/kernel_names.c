/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/kernel_names.h"

#define NAME_OF(table, number) ((number) < sizeof(table) / sizeof((table)[0]) ? (table)[number] : NULL)

static const char *const families[] = {"AF_UNSPEC", "AF_UNIX", "AF_INET", "AF_AX25", "AF_IPX", "AF_APPLETALK",
    "AF_NETROM", "AF_BRIDGE", "AF_ATMPVC", "AF_X25", "AF_INET6", "AF_ROSE", "AF_DECnet", "AF_NETBEUI",
    "AF_SECURITY", "AF_KEY", "AF_NETLINK", "AF_PACKET", "AF_ASH", "AF_ECONET", "AF_ATMSVC", "AF_RDS",
    "AF_SNA", "AF_IRDA", "AF_PPPOX", "AF_WANPIPE", "AF_LLC", "AF_IB", "AF_MPLS", "AF_CAN", "AF_TIPC",
    "AF_BLUETOOTH", "AF_IUCV", "AF_RXRPC", "AF_ISDN", "AF_PHONET", "AF_IEEE802154", "AF_CAIF", "AF_ALG",
    "AF_NFC", "AF_VSOCK", "AF_KCM", "AF_QIPCRTR", "AF_SMC", "AF_XDP", "AF_MCTP"};

static const char *const socket_types[] = {[1] = "SOCK_STREAM",
    [2] = "SOCK_DGRAM",
    [3] = "SOCK_RAW",
    [4] = "SOCK_RDM",
    [5] = "SOCK_SEQPACKET",
    [6] = "SOCK_DCCP",
    [10] = "SOCK_PACKET"};

static const char *const protocols[] = {[0] = "IPPROTO_IP",
    [1] = "IPPROTO_ICMP",
    [2] = "IPPROTO_IGMP",
    [4] = "IPPROTO_IPIP",
    [6] = "IPPROTO_TCP",
    [8] = "IPPROTO_EGP",
    [12] = "IPPROTO_PUP",
    [17] = "IPPROTO_UDP",
    [22] = "IPPROTO_IDP",
    [29] = "IPPROTO_TP",
    [33] = "IPPROTO_DCCP",
    [41] = "IPPROTO_IPV6",
    [46] = "IPPROTO_RSVP",
    [47] = "IPPROTO_GRE",
    [50] = "IPPROTO_ESP",
    [51] = "IPPROTO_AH",
    [58] = "IPPROTO_ICMPV6",
    [92] = "IPPROTO_MTP",
    [94] = "IPPROTO_BEETPH",
    [98] = "IPPROTO_ENCAP",
    [103] = "IPPROTO_PIM",
    [108] = "IPPROTO_COMP",
    [115] = "IPPROTO_L2TP",
    [132] = "IPPROTO_SCTP",
    [136] = "IPPROTO_UDPLITE",
    [137] = "IPPROTO_MPLS",
    [143] = "IPPROTO_ETHERNET",
    [255] = "IPPROTO_RAW",
    [262] = "IPPROTO_MPTCP"};

static const char *const tcp_states[] = {NULL, "TCP_ESTABLISHED", "TCP_SYN_SENT", "TCP_SYN_RECV",
    "TCP_FIN_WAIT1", "TCP_FIN_WAIT2", "TCP_TIME_WAIT", "TCP_CLOSE", "TCP_CLOSE_WAIT", "TCP_LAST_ACK",
    "TCP_LISTEN", "TCP_CLOSING", "TCP_NEW_SYN_RECV"};

static const char *const capabilities[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
    "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON",
    "CAP_BPF", "CAP_CHECKPOINT_RESTORE"};

static const char *const signals[] = {NULL, "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT",
    "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM",
    "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU",
    "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS"};

const char *kernel_family_name(unsigned family)
{
    return NAME_OF(families, family);
}

const char *kernel_socket_type_name(unsigned type)
{
    return NAME_OF(socket_types, type);
}

const char *kernel_protocol_name(unsigned protocol)
{
    return NAME_OF(protocols, protocol);
}

const char *kernel_tcp_state_name(unsigned state)
{
    return NAME_OF(tcp_states, state);
}

const char *kernel_capability_name(unsigned number)
{
    return NAME_OF(capabilities, number);
}

const char *kernel_capability_set_name(unsigned number)
{
    return number == 1 ? "DAC_OVERRIDE" : kernel_capability_name(number);
}

const char *kernel_signal_name(unsigned number)
{
    return NAME_OF(signals, number);
}
