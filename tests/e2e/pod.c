/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <mntent.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include "common/cleanup.h"

static char hierarchy[16] = "v2", root[256], top[320];

static bool is_of_hierarchy(const struct mntent *entry)
{
    if (strcmp(hierarchy, "v2") == 0)
        return strcmp(entry->mnt_type, "cgroup2") == 0;
    return strcmp(entry->mnt_type, "cgroup") == 0 && hasmntopt(entry, hierarchy);
}

const char *test_cgroup_root(void)
{
    FILE *mounts;
    struct mntent *entry;

    if (root[0])
        return root;
    mounts = setmntent("/proc/self/mounts", "re");
    if (!mounts)
        return NULL;
    while ((entry = getmntent(mounts))) {
        if (is_of_hierarchy(entry)) {
            (void)snprintf(root, sizeof(root), "%s", entry->mnt_dir);
            break;
        }
    }
    (void)endmntent(mounts);
    return root[0] ? root : NULL;
}

const char *test_cgroup_hierarchy(void)
{
    return hierarchy;
}

bool test_cgroup_use(const char *name)
{
    test_cgroups_end();
    root[0] = top[0] = '\0';
    (void)snprintf(hierarchy, sizeof(hierarchy), "%s", name);
    return test_cgroup_root() != NULL;
}

static const char *own_folder(void)
{
    if (!top[0] && test_cgroup_root()) {
        (void)snprintf(top, sizeof(top), "%s/podkin-e2e-%d.slice", root, (int)getpid());
        (void)mkdir(top, 0755);
    }
    return top;
}

/* mkdir -p below our own folder. */
static int make_folders(const char *path)
{
    char copy[512];

    (void)snprintf(copy, sizeof(copy), "%s", path);
    for (char *at = copy + strlen(own_folder()) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    return mkdir(copy, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static void random_hex(char *ret, size_t digits)
{
    unsigned char bytes[32];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        abort();
    for (size_t i = 0; i < digits; i++)
        ret[i] = "0123456789abcdef"[bytes[i / 2] >> (i % 2 ? 4 : 0) & 15];
    ret[digits] = '\0';
}

static void random_uid(char ret[37])
{
    random_hex(ret, 36);
    ret[8] = ret[13] = ret[18] = ret[23] = '-';
    ret[14] = '4';
    ret[19] = 'a';
}

static void pod_path(char *ret, size_t size, enum pod_shape shape, const char *uid)
{
    char escaped[37];

    (void)snprintf(escaped, sizeof(escaped), "%s", uid);
    for (char *at = escaped; *at; at++) {
        if (*at == '-')
            *at = '_';
    }
    if (shape == POD_SHAPE_CGROUPFS)
        (void)snprintf(ret, size, "%s/kubepods/burstable/pod%s", own_folder(), uid);
    else
        (void)snprintf(ret, size, "%s/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice",
            own_folder(), escaped);
}

static int open_cgroup(struct test_container *c)
{
    struct stat st;
    int r = make_folders(c->path);

    if (r < 0)
        return r;
    c->cgroup_fd = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->cgroup_fd < 0 || fstat(c->cgroup_fd, &st) < 0)
        return -errno;
    c->cgroup_id = st.st_ino;
    return 0;
}

static int container_make(struct test_container *c, enum pod_shape shape, const char *pod, unsigned number)
{
    static const char *const formats[] = {
        [POD_SHAPE_SYSTEMD] = "%s/cri-containerd-%s.scope",
        [POD_SHAPE_CGROUPFS] = "%s/%s",
        [POD_SHAPE_CRIO] = "%s/crio-%s.scope",
    };

    (void)snprintf(c->name, sizeof(c->name), number ? "side%u" : "main", number);
    random_hex(c->id, 64);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(c->scope, sizeof(c->scope), formats[shape], pod, c->id);
#pragma GCC diagnostic pop
    /* crun puts the process one level deeper. */
    (void)snprintf(
        c->path, sizeof(c->path), shape == POD_SHAPE_CRIO ? "%.500s/container" : "%.510s", c->scope);
    return open_cgroup(c);
}

int test_pod_make(
    struct test_pod *ret, enum pod_shape shape, const char *namespace_, const char *app, unsigned containers)
{
    char suffix[6];

    memset(ret, 0, sizeof(*ret));
    random_uid(ret->uid);
    (void)snprintf(ret->namespace_, sizeof(ret->namespace_), "%s", namespace_);
    (void)snprintf(ret->app, sizeof(ret->app), "%s", app);
    (void)snprintf(ret->workload, sizeof(ret->workload), "%s", app);
    /* The letters that Kubernetes gives to generated names. */
    for (size_t i = 0; i < 5; i++)
        suffix[i] = "bcdfghjklmnpqrst"[(unsigned char)ret->uid[i] % 16];
    suffix[5] = '\0';
    (void)snprintf(ret->name, sizeof(ret->name), "%s-7d4b9c5f6d-%s", app, suffix);
    pod_path(ret->path, sizeof(ret->path), shape, ret->uid);
    ret->shape = shape;
    for (unsigned i = 0; i < containers; i++) {
        int r = container_make(&ret->containers[i], shape, ret->path, i);

        if (r < 0)
            return r;
        ret->container_count++;
    }
    return 0;
}

struct test_container *test_pod_add(struct test_pod *pod, enum test_container_kind kind, const char *name)
{
    struct test_container *c = &pod->containers[pod->container_count];

    if (pod->container_count == POD_CONTAINERS_MAX ||
        container_make(c, pod->shape, pod->path, pod->container_count) < 0)
        return NULL;
    (void)snprintf(c->name, sizeof(c->name), "%s", name);
    c->kind = kind;
    pod->container_count++;
    return c;
}

struct test_container *test_pod_restart(struct test_pod *pod, struct test_container *container)
{
    struct test_container *c = test_pod_add(pod, container->kind, container->name);

    if (c) {
        (void)snprintf(c->last_id, sizeof(c->last_id), "%s", container->id);
        container->replaced = true;
    }
    return c;
}

int test_container_below(
    struct test_container *ret, const struct test_container *of, const char *folder, const char *name)
{
    *ret = *of;
    if (snprintf(ret->path, sizeof(ret->path), "%s/%s", folder, name) >= (int)sizeof(ret->path))
        return -ENAMETOOLONG;
    return open_cgroup(ret);
}

int test_cgroup_make(const char *name, char *path, size_t path_size)
{
    int r, fd;

    (void)snprintf(path, path_size, "%s/%s", own_folder(), name);
    r = make_folders(path);
    if (r < 0)
        return r;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* As far as they are of our pid namespace: v1 has no other way. */
static void kill_each(const char *path)
{
    char name[1024];
    CLEANUP_FILE FILE *file = NULL;
    int pid;

    (void)snprintf(name, sizeof(name), "%s/cgroup.procs", path);
    file = fopen(name, "re");
    while (file && fscanf(file, "%d", &pid) == 1) { /* NOLINT(cert-err34-c): the kernel's own numbers */
        if (pid > 1)
            (void)kill(pid, SIGKILL);
    }
}

/* Depth first; a cgroup is busy for a moment after its last process was killed. */
void test_cgroup_remove(const char *path)
{
    char child[1024];
    CLEANUP_DIR DIR *dir = opendir(path);
    struct dirent *entry;
    int fd;

    if (!dir)
        return;
    (void)snprintf(child, sizeof(child), "%s/cgroup.kill", path);
    fd = open(child, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "1", 1);
        (void)close(fd);
    } else {
        kill_each(path);
    }
    while ((entry = readdir(dir))) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        (void)snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        test_cgroup_remove(child);
    }
    for (int tries = 0; rmdir(path) < 0 && errno == EBUSY && tries < 500; tries++)
        (void)usleep(2000);
}

void test_pod_remove(struct test_pod *pod)
{
    for (unsigned i = 0; i < pod->container_count; i++) {
        if (pod->containers[i].cgroup_fd >= 0)
            (void)close(pod->containers[i].cgroup_fd);
        pod->containers[i].cgroup_fd = -1;
    }
    test_cgroup_remove(pod->path);
    pod->container_count = 0;
}

void test_cgroups_end(void)
{
    if (top[0])
        test_cgroup_remove(top);
}

int test_cgroup_join(int cgroup_fd)
{
    CLEANUP_CLOSE int fd = openat(cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

    return fd < 0 || write(fd, "0", 1) != 1 ? -errno : 0;
}

pid_t test_fork_into(int cgroup_fd)
{
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup_fd};

    if (strcmp(hierarchy, "v2") != 0) {
        pid_t pid = fork();

        if (pid == 0 && test_cgroup_join(cgroup_fd) < 0)
            _exit(126);
        return pid;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static void print_container_status(FILE *out, const struct test_container *c, const char *app)
{
    char last[256] = "";

    if (c->last_id[0])
        (void)snprintf(last, sizeof(last),
            "\"terminated\":{\"exitCode\":0,\"containerID\":\"containerd://%s\"}", c->last_id);
    (void)fprintf(out,
        "{\"name\":\"%s\",\"state\":{\"running\":{\"startedAt\":\"2026-11-23T19:12:04Z\"}},\"lastState\":{%s}"
        ","
        "\"ready\":true,\"restartCount\":%d,\"image\":\"registry.example/%s:1.2\",\"imageID\":"
        "\"registry.example/%s@sha256:%s\",\"containerID\":\"containerd://%s\",\"started\":true}",
        c->name, last, c->last_id[0] != 0, app, app, c->id, c->id);
}

static void print_container_spec(FILE *out, const struct test_container *c, const char *app)
{
    (void)fprintf(
        out, "{\"name\":\"%s\",\"image\":\"registry.example/%s:1.2\",\"resources\":{}}", c->name, app);
}

/* `key`: of the list; nothing at all when it would be empty. */
static void print_list(
    FILE *out, const struct test_pod *pod, enum test_container_kind kind, bool status, const char *key)
{
    bool any = false;

    for (unsigned i = 0; i < pod->container_count; i++) {
        const struct test_container *c = &pod->containers[i];

        if (c->kind != kind || c->replaced || (status && c->unlisted))
            continue;
        if (any)
            (void)fputs(",", out);
        else
            (void)fprintf(out, ",\"%s\":[", key);
        any = true;
        if (status)
            print_container_status(out, c, pod->app);
        else
            print_container_spec(out, c, pod->app);
    }
    if (any)
        (void)fputs("]", out);
}

void test_pod_print(FILE *out, const struct test_pod *pod)
{
    (void)fprintf(out,
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"uid\":\"%s\",\"resourceVersion\":\"365\","
        "\"creationTimestamp\":\"2026-11-23T19:12:01Z\",\"labels\":{\"app\":\"%s\",\"pod-template-hash\":"
        "\"7d4b9c5f6d\",\"tier\":\"test\"},\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":"
        "\"ReplicaSet\",\"name\":\"%s-7d4b9c5f6d\",\"uid\":\"0e2e4b2c-6b1f-4f0e-8a53-5f7c6f2d9a10\","
        "\"controller\":true,\"blockOwnerDeletion\":true}]},\"spec\":{\"nodeName\":\"e2e-node\"%s",
        pod->name, pod->namespace_, pod->uid, pod->app, pod->workload,
        pod->host_network ? ",\"hostNetwork\":true" : "");
    print_list(out, pod, TEST_INIT, false, "initContainers");
    print_list(out, pod, TEST_APP, false, "containers");
    print_list(out, pod, TEST_EPHEMERAL, false, "ephemeralContainers");
    (void)fprintf(out,
        ",\"restartPolicy\":\"Always\"},\"status\":{\"phase\":\"%s\",\"qosClass\":"
        "\"Burstable\",\"hostIP\":\"192.0.2.1\",\"podIP\":\"198.51.100.7\"",
        pod->without_status ? "Pending" : "Running");
    if (!pod->without_status) {
        print_list(out, pod, TEST_INIT, true, "initContainerStatuses");
        print_list(out, pod, TEST_APP, true, "containerStatuses");
        print_list(out, pod, TEST_EPHEMERAL, true, "ephemeralContainerStatuses");
    }
    (void)fputs("}}", out);
}

int test_pods_write(const char *path, const struct test_pod *const *pods, size_t count)
{
    char temporary[512];
    FILE *out;

    (void)snprintf(temporary, sizeof(temporary), "%s.new", path);
    out = fopen(temporary, "we");
    if (!out)
        return -errno;
    (void)fputs(
        "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"365\"},\"items\":[",
        out);
    for (size_t i = 0; i < count; i++) {
        (void)fputs(i ? "," : "", out);
        test_pod_print(out, pods[i]);
    }
    (void)fputs("]}\n", out);
    if (fclose(out) != 0 || chmod(temporary, 0644) < 0 || rename(temporary, path) < 0)
        return -errno;
    return 0;
}

static int make_folder(const char *path)
{
    return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int make_log_root(const char *folder)
{
    char path[512];
    int r = make_folder(folder);

    (void)snprintf(path, sizeof(path), "%s/pods", folder);
    if (r == 0)
        r = make_folder(path);
    (void)snprintf(path, sizeof(path), "%s/containers", folder);
    return r == 0 ? make_folder(path) : r;
}

int test_pod_log(const char *folder, const struct test_pod *pod)
{
    const struct test_container *c;
    char target[512], link[512], file[600];
    CLEANUP_CLOSE int fd = -1;
    int r;

    if (!pod)
        return make_log_root(folder);
    c = &pod->containers[0];
    (void)snprintf(target, sizeof(target), "%s/pods/%s_%s_%s", folder, pod->namespace_, pod->name, pod->uid);
    r = make_folder(target);
    if (r < 0)
        return r;
    (void)snprintf(
        target, sizeof(target), "%s/pods/%s_%s_%s/%s", folder, pod->namespace_, pod->name, pod->uid, c->name);
    r = make_folder(target);
    if (r < 0)
        return r;
    (void)snprintf(file, sizeof(file), "%s/0.log", target);
    fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    (void)snprintf(link, sizeof(link), "%s/containers/%s_%s_%s-%s.log", folder, pod->name, pod->namespace_,
        c->name, c->id);
    return fd < 0 || symlink(file, link) < 0 ? -errno : 0;
}
