/* SPDX-License-Identifier: Apache-2.0 */
/* What the probe says when it cannot; what it does when it can is proven in tests/assume. */
#include "collector/probe.h"

#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collector/bpf_message.h"

static int open_probe(struct probe **ret, char error[PROBE_ERROR_MAX])
{
    struct probe_options options = {.epoch_ns = 1, .ring_bytes = 5000};

    return probe_new(ret, &options, error);
}

Test(probe, without_capabilities_new_fails_with_one_line_that_names_them)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    struct probe *probe = NULL;
    char error[PROBE_ERROR_MAX] = "";
    int r;

    if (access("/sys/kernel/btf/vmlinux", R_OK))
        cr_skip_test("needs a kernel with BTF");
    cr_assert_eq(syscall(SYS_capset, &header, none), 0);
    r = open_probe(&probe, error);
    cr_expect(r == -EPERM || r == -EACCES, "%d: %s", r, error);
    cr_expect_null(probe);
    cr_expect_neq(strstr(error, "CAP_BPF and CAP_PERFMON"), NULL, "%s", error);
    cr_expect_null(strchr(error, '\n'));
}

Test(probe, ring_is_rounded_up_to_a_power_of_two)
{
    struct probe *probe = NULL;
    char error[PROBE_ERROR_MAX] = "";
    int r;

    if (geteuid() != 0)
        cr_skip_test("needs root");
    r = open_probe(&probe, error);
    if (r == -EPERM || r == -ENOENT)
        cr_skip_test("needs BPF: %s", error);
    cr_assert_eq(r, 0, "%s", error);
    cr_expect_eq(probe_ring_bytes(probe), 8192);
    cr_expect_eq(probe_used_bytes(probe), 0, "nothing runs before probe_attach()");
    cr_expect_eq(probe_made_count(probe), 0);
    cr_expect_null(probe_free(probe));
    cr_expect_null(probe_free(NULL));
}

/* ---- the line that is made of libbpf's words ----------------------------------------------------------- */

Test(bpf_message, is_the_first_complaint_of_libbpf)
{
    struct bpf_message message;

    bpf_message_begin(&message);
    cr_expect_null(bpf_object__open_file("/does/not/exist.o", NULL));
    bpf_message_end();
    cr_expect_neq(
        strstr(bpf_message_text(&message), "/does/not/exist.o"), NULL, "%s", bpf_message_text(&message));
    cr_expect_null(strchr(bpf_message_text(&message), '\n'));
}
