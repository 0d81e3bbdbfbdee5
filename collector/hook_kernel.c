/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hook_kernel.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/sandbox.h"

/* As process 1 has them; its /proc/1/ns may be closed to us, the iterator is not. Where process 1 is hidden, kthreadd (2) comes first and lives in
 * the same. */
static void read_host_namespaces(struct hook_host *ret, const struct probe *probe)
{
    CLEANUP_CLOSE int fd = probe_open_process_iterator(probe);
    struct record_process process;
    const __u32 *namespaces = &process.ns.uts;

    _Static_assert(sizeof(process.ns) == sizeof(ret->namespaces), "one order");
    if (fd < 0 || read(fd, &process, sizeof(process)) != (ssize_t)sizeof(process) || process.header.tgid > 2)
        return;
    for (size_t i = 0; i < POLICY_NS_COUNT; i++)
        ret->namespaces[i] = namespaces[i];
}

/* "return 0;", put on a function and taken off again. 0 or negative errno. */
static int try_trampoline(
    const struct btf *btf, enum bpf_prog_type type, enum bpf_attach_type attach, const char *function)
{
    const struct bpf_insn program[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0}, {.code = BPF_JMP | BPF_EXIT}};
    struct bpf_prog_load_opts options = {.sz = sizeof(options), .expected_attach_type = attach};
    int id = btf__find_by_name_kind(btf, function, BTF_KIND_FUNC);
    CLEANUP_CLOSE int fd = -1, link = -1;

    if (id < 0)
        return id;
    options.attach_btf_id = (__u32)id;
    fd = bpf_prog_load(type, "podkin_try", "GPL", program, sizeof(program) / sizeof(program[0]), &options);
    if (fd < 0)
        return -errno;
    link = bpf_link_create(fd, 0, attach, NULL);
    return link < 0 ? -errno : 0;
}

/* kprobe.multi: libbpf and the kernel both have to know it, and the kernel needs CONFIG_FPROBE. */
static bool try_multi(void)
{
    const struct bpf_insn program[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0}, {.code = BPF_JMP | BPF_EXIT}};
    struct bpf_prog_load_opts options = {
        .sz = sizeof(options), .expected_attach_type = BPF_TRACE_KPROBE_MULTI};
    const char *name = "bpf_fentry_test1";
    const struct bpf_link_create_opts link_options = {
        .sz = sizeof(link_options), .kprobe_multi = {.cnt = 1, .syms = &name}};
    CLEANUP_CLOSE int fd = bpf_prog_load(
        BPF_PROG_TYPE_KPROBE, "podkin_try", "GPL", program, sizeof(program) / sizeof(program[0]), &options);
    CLEANUP_CLOSE int link = -1;

    if (fd >= 0)
        link = bpf_link_create(fd, 0, BPF_TRACE_KPROBE_MULTI, &link_options);
    return link >= 0;
}

/* A program may be attached to a security hook and never run: only modules of this list do. */
static bool is_lsm_active(void)
{
    CLEANUP_FILE FILE *file = fopen("/sys/kernel/security/lsm", "re");
    char line[512], *rest = line;

    if (!file || !fgets(line, sizeof(line), file))
        return true; /* it cannot be seen from here */
    line[strcspn(line, "\n")] = '\0';
    for (const char *word; (word = strsep(&rest, ","));) {
        if (strcmp(word, "bpf") == 0)
            return true;
    }
    return false;
}

/* Whether a refusal says anything of the kernel. */
static bool may_try(void)
{
    const uint64_t needed = UINT64_C(1) << CAP_BPF | UINT64_C(1) << CAP_PERFMON, all = UINT64_C(1)
                                                                                       << CAP_SYS_ADMIN;
    uint64_t have = sandbox_get_capabilities();

    return (have & needed) == needed || (have & all);
}

static void try_lsm(struct hook_kernel *kernel)
{
    int r = try_trampoline(kernel->btf, BPF_PROG_TYPE_LSM, BPF_LSM_MAC, "bpf_lsm_settime");

    kernel->has_lsm = r == 0 || kernel->is_guessed;
    if (!kernel->has_lsm)
        (void)snprintf(kernel->lsm_reason, sizeof(kernel->lsm_reason),
            "no program can be attached: %s; CONFIG_BPF_LSM is needed", strerror(-r));
    if (kernel->has_lsm && !is_lsm_active()) {
        kernel->has_lsm = false;
        (void)snprintf(kernel->lsm_reason, sizeof(kernel->lsm_reason),
            "bpf is not among the active security modules; lsm=…,bpf is needed on the kernel's command line");
    }
}

/* Debian's kernel.perf_event_paranoid of 3 wants CAP_SYS_ADMIN for it. */
static bool try_perf(void)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_DUMMY};
    CLEANUP_CLOSE int fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);

    return fd >= 0;
}

static const char *find_tracefs(void)
{
    if (access("/sys/kernel/tracing/events", X_OK) == 0)
        return "/sys/kernel/tracing";
    return access("/sys/kernel/debug/tracing/events", X_OK) == 0 ? "/sys/kernel/debug/tracing" : "";
}

int hook_kernel_init(struct hook_kernel *ret, const struct probe *probe, char error[HOOK_ERROR_MAX])
{
    int r;

    *ret = (struct hook_kernel){.btf = btf__load_vmlinux_btf(), .tracefs = find_tracefs()};
    if (!ret->btf) {
        r = -errno;
        (void)snprintf(error, HOOK_ERROR_MAX, "the kernel's BTF: %s", strerror(-r));
        return r;
    }
    r = try_trampoline(ret->btf, BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, "bpf_fentry_test1");
    ret->is_guessed = !may_try();
    ret->has_fentry = r == 0 || ret->is_guessed;
    ret->has_perf = try_perf();
    ret->has_kprobe = access("/sys/bus/event_source/devices/kprobe/type", R_OK) == 0;
    ret->has_multi = try_multi();
    ret->has_uprobe = access("/sys/bus/event_source/devices/uprobe/type", R_OK) == 0;
    try_lsm(ret);
    if (probe)
        read_host_namespaces(&ret->host, probe);
    return 0;
}

void hook_kernel_deinit(struct hook_kernel *kernel)
{
    btf__free(kernel->btf);
    *kernel = (struct hook_kernel){0};
}
