/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/policy_number.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "common/clock.h"

static enum policy_number_result parse(const char *text, bool is_signed, unsigned bits, uint64_t *ret)
{
    *ret = 0;
    return policy_parse_number(text, strlen(text), is_signed, bits, ret);
}

Test(policy_number, numbers_are_read_in_any_base)
{
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0}, {"00", 0}, {"42", 42}, {"+42", 42}, {"-42", (uint64_t)-42}, {"0x2A", 42},
        {"-0x2a", (uint64_t)-42}, {"0o52", 42}, {"052", 42}, {"0b101010", 42},
        {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", (uint64_t)INT64_MIN}};
    static const char *const bad[] = {"", "-", "+", "0x", "0b", "0o", "x", "1x", "0x1g", "08", "0b2", "1 ",
        " 1", "--1", "1_000", "1.0", "1e3"};
    uint64_t value;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cr_assert_eq(parse(good[i].text, true, 64, &value), POLICY_NUMBER_FINE, "%s", good[i].text);
        cr_assert_eq(value, good[i].value, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(parse(bad[i], true, 64, &value), POLICY_NUMBER_BAD, "%s", bad[i]);
}

Test(policy_number, numbers_fit_into_their_width)
{
    static const struct {
        const char *text;
        bool is_signed;
        unsigned bits;
    } out[] = {{"128", true, 8}, {"-129", true, 8}, {"256", false, 8}, {"-1", false, 8},
        {"2147483648", true, 32}, {"-2147483649", true, 32}, {"4294967296", false, 32},
        {"9223372036854775808", true, 64}, {"-9223372036854775809", true, 64},
        {"18446744073709551616", false, 64}, {"99999999999999999999999999999999", false, 64}};
    uint64_t value;

    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
        cr_assert_eq(parse(out[i].text, out[i].is_signed, out[i].bits, &value), POLICY_NUMBER_OUT_OF_RANGE,
            "%s", out[i].text);
        cr_assert_eq(value, 0, "untouched");
    }
    cr_assert_eq(parse("-128", true, 8, &value), POLICY_NUMBER_FINE);
    cr_assert_eq(parse("-0", false, 8, &value), POLICY_NUMBER_FINE);
    cr_assert_eq(parse("18446744073709551615", false, 64, &value), POLICY_NUMBER_FINE);
}

Test(policy_number, ranges_have_two_ends)
{
    static const char *const bad[] = {":", "1:", ":1", "2:1", "1:2:3", "1-2", "1:x"};
    uint64_t low = 0, high = 0;

    cr_assert_eq(policy_parse_range("-5:-3", true, 32, &low, &high), POLICY_NUMBER_FINE);
    cr_assert_eq(low, (uint64_t)-5);
    cr_assert_eq(high, (uint64_t)-3);
    cr_assert_eq(policy_parse_range("1:18446744073709551615", false, 64, &low, &high), POLICY_NUMBER_FINE);
    cr_assert_eq(high, UINT64_MAX);
    cr_assert_eq(policy_parse_range("1:256", false, 8, &low, &high), POLICY_NUMBER_OUT_OF_RANGE);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(policy_parse_range(bad[i], true, 32, &low, &high), POLICY_NUMBER_BAD, "%s", bad[i]);
}

Test(policy_number, networks_are_addresses_with_a_prefix)
{
    static const char *const bad[] = {"", "/", "/8", "10", "10.0.0", "10.0.0.0/", "10.0.0.0/33",
        "10.0.0.0/-1", "10.0.0.0/+1", "10.0.0.0/8/8", "10.0.0.0 ", "::/129", ":::", "fe80::1%eth0",
        "localhost", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"};
    struct policy_value value = {0};

    cr_assert(policy_parse_network("255.255.255.255/31", &value));
    cr_assert_eq(value.address[3], 254);
    cr_assert(policy_parse_network("::ffff:10.0.0.1", &value));
    cr_assert_eq(value.family, AF_INET6);
    cr_assert_eq(value.prefix_bits, 128);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(policy_parse_network(bad[i], &value), "%s", bad[i]);
}

Test(policy_number, periods_are_more_than_nothing_and_at_most_a_day)
{
    static const char *const bad[] = {"", "0", "0s", "s", "-1s", "1d", "1.5s", "1 s", "86401", "1441m", "25h",
        "99999999999999999999999999s"};
    uint64_t ns = 0;

    cr_assert(policy_parse_period("1ms", &ns));
    cr_assert_eq(ns, NS_PER_MS);
    cr_assert(policy_parse_period("86400", &ns));
    cr_assert_eq(ns, 86400 * NS_PER_SEC);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(policy_parse_period(bad[i], &ns), "%s", bad[i]);
}

Test(policy_number, names_are_found_with_and_without_their_prefix)
{
    uint64_t number = 0;
    unsigned capability = 0;
    int32_t value = 0;

    cr_assert(policy_capability_number("CAP_CHECKPOINT_RESTORE", &capability));
    cr_assert_eq(capability, 40);
    cr_assert(policy_capability_number("net_admin", &capability));
    cr_assert_eq(capability, 12);
    cr_assert(policy_family_number("AF_VSOCK", &number));
    cr_assert_eq(number, AF_VSOCK);
    cr_assert(policy_protocol_number("ICMPv6", &number));
    cr_assert_eq(number, 58);
    cr_assert(policy_tcp_state_number("TCP_NEW_SYN_RECV", &number));
    cr_assert_eq(number, 12);
    cr_assert(policy_signal_number("TERM", &value));
    cr_assert_eq(value, 15);
    cr_assert(policy_errno_number("EPERM", &value));
    cr_assert_eq(value, 1);
    cr_assert(policy_syscall_number("__x64_sys_execve", &number));
    cr_assert_eq(number, SYS_execve);
    cr_assert_not(policy_capability_number("", &capability));
    cr_assert_not(policy_family_number("AF_", &number));
    cr_assert_not(policy_signal_number("SIG", &value));
    cr_assert_not(policy_errno_number("", &value));
    cr_assert_not(policy_syscall_number("sys_", &number));
}
