/* SPDX-License-Identifier: Apache-2.0 */
/* Every program of the policy hooks passes this kernel's verifier; what a kernel does not have is no failure of theirs. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <bpf/libbpf.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "collector/bpf_message.h"
#include "bpf/cpu_state.h"
#include "hook.skel.h"

struct program_case {
    char name[32], target[32];
    bool has_cookie; /* the kernel hands one to this kind */
};

static bool raw_tp_has_cookie(void)
{
    struct utsname name;
    int major = 0, minor = 0;

    (void)uname(&name);
    (void)sscanf(name.release, "%d.%d", &major, &minor);
    return major > 6 || (major == 6 && minor >= 10);
}

ParameterizedTestParameters(hook_programs, the_verifier_takes_it)
{
    static struct program_case cases[] = {
        {"hook_raw_tp", "", false},
        {"hook_raw_syscall", "", false},
        {"hook_tracepoint", "", true},
        {"hook_kprobe", "", true},
        {"hook_kprobe_call", "", true},
        {"hook_kprobe_return", "", true},
        {"hook_multi", "", true},
        {"hook_multi_call", "", true},
        {"hook_multi_return", "", true},
        {"hook_fentry", "do_filp_open", false},
        {"hook_fexit", "do_filp_open", false},
        {"hook_fmod_ret", "security_file_open", false},
        {"hook_lsm", "file_open", false},
        {"hook_on_fork", "", true},
        {"hook_on_exec", "", true},
        {"hook_on_task", "", true},
    };

    return cr_make_param_array(struct program_case, cases, sizeof(cases) / sizeof(cases[0]));
}

static void load(const struct program_case *c, bool by_cookie)
{
    struct hook_bpf *skeleton = hook_bpf__open();
    struct bpf_program *program;
    struct bpf_message message;
    struct bpf_prog_info info = {0};
    __u32 info_size = sizeof(info);
    int r;

    cr_assert(skeleton);
    bpf_object__for_each_program(program, skeleton->obj)(void) bpf_program__set_autoload(program, false);
    program = bpf_object__find_program_by_name(skeleton->obj, c->name);
    cr_assert(program);
    (void)bpf_program__set_autoload(program, true);
    skeleton->rodata->hook_cookie = by_cookie ? 0 : 1;
    bpf_message_begin(&message);
    r = c->target[0] ? bpf_program__set_attach_target(program, 0, c->target) : 0;
    if (!r)
        r = hook_bpf__load(skeleton);
    bpf_message_end();
    if (r == -EPERM && c->target[0])
        cr_skip_test("%s: this kernel permits no trampolines", c->name);
    cr_assert_eq(r, 0, "%s: %s: %s", c->name, strerror(-r), bpf_message_text(&message));
    cr_assert_eq(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &info_size), 0);
    cr_expect_leq(info.xlated_prog_len, 48 * 1024, "%s: %u bytes", c->name, info.xlated_prog_len);
    cr_log_info("%s: %u bytes, jited %u, %u instructions verified", c->name, info.xlated_prog_len,
        info.jited_prog_len, info.verified_insns);
    hook_bpf__destroy(skeleton);
}

ParameterizedTest(struct program_case *c, hook_programs, the_verifier_takes_it)
{
    if (geteuid() != 0)
        cr_skip_test("needs root");
    load(c, c->has_cookie || (strncmp(c->name, "hook_raw", 8) == 0 && raw_tp_has_cookie()));
    if (!c->has_cookie)
        load(c, false);
}
