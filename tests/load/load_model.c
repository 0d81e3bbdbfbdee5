/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/load_model.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define CPUS       4
#define PID_FIRST  1000
#define PID_MAX    4194304 /* as the kernel's largest pid_max */
#define DEPTH_MAX  8
#define HOOK_ID    1
#define ROOT_GROUP 1
#define INIT       ((struct life){1, 1})
#define GONE_MAX   1024
#define GONE_NS    (10 * NS_PER_SEC) /* so long a Pod that has gone is told of, as one that terminates is */

struct life {
    uint32_t tgid;
    uint64_t start_ns;
};

struct container {
    uint64_t cgroup_id;
    char id[65];
    struct life main;
    struct life *workers; /* a ring of as many as the configuration says */
    uint64_t oldest;
    struct life deep[DEPTH_MAX];
    unsigned depth;
    bool rising; /* the chain grows until it is DEPTH_MAX deep, then falls */
};

struct pod {
    char uid[37];
    uint64_t number; /* counts all that there ever were */
    struct container *containers;
};

enum scenario { SPAWN, WORKER, DEEP, HOOK, SCENARIOS };

/* What is under way: a scenario is told to its end before the next begins. */
struct course {
    enum scenario scenario;
    struct container *container;
    struct life child;
    unsigned step;
};

struct gone {
    char *text;
    uint64_t time_ns;
};

struct load_model {
    const struct load_conf *conf;
    struct gone gone[GONE_MAX]; /* a ring: the latest at gone_count - 1 */
    uint64_t gone_count;
    struct pod *pods;
    struct course course;
    bool has_course;
    bool in_snapshot; /* whose records take no CPU's numbers */
    uint64_t random, next_pod, next_cgroup, alive, boot_ns;
    uint64_t seq[CPUS];
    uint32_t next_pid;
    uint64_t weights[SCENARIOS];
    _Alignas(RECORD_ALIGN) uint8_t buffer[RECORD_SIZE_MAX];
};

/* ---- chance ------------------------------------------------------------------------------------------------------- */

/* xorshift64*: S. Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016. */
static uint64_t next_random(struct load_model *m)
{
    m->random ^= m->random >> 12;
    m->random ^= m->random << 25;
    m->random ^= m->random >> 27;
    return m->random * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t below(struct load_model *m, uint64_t limit)
{
    return (next_random(m) >> 16) % limit;
}

static void fill_hex(struct load_model *m, char *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = "0123456789abcdef"[below(m, 16)];
    to[size] = '\0';
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

static struct record_header *begin(struct load_model *m, enum record_type type, size_t size, struct life life,
    uint64_t cgroup_id, uint64_t time_ns)
{
    struct record_header *header = (void *)m->buffer;
    unsigned cpu = life.tgid % CPUS;

    memset(m->buffer, 0, size);
    *header = (struct record_header){.size = (__u32)size,
        .type = (__u8)type,
        .version = RECORD_VERSION,
        .cpu = m->in_snapshot ? RECORD_CPU_COLLECTOR : (__u16)cpu,
        .seq = m->in_snapshot ? 0 : m->boot_ns + m->seq[cpu]++,
        .time_ns = time_ns,
        .cgroup_id = cgroup_id,
        .start_ns = life.start_ns,
        .tgid = life.tgid,
        .tid = life.tgid};
    return header;
}

/* Behind what is there, at a multiple of RECORD_ALIGN; the gap is zero. */
static struct record_ref append(struct load_model *m, const void *data, size_t size)
{
    struct record_header *header = (void *)m->buffer;
    struct record_ref ref = {(__u16)header->size, (__u16)size};
    size_t padded = (size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;

    memset(m->buffer + header->size, 0, padded);
    memcpy(m->buffer + header->size, data, size);
    header->size += (__u32)padded;
    return ref;
}

static struct record_ref append_text(struct load_model *m, const char *text)
{
    return append(m, text, strlen(text));
}

static const struct record_header *make_fork(
    struct load_model *m, struct life child, struct life parent, uint64_t cgroup_id, uint64_t time_ns)
{
    struct record_fork *r = (void *)begin(m, RECORD_FORK, sizeof(*r), child, cgroup_id, time_ns);

    r->parent_start_ns = parent.start_ns;
    r->parent_cgroup_id = cgroup_id;
    r->parent_tgid = r->parent_tid = r->real_parent_tgid = parent.tgid;
    r->ns_pid = child.tgid % 30000;
    memcpy(r->comm, "worker", 6);
    m->alive++;
    return &r->header;
}

/* An image of about the size that a real one has: 30 bytes of path, 70 of arguments. */
static const struct record_header *make_image(struct load_model *m, enum record_type type, struct life life,
    struct life parent, const struct container *container, const char *binary, uint64_t time_ns)
{
    uint64_t cgroup_id = container ? container->cgroup_id : ROOT_GROUP;
    struct record_process *r = (void *)begin(m, type, sizeof(*r), life, cgroup_id, time_ns);
    char path[64], args[160];
    int size;

    r->image_start_ns = type == RECORD_EXEC ? time_ns : life.start_ns;
    r->parent_tgid = parent.tgid;
    r->parent_start_ns = parent.start_ns;
    r->ns_pid = life.tgid % 30000;
    r->uid = r->euid = r->suid = r->fsuid = r->gid = r->egid = r->sgid = r->fsgid = 1000;
    r->auid = ~0u;
    r->binary_ino = 4711;
    r->binary_mnt_ns = r->ns.mnt =
        container ? 4026532000u + (uint32_t)(container->cgroup_id & 0xffff) : 4026531840u;
    r->flags = RECORD_PROCESS_IN_INIT_TREE;
    memcpy(r->comm, "tool", 4);
    (void)snprintf(path, sizeof(path), "/usr/local/bin/%s-%u", binary, life.tgid % 50);
    size = snprintf(args, sizeof(args), "%s%c--config%c/etc/%s/%s.conf%c--request-id%c%016llx", binary, 0, 0,
        binary, binary, 0, 0, (unsigned long long)(life.start_ns * UINT64_C(0x9e3779b97f4a7c15)));
    r->filename = append_text(m, path);
    r->args = append(m, args, (size_t)size);
    r->cwd = append_text(m, "/srv/application");
    return &r->header;
}

static const struct record_header *make_exit(
    struct load_model *m, struct life life, uint64_t cgroup_id, uint64_t time_ns)
{
    struct record_exit *r = (void *)begin(m, RECORD_EXIT, sizeof(*r), life, cgroup_id, time_ns);

    r->wait_status = below(m, 20) == 0 ? 1 << 8 : 0;
    r->ns_pid = life.tgid % 30000;
    memcpy(r->comm, "tool", 4);
    m->alive--;
    return &r->header;
}

static const struct record_header *make_group(struct load_model *m, enum record_type type,
    const struct pod *pod, const struct container *container, uint64_t time_ns)
{
    struct record_cgroup *r = (void *)begin(
        m, type, sizeof(*r), (struct life){0, 0}, container ? container->cgroup_id : ROOT_GROUP, time_ns);
    char path[256] = "/", uid[37];

    if (container) {
        for (size_t i = 0; i < sizeof(uid); i++)
            uid[i] = (char)(pod->uid[i] == '-' ? '_' : pod->uid[i]);
        (void)snprintf(path, sizeof(path),
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice/cri-containerd-%s.scope",
            uid, container->id);
    }
    r->level = container ? 4 : 0;
    r->path = append_text(m, path);
    return &r->header;
}

static const struct record_header *make_policy(struct load_model *m, uint64_t time_ns)
{
    struct record_policy *r = (void *)begin(m, RECORD_POLICY, sizeof(*r), (struct life){0, 0}, 0, time_ns);

    r->hook_id = HOOK_ID;
    r->kind = RECORD_HOOK_KPROBE;
    r->name = append_text(m, "file-access");
    r->function = append_text(m, "security_file_permission");
    return &r->header;
}

static const struct record_header *make_hook(
    struct load_model *m, struct life life, uint64_t cgroup_id, uint64_t time_ns)
{
    struct record_hook *r = (void *)begin(m, RECORD_HOOK, sizeof(*r), life, cgroup_id, time_ns);
    struct {
        struct record_arg_path head;
        char path[64];
    } file = {.head = {.mode = 0100644, .fd = -1}};
    uint64_t mask = 4;
    int size = snprintf(
        file.path, sizeof(file.path), "/var/www/html/page-%llu.html", (unsigned long long)below(m, 1000));

    r->hook_id = HOOK_ID;
    r->args[0].type = RECORD_ARG_FILE;
    r->args[0].value = append(m, &file, sizeof(file.head) + (size_t)size);
    r->args[1].type = RECORD_ARG_INT;
    r->args[1].value = append(m, &mask, sizeof(mask));
    return &r->header;
}

/* ---- the node ----------------------------------------------------------------------------------------------------- */

static struct life new_life(struct load_model *m, uint64_t start_ns)
{
    if (++m->next_pid >= PID_MAX)
        m->next_pid = PID_FIRST;
    return (struct life){m->next_pid, start_ns};
}

static void name_pod(struct load_model *m, struct pod *pod)
{
    char hex[33];

    fill_hex(m, hex, 32);
    (void)snprintf(pod->uid, sizeof(pod->uid), "%.8s-%.4s-4%.3s-8%.3s-%.12s", hex, hex + 8, hex + 13,
        hex + 17, hex + 20);
    pod->number = m->next_pod++;
    for (uint64_t i = 0; i < m->conf->containers; i++) {
        struct container *container = &pod->containers[i];

        container->cgroup_id = m->next_cgroup++;
        fill_hex(m, container->id, 64);
        container->oldest = 0;
        container->depth = 0;
        container->rising = true;
    }
}

static int make_pod(struct load_model *m, struct pod *pod)
{
    uint64_t workers = m->conf->processes - 1;

    pod->containers = calloc(m->conf->containers, sizeof(*pod->containers));
    if (!pod->containers)
        return -ENOMEM;
    for (uint64_t i = 0; i < m->conf->containers; i++) {
        pod->containers[i].workers = calloc(workers + 1, sizeof(struct life));
        if (!pod->containers[i].workers)
            return -ENOMEM;
    }
    name_pod(m, pod);
    for (uint64_t i = 0; i < m->conf->containers; i++) {
        struct container *container = &pod->containers[i];

        container->main = new_life(m, m->boot_ns);
        for (uint64_t k = 0; k < workers; k++)
            container->workers[k] = new_life(m, m->boot_ns + 1 + k);
        m->alive += 1 + workers;
    }
    return 0;
}

int load_model_new(struct load_model **ret, const struct load_conf *conf, uint64_t boot_ns)
{
    struct load_model *m = calloc(1, sizeof(*m));
    int r = m ? 0 : -ENOMEM;

    if (!m)
        return r;
    m->conf = conf;
    m->random = conf->seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    m->boot_ns = boot_ns;
    m->next_pid = PID_FIRST;
    m->next_cgroup = 100;
    m->weights[SPAWN] = conf->weight_spawn;
    m->weights[WORKER] = conf->processes > 1 ? conf->weight_worker : 0;
    m->weights[DEEP] = conf->weight_deep;
    m->weights[HOOK] = conf->weight_hook;
    m->pods = calloc(conf->pods, sizeof(*m->pods));
    r = m->pods ? 0 : -ENOMEM;
    for (uint64_t i = 0; r == 0 && i < conf->pods; i++)
        r = make_pod(m, &m->pods[i]);
    if (r < 0) {
        load_model_free(m);
        return r;
    }
    *ret = m;
    return 0;
}

struct load_model *load_model_free(struct load_model *m)
{
    if (!m)
        return NULL;
    for (uint64_t i = 0; m->pods && i < m->conf->pods; i++) {
        for (uint64_t k = 0; m->pods[i].containers && k < m->conf->containers; k++)
            free(m->pods[i].containers[k].workers);
        free(m->pods[i].containers);
    }
    for (size_t i = 0; i < GONE_MAX; i++)
        free(m->gone[i].text);
    free(m->pods);
    free(m);
    return NULL;
}

uint64_t load_model_process_count(const struct load_model *m)
{
    return m->alive;
}

/* ---- the snapshot ------------------------------------------------------------------------------------------------- */

struct told {
    load_model_fn *fn;
    void *arg;
    int r;
};

static void tell(struct told *told, const struct record_header *record)
{
    if (told->r == 0)
        told->r = told->fn(record, record->size, told->arg);
}

static void tell_container(struct load_model *m, struct told *told, const struct pod *pod,
    const struct container *container, uint64_t now_ns, uint32_t *processes)
{
    tell(told, make_group(m, RECORD_SNAPSHOT_CGROUP, pod, container, now_ns));
    tell(told, make_image(m, RECORD_SNAPSHOT_PROCESS, container->main, INIT, container, "server", now_ns));
    for (uint64_t i = 0; i + 1 < m->conf->processes; i++)
        tell(told, make_image(m, RECORD_SNAPSHOT_PROCESS, container->workers[i], container->main, container,
                       "server", now_ns));
    for (unsigned i = 0; i < container->depth; i++)
        tell(told, make_image(m, RECORD_SNAPSHOT_PROCESS, container->deep[i], container->main, container,
                       "step", now_ns));
    *processes += (uint32_t)m->conf->processes + container->depth;
}

int load_model_snapshot(struct load_model *m, uint64_t now_ns, load_model_fn *fn, void *arg)
{
    struct told told = {fn, arg, 0};
    struct record_snapshot_end *end;
    uint32_t processes = 1;

    m->in_snapshot = true;
    tell(&told, make_policy(m, now_ns));
    tell(&told, make_group(m, RECORD_SNAPSHOT_CGROUP, NULL, NULL, now_ns));
    tell(&told, make_image(m, RECORD_SNAPSHOT_PROCESS, INIT, (struct life){0, 0}, NULL, "init", now_ns));
    for (uint64_t i = 0; i < m->conf->pods; i++) {
        for (uint64_t k = 0; k < m->conf->containers; k++)
            tell_container(m, &told, &m->pods[i], &m->pods[i].containers[k], now_ns, &processes);
    }
    end = (void *)begin(m, RECORD_SNAPSHOT_END, sizeof(*end), (struct life){0, 0}, 0, now_ns);
    end->process_count = processes;
    end->cgroup_count = (uint32_t)(1 + m->conf->pods * m->conf->containers);
    tell(&told, &end->header);
    m->in_snapshot = false;
    return told.r;
}

/* ---- what happens ------------------------------------------------------------------------------------------------- */

static enum scenario choose(struct load_model *m)
{
    uint64_t sum = 0, at;
    unsigned i;

    for (i = 0; i < SCENARIOS; i++)
        sum += m->weights[i];
    if (sum == 0)
        return SPAWN;
    at = below(m, sum);
    for (i = 0; at >= m->weights[i]; i++)
        at -= m->weights[i];
    return (enum scenario)i;
}

static void begin_course(struct load_model *m, uint64_t time_ns)
{
    struct pod *pod = &m->pods[below(m, m->conf->pods)];

    m->course =
        (struct course){.scenario = choose(m), .container = &pod->containers[below(m, m->conf->containers)]};
    m->course.child = new_life(m, time_ns);
    m->has_course = true;
}

static const struct record_header *go_spawn(struct load_model *m, struct course *c, uint64_t time_ns)
{
    switch (c->step) {
    case 0:
        return make_fork(m, c->child, c->container->main, c->container->cgroup_id, time_ns);
    case 1:
        return make_image(m, RECORD_EXEC, c->child, c->container->main, c->container, "job", time_ns);
    default:
        m->has_course = false;
        return make_exit(m, c->child, c->container->cgroup_id, time_ns);
    }
}

static const struct record_header *go_worker(struct load_model *m, struct course *c, uint64_t time_ns)
{
    struct life *place = &c->container->workers[c->container->oldest], old = *place;

    if (c->step == 0)
        return make_fork(m, c->child, c->container->main, c->container->cgroup_id, time_ns);
    *place = c->child;
    c->container->oldest = (c->container->oldest + 1) % (m->conf->processes - 1);
    m->has_course = false;
    return make_exit(m, old, c->container->cgroup_id, time_ns);
}

static const struct record_header *go_deep(struct load_model *m, struct course *c, uint64_t time_ns)
{
    struct container *container = c->container;
    struct life parent = container->depth ? container->deep[container->depth - 1] : container->main;

    if (c->step == 0) {
        if (container->depth == DEPTH_MAX)
            container->rising = false;
        if (container->depth == 0)
            container->rising = true;
    }
    if (!container->rising) {
        m->has_course = false;
        return make_exit(m, container->deep[--container->depth], container->cgroup_id, time_ns);
    }
    if (c->step == 0)
        return make_fork(m, c->child, parent, container->cgroup_id, time_ns);
    container->deep[container->depth++] = c->child;
    m->has_course = false;
    return make_image(m, RECORD_EXEC, c->child, parent, container, "step", time_ns);
}

static const struct record_header *go_hook(struct load_model *m, const struct course *c, uint64_t time_ns)
{
    uint64_t which = below(m, m->conf->processes);

    m->has_course = false;
    return make_hook(
        m, which ? c->container->workers[which - 1] : c->container->main, c->container->cgroup_id, time_ns);
}

const struct record_header *load_model_next(struct load_model *m, uint64_t time_ns)
{
    struct course *c = &m->course;
    const struct record_header *record;

    if (!m->has_course)
        begin_course(m, time_ns);
    switch (c->scenario) {
    case WORKER:
        record = go_worker(m, c, time_ns);
        break;
    case DEEP:
        record = go_deep(m, c, time_ns);
        break;
    case HOOK:
        record = go_hook(m, c, time_ns);
        break;
    default:
        record = go_spawn(m, c, time_ns);
        break;
    }
    c->step++;
    return record;
}

static void end_container(struct load_model *m, struct told *told, const struct pod *pod,
    const struct container *container, uint64_t time_ns)
{
    while (m->has_course && m->course.container == container) /* G1: nothing stays half told */
        tell(told, load_model_next(m, time_ns));
    for (unsigned i = container->depth; i > 0; i--)
        tell(told, make_exit(m, container->deep[i - 1], container->cgroup_id, time_ns));
    for (uint64_t i = 0; i + 1 < m->conf->processes; i++)
        tell(told, make_exit(m, container->workers[i], container->cgroup_id, time_ns));
    tell(told, make_exit(m, container->main, container->cgroup_id, time_ns));
    tell(told, make_group(m, RECORD_CGROUP_RMDIR, pod, container, time_ns));
}

static void start_container(struct load_model *m, struct told *told, const struct pod *pod,
    struct container *container, uint64_t time_ns)
{
    tell(told, make_group(m, RECORD_CGROUP_MKDIR, pod, container, time_ns));
    container->main = new_life(m, time_ns);
    tell(told, make_fork(m, container->main, INIT, container->cgroup_id, time_ns));
    tell(told, make_image(m, RECORD_EXEC, container->main, INIT, container, "server", time_ns));
    for (uint64_t i = 0; i + 1 < m->conf->processes; i++) {
        container->workers[i] = new_life(m, time_ns);
        tell(told, make_fork(m, container->workers[i], container->main, container->cgroup_id, time_ns));
    }
}

/* ---- metadata ----------------------------------------------------------------------------------------------------- */

static void write_pod(const struct load_model *m, const struct pod *pod, FILE *file)
{
    (void)fprintf(file,
        "{\"metadata\":{\"name\":\"app-%llu-5d4f9c7b8-x%04llx\",\"namespace\":\"team-%llu\",\"uid\":\"%s\","
        "\"labels\":{\"app\":\"app-%llu\",\"pod-template-hash\":\"5d4f9c7b8\"},\"ownerReferences\":[{"
        "\"apiVersion\":\"apps/v1\","
        "\"kind\":\"ReplicaSet\",\"name\":\"app-%llu-5d4f9c7b8\",\"controller\":true}]},\"spec\":{"
        "\"containers\":[",
        (unsigned long long)pod->number, (unsigned long long)(pod->number & 0xffff),
        (unsigned long long)(pod->number % 10), pod->uid, (unsigned long long)pod->number,
        (unsigned long long)pod->number);
    for (uint64_t i = 0; i < m->conf->containers; i++)
        (void)fprintf(file, "%s{\"name\":\"c%llu\",\"image\":\"registry.example/app:1\"}", i ? "," : "",
            (unsigned long long)i);
    (void)fprintf(file, "]},\"status\":{\"phase\":\"Running\",\"containerStatuses\":[");
    for (uint64_t i = 0; i < m->conf->containers; i++)
        (void)fprintf(file,
            "%s{\"name\":\"c%llu\",\"containerID\":\"containerd://%s\",\"image\":\"registry.example/app:1\","
            "\"imageID\":\"registry.example/"
            "app@sha256:%s\",\"state\":{\"running\":{\"startedAt\":\"2026-01-01T00:00:00Z\"}}}",
            i ? "," : "", (unsigned long long)i, pod->containers[i].id, pod->containers[i].id);
    (void)fprintf(file, "]}}");
}

static void keep_gone(struct load_model *m, const struct pod *pod, uint64_t time_ns)
{
    struct gone *gone = &m->gone[m->gone_count++ % GONE_MAX];
    size_t size;
    FILE *file;

    free(gone->text);
    *gone = (struct gone){.time_ns = time_ns};
    file = open_memstream(&gone->text, &size);
    if (!file)
        return;
    write_pod(m, pod, file);
    (void)fclose(file);
}

static void write_gone(const struct load_model *m, FILE *file)
{
    uint64_t last_ns = m->gone_count ? m->gone[(m->gone_count - 1) % GONE_MAX].time_ns : 0;

    for (size_t i = 0; i < GONE_MAX; i++) {
        if (m->gone[i].text && last_ns - m->gone[i].time_ns < GONE_NS)
            (void)fprintf(file, ",%s", m->gone[i].text);
    }
}

int load_model_write_pods(const struct load_model *m, FILE *file)
{
    (void)fprintf(file, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"items\":[");
    for (uint64_t i = 0; i < m->conf->pods; i++) {
        if (i)
            (void)fputc(',', file);
        write_pod(m, &m->pods[i], file);
    }
    write_gone(m, file);
    (void)fprintf(file, "]}\n");
    return ferror(file) ? -EIO : 0;
}

/* ---- Pods come and go ---------------------------------------------------------------------------------------------- */

void load_model_replace_pod(struct load_model *m, uint64_t time_ns, load_model_fn *fn, void *arg)
{
    struct told told = {fn, arg, 0};
    struct pod *pod = &m->pods[below(m, m->conf->pods)];

    for (uint64_t i = 0; i < m->conf->containers; i++)
        end_container(m, &told, pod, &pod->containers[i], time_ns);
    keep_gone(m, pod, time_ns);
    name_pod(m, pod);
    for (uint64_t i = 0; i < m->conf->containers; i++)
        start_container(m, &told, pod, &pod->containers[i], time_ns);
}
