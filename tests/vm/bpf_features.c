/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the running kernel lets this process do with BPF: a line for each kind of hook and each helper, "NAME ok", or where it ended and why: "load EACCES",
 * "attach EOPNOTSUPP", "silent" (attached, but did not run or did not do its work). Each program is really loaded, attached and triggered.
 */
#include "tests/vm/bpf_features.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <bpf_features.skel.h>
#include "common/cleanup.h"

static char dir[64];

__attribute__((noinline)) int feature_uprobe_target(int number);

int feature_uprobe_target(int number)
{
    __asm__ volatile("" : "+r"(number));
    return number;
}

/* Everything that any of the programs waits for; the result of mkdirat. */
static int trigger(void)
{
    char path[128];
    int fd, r;

    (void)snprintf(path, sizeof(path), "%s/file", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd);
    (void)feature_uprobe_target(1);
    (void)snprintf(path, sizeof(path), "%s/folder", dir);
    r = syscall(SYS_mkdirat, AT_FDCWD, path, 0700) < 0 ? -errno : 0;
    (void)rmdir(path);
    return r;
}

/* ---- how a kind is attached ----------------------------------------------------------------------------- */

static struct bpf_link *attach_plain(const struct bpf_program *program)
{
    return bpf_program__attach(program);
}

static struct bpf_link *attach_multi(const struct bpf_program *program)
{
    const char *symbols[] = {"security_inode_mkdir", "security_inode_rmdir"};
    LIBBPF_OPTS(bpf_kprobe_multi_opts, options, .syms = symbols, .cnt = 2);

    return bpf_program__attach_kprobe_multi_opts(program, NULL, &options);
}

static struct bpf_link *attach_pattern(const struct bpf_program *program)
{
    return bpf_program__attach_kprobe_multi_opts(program, "security_inode_mkdi*", NULL);
}

static struct bpf_link *attach_to_own_function(const struct bpf_program *program, bool at_return)
{
    LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = at_return, .func_name = "feature_uprobe_target");

    return bpf_program__attach_uprobe_opts(program, getpid(), "/proc/self/exe", 0, &options);
}

static struct bpf_link *attach_uprobe(const struct bpf_program *program)
{
    return attach_to_own_function(program, false);
}

static struct bpf_link *attach_uretprobe(const struct bpf_program *program)
{
    return attach_to_own_function(program, true);
}

static struct bpf_link *attach_iterator(const struct bpf_program *program)
{
    return bpf_program__attach_iter(program, NULL);
}

static struct bpf_link *attach_cgroup_iterator(const struct bpf_program *program)
{
    CLEANUP_CLOSE int fd = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    union bpf_iter_link_info info = {
        .cgroup = {.order = BPF_CGROUP_ITER_DESCENDANTS_PRE, .cgroup_fd = (__u32)fd}};
    LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));

    return bpf_program__attach_iter(program, &options);
}

/* ---- what must have happened ---------------------------------------------------------------------------- */

static bool has_hits(struct features_bpf *bpf, int result)
{
    return bpf->bss->state.hits > 0 && result == 0;
}

static bool is_denied(struct features_bpf *bpf, int result)
{
    return bpf->bss->state.hits > 0 && result == -EPERM;
}

static int on_record(void *arg, void *data, size_t size)
{
    if (size >= sizeof(__u64) && *(const __u64 *)data == (__u64)SYS_mkdirat)
        ++*(unsigned *)arg;
    return 0;
}

static bool has_record(struct features_bpf *bpf, int result)
{
    unsigned records = 0;
    struct ring_buffer *ring =
        ring_buffer__new(bpf_map__fd(bpf->maps.feature_ring), on_record, &records, NULL);

    if (ring)
        (void)ring_buffer__consume(ring);
    ring_buffer__free(ring);
    return has_hits(bpf, result) && records == bpf->bss->state.hits;
}

static bool has_path(struct features_bpf *bpf, int result)
{
    char wanted[128];

    (void)snprintf(wanted, sizeof(wanted), "%s/file", dir);
    return has_hits(bpf, result) && strcmp(bpf->bss->state.path, wanted) == 0;
}

static bool has_value(struct features_bpf *bpf, int result)
{
    return has_hits(bpf, result) && bpf->bss->state.value > 0;
}

static bool has_signal(struct features_bpf *bpf, int result)
{
    struct timespec second = {.tv_sec = 1};
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    return has_hits(bpf, result) && bpf->bss->state.value == 0 &&
           sigtimedwait(&set, NULL, &second) == SIGUSR1;
}

/* ---- the table ------------------------------------------------------------------------------------------ */

struct feature {
    const char *name, *program;
    struct bpf_link *(*attach)(const struct bpf_program *program);
    bool (*happened)(struct features_bpf *bpf, int result);
    bool deny;
};

static const struct feature features[] = {
    {"kprobe", "on_kprobe", attach_plain, has_hits, false},
    {"kretprobe", "on_kretprobe", attach_plain, has_hits, false},
    {"kprobe_multi", "on_kprobe_multi", attach_multi, has_hits, false},
    {"kprobe_multi_pattern", "on_kprobe_multi", attach_pattern, has_hits, false},
    {"fentry", "on_fentry", attach_plain, has_hits, false},
    {"fexit", "on_fexit", attach_plain, has_hits, false},
    {"fmod_ret", "on_fmod_ret", attach_plain, has_hits, false},
    {"fmod_ret_deny", "on_fmod_ret", attach_plain, is_denied, true},
    {"lsm", "on_lsm", attach_plain, has_hits, false},
    {"lsm_deny", "on_lsm", attach_plain, is_denied, true},
    {"lsm_sleepable", "on_lsm_sleepable", attach_plain, has_hits, false},
    {"tp", "on_tp", attach_plain, has_hits, false},
    {"raw_tp", "on_raw_tp", attach_plain, has_hits, false},
    {"tp_btf", "on_tp_btf", attach_plain, has_hits, false},
    {"uprobe", "on_uprobe", attach_uprobe, has_hits, false},
    {"uretprobe", "on_uretprobe", attach_uretprobe, has_hits, false},
    {"iter_task", "on_iter_task", attach_iterator, has_hits, false},
    {"iter_task_sleepable", "on_iter_task_sleepable", attach_iterator, has_hits, false},
    {"iter_cgroup", "on_iter_cgroup", attach_cgroup_iterator, has_hits, false},
    {"ring_buffer", "on_ring_buffer", attach_plain, has_record, false},
    {"task_storage", "on_task_storage", attach_plain, has_value, false},
    {"d_path", "on_d_path", attach_plain, has_path, false},
    {"stack", "on_stack", attach_plain, has_value, false},
    {"send_signal", "on_send_signal", attach_plain, has_signal, false},
};

/* An iterator runs when it is read. */
static int read_iterator(struct bpf_link *link)
{
    CLEANUP_CLOSE int fd = bpf_iter_create(bpf_link__fd(link));
    char buffer[256];
    ssize_t n;

    if (fd < 0)
        return -errno;
    while ((n = read(fd, buffer, sizeof(buffer))) > 0)
        ;
    return n < 0 ? -errno : 0;
}

static struct features_bpf *open_only(const struct feature *feature)
{
    struct features_bpf *bpf = features_bpf__open();
    struct bpf_program *program;

    if (!bpf)
        return NULL;
    bpf_object__for_each_program(program, bpf->obj)
    {
        (void)bpf_program__set_autoload(program, strcmp(bpf_program__name(program), feature->program) == 0);
    }
    bpf->rodata->own_tgid = (__u32)getpid();
    bpf->rodata->wanted_syscall = SYS_mkdirat;
    bpf->rodata->deny = feature->deny;
    return bpf;
}

/* "load", "attach" or NULL: where it ended; then errno says why. Else *ret_happened. */
static const char *try_loaded(struct features_bpf *bpf, const struct feature *feature, bool *ret_happened)
{
    struct bpf_link *link;
    int r = features_bpf__load(bpf);

    if (r < 0) {
        errno = -r;
        return "load";
    }
    link = feature->attach(bpf_object__find_program_by_name(bpf->obj, feature->program));
    if (!link)
        return "attach";
    if (feature->attach == attach_iterator || feature->attach == attach_cgroup_iterator)
        r = read_iterator(link);
    else
        r = trigger();
    *ret_happened = feature->happened(bpf, r);
    (void)bpf_link__destroy(link);
    return NULL;
}

static void try(const struct feature *feature)
{
    struct features_bpf *bpf = open_only(feature);
    bool happened = false;
    const char *failed = bpf ? try_loaded(bpf, feature, &happened) : "open";

    if (failed)
        printf("%s\t%s %s\n", feature->name, failed, strerrorname_np(errno));
    else
        printf("%s\t%s\n", feature->name, happened ? "ok" : "silent");
    (void)fflush(stdout);
    features_bpf__destroy(bpf);
}

__attribute__((format(printf, 2, 0))) static int print_to_stderr(
    enum libbpf_print_level level, const char *format, va_list ap)
{
    return level == LIBBPF_WARN ? vfprintf(stderr, format, ap) : 0;
}

int main(void)
{
    char file[80];
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    libbpf_set_print(print_to_stderr);
    (void)snprintf(dir, sizeof(dir), "/tmp/podkin-features.XXXXXX");
    if (!mkdtemp(dir)) {
        perror(dir);
        return 1;
    }
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
        try(&features[i]);
    (void)snprintf(file, sizeof(file), "%s/file", dir);
    (void)unlink(file);
    (void)rmdir(dir);
    return 0;
}
