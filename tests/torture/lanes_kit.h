/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A collector for enrichers with lanes: real queue, socket, hold store and snapshot, and a random history of processes in two Pods and on the host. Every event has a number in
 * its id, so that each can be looked for in what was written.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/handoff_message.h"
#include "common/unix_socket.h"
#include "tests/torture/pattern.h"
#include "tests/unit/make_record.h"

#define UID_A     "11111111-1111-4111-8111-111111111111"
#define UID_B     "22222222-2222-4222-8222-222222222222"
#define ID_A      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B      "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define PROCESSES 200

static struct {
    char folder[64], socket[96], pods[96], output[96], events[96];
    int listener, connection, hold_fd;
    struct queue_producer *queue;
    pthread_mutex_t
        mutex; /* of the queue's producer, of the model and of this collector's end: the server of snapshots has to do with all */
    uint64_t epoch_ns, attach_count;
    struct make_record record, snapshot_record;
    struct make_key keys[PROCESSES];
    uint64_t cgroups[PROCESSES];
    uint32_t next_tgid;
    uint64_t random, seq; /* of the last event */
    bool stop;
    pthread_t server;
} world;

static const struct make_key no_key = {0, 0};

/* ---- the snapshot and who asks for it ------------------------------------------------------------------------- */

static void snapshot_put(int fd, const struct record_header *record)
{
    struct record_header *header = (struct record_header *)(void *)world.snapshot_record.bytes;

    header->cpu = RECORD_CPU_COLLECTOR;
    (void)record; /* what stands in the buffer */
    CHECK(write(fd, world.snapshot_record.bytes, header->size) == (ssize_t)header->size);
}

static int make_snapshot(void)
{
    struct make_record *buffer = &world.snapshot_record;
    int fd = fd_memfd_new("snapshot", 0);
    struct record_snapshot_end *end;

    CHECK(fd >= 0);
    snapshot_put(fd, make_cgroup(buffer, RECORD_SNAPSHOT_CGROUP, 1, no_key, clock_boot_ns(), "/"));
    snapshot_put(fd, make_cgroup(buffer, RECORD_SNAPSHOT_CGROUP, 100, no_key, clock_boot_ns(),
                         "/kubepods/pod" UID_A "/" ID_A));
    snapshot_put(fd, make_cgroup(buffer, RECORD_SNAPSHOT_CGROUP, 200, no_key, clock_boot_ns(),
                         "/kubepods/pod" UID_B "/" ID_B));
    snapshot_put(fd, make_policy(buffer,
                         &(struct make_policy){
                             .hook_id = 1, .kind = RECORD_HOOK_LSM, .name = "p", .function = "file_open"},
                         clock_boot_ns()));
    for (unsigned i = 0; i < PROCESSES; i++)
        snapshot_put(fd, make_process(buffer, RECORD_SNAPSHOT_PROCESS, world.keys[i], (struct make_key){1, 1},
                             world.cgroups[i], world.keys[i].start_ns, "/bin/a", "a", 1));
    end = (struct record_snapshot_end *)make_header(
        buffer, RECORD_SNAPSHOT_END, sizeof(*end), no_key, 0, clock_boot_ns());
    end->process_count = PROCESSES;
    end->cgroup_count = 3;
    snapshot_put(fd, &end->header);
    return fd;
}

static int take_connection(void)
{
    int fd = accept4(world.listener, NULL, NULL, SOCK_CLOEXEC);

    CHECK(fd >= 0);
    (void)pthread_mutex_lock(&world.mutex);
    fd_close(&world.connection);
    world.connection = fd;
    (void)pthread_mutex_unlock(&world.mutex);
    return fd; /* closed by this thread only */
}

static void serve(void)
{
    struct handoff_attach message = {.magic = HANDOFF_MAGIC,
        .version = HANDOFF_VERSION,
        .type = HANDOFF_ATTACH,
        .record_version = RECORD_VERSION,
        .attach_count = ++world.attach_count,
        .hook_kind = "replay"};
    int connection = take_connection(), snapshot_fd;
    struct handoff_hello hello;
    struct queue_fds q;

    if (recv(connection, &hello, sizeof(hello), 0) != (ssize_t)sizeof(hello))
        return; /* it was killed */
    (void)pthread_mutex_lock(&world.mutex);
    message.epoch_ns = world.epoch_ns;
    (void)queue_producer_refresh(world.queue);
    CHECK(queue_producer_renew_cursor(world.queue) == 0);
    queue_producer_get_fds(world.queue, &q);
    snapshot_fd = make_snapshot();
    (void)pthread_mutex_unlock(&world.mutex);
    message.snapshot_bytes = (uint64_t)lseek(snapshot_fd, 0, SEEK_CUR);
    CHECK(fd_seal(snapshot_fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0);
    (void)unix_send(connection, &message, sizeof(message),
        (const int[]){q.ring, q.cursor, q.doorbell, world.hold_fd, snapshot_fd}, HANDOFF_FD_COUNT);
    fd_close(&snapshot_fd);
}

static void *serve_all(void *unused)
{
    struct pollfd listener = {.fd = world.listener, .events = POLLIN};

    (void)unused;
    while (!__atomic_load_n(&world.stop, __ATOMIC_RELAXED)) {
        if (poll(&listener, 1, 50) == 1)
            serve();
    }
    return NULL;
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

static void world_open(uint64_t seed)
{
    (void)snprintf(world.folder, sizeof(world.folder), "/tmp/podkin-lanes-XXXXXX");
    CHECK(mkdtemp(world.folder));
    (void)snprintf(world.socket, sizeof(world.socket), "%s/socket", world.folder);
    (void)snprintf(world.pods, sizeof(world.pods), "%s/pods.json", world.folder);
    (void)snprintf(world.output, sizeof(world.output), "%s/out.json", world.folder);
    (void)snprintf(world.events, sizeof(world.events), "%s/events", world.folder);
    world.listener = unix_listen(world.socket, (gid_t)-1);
    CHECK(world.listener >= 0);
    world.connection = -1;
    world.hold_fd = fd_memfd_new("hold", 0);
    world.epoch_ns = clock_boot_ns();
    world.random = seed;
    world.next_tgid = 1000;
    (void)pthread_mutex_init(&world.mutex, NULL);
    CHECK(queue_producer_new(&world.queue, 1 << 20) == 0);
    for (unsigned i = 0; i < PROCESSES; i++) {
        world.keys[i] = (struct make_key){world.next_tgid, 1000 + world.next_tgid};
        world.next_tgid++;
        world.cgroups[i] = i % 3 == 0 ? 1 : i % 3 * 100;
    }
    CHECK(pthread_create(&world.server, NULL, serve_all, NULL) == 0);
}

static void world_close(void)
{
    char command[160];

    __atomic_store_n(&world.stop, true, __ATOMIC_RELAXED);
    CHECK(pthread_join(world.server, NULL) == 0);
    fd_close(&world.connection);
    fd_close(&world.listener);
    fd_close(&world.hold_fd);
    world.queue = queue_producer_free(world.queue);
    (void)snprintf(command, sizeof(command), "rm -r %s", world.folder);
    CHECK(system(command) == 0); /* NOLINT(cert-env33-c): of our own words */
}

/* ---- the history ---------------------------------------------------------------------------------------------- */

static unsigned dice(unsigned below)
{
    return (unsigned)(pattern_random(&world.random) % below);
}

/* false: the queue is full. */
static bool put_event(const struct record_header *record)
{
    struct record_header *room = queue_producer_reserve(world.queue, record->size, QUEUE_CLASS_LIFE);

    if (!room)
        return false;
    memcpy(room, record, record->size);
    room->cpu = 1;
    room->seq = ++world.seq;
    queue_producer_commit(world.queue);
    return true;
}

static bool put_random_event(void)
{
    unsigned who = dice(PROCESSES), what = dice(100);
    struct make_key key = world.keys[who], child = {world.next_tgid, 1000 + world.next_tgid};
    uint64_t cgroup = world.cgroups[who];
    unsigned heir = dice(PROCESSES);

    if (what < 60)
        return put_event(&make_hook(&world.record, key, cgroup, clock_boot_ns(), 1)->header);
    if (what < 75)
        return put_event(
            make_exec(&world.record, key, world.keys[heir], cgroup, clock_boot_ns(), "/usr/bin/worker"));
    if (heir == who)
        return true;
    if (!put_event(make_fork(&world.record, child, key, cgroup, clock_boot_ns())))
        return false;
    world.next_tgid++;
    (void)put_event(make_exit(&world.record, world.keys[heir], world.cgroups[heir], clock_boot_ns(), 0));
    world.keys[heir] = child;
    world.cgroups[heir] = cgroup;
    return true;
}

/* At most so many, less when the queue is full. */
static void put_some(unsigned count)
{
    (void)pthread_mutex_lock(&world.mutex);
    for (unsigned i = 0; i < count && put_random_event(); i++)
        ;
    queue_producer_publish(world.queue);
    (void)queue_producer_refresh(world.queue);
    (void)pthread_mutex_unlock(&world.mutex);
}

static bool queue_is_empty(void)
{
    bool empty;

    (void)pthread_mutex_lock(&world.mutex);
    (void)queue_producer_refresh(world.queue);
    empty = queue_producer_used_bytes(world.queue) == 0;
    (void)pthread_mutex_unlock(&world.mutex);
    return empty;
}

static void tell_pods(bool a, bool b)
{
    static const char pod[] = "{\"metadata\":{\"uid\":\"%s\",\"name\":\"%s\",\"namespace\":\"shop\"},"
                              "\"status\":{\"containerStatuses\":"
                              "[{\"name\":\"main\",\"containerID\":\"containerd://%s\"}]}}";
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s.new", world.pods);
    file = fopen(path, "we");
    CHECK(file);
    (void)fputs("{\"kind\":\"PodList\",\"items\":[", file);
    if (a)
        (void)fprintf(file, pod, UID_A, "a", ID_A);
    if (a && b)
        (void)fputc(',', file);
    if (b)
        (void)fprintf(file, pod, UID_B, "b", ID_B);
    (void)fputs("]}", file);
    CHECK(fclose(file) == 0 && rename(path, world.pods) == 0);
}

/* ---- what was written ----------------------------------------------------------------------------------------- */

/* The event's own: a container has one, too. */
static const char *last_id(const char *line)
{
    const char *id = NULL;

    for (const char *at = line; (at = strstr(at, "\"id\":\"")); at++)
        id = at;
    return id;
}

/* Events of a process leave in their order (E1). */
static void check_order(const char *line, uint64_t seq, uint64_t *last)
{
    const char *pid = strstr(line, "\"pid\":");
    uint64_t tgid = pid ? strtoull(pid + 6, NULL, 10) : 0;

    CHECK(tgid < world.next_tgid && seq > last[tgid]);
    last[tgid] = seq;
}

/* seen[seq]: how many lines the event has, in all files; last: by tgid, NULL: their order is not looked at. Returns how many lines there are. */
static uint64_t read_lines(uint32_t *seen, uint64_t *last)
{
    static char line[1 << 17];
    uint64_t lines = 0;

    for (unsigned lane = 0; lane <= 8; lane++) {
        char path[128];
        FILE *file;

        if (lane < 8)
            (void)snprintf(path, sizeof(path), "%s/out.lane%u.json", world.folder, lane);
        else
            (void)snprintf(path, sizeof(path), "%s/out.json", world.folder);
        file = fopen(path, "re");
        while (file && fgets(line, sizeof(line), file)) {
            const char *id = strncmp(line, "{\"process_", 10) == 0 ? last_id(line) : NULL;
            uint64_t seq = id ? strtoull(strchr(id + 6, '-') + 3, NULL, 10) : 0;

            CHECK(line[0] == '{' && strstr(line, "}\n"));
            lines++;
            CHECK(seq <= world.seq);
            if (id)
                seen[seq]++;
            if (id && last)
                check_order(line, seq, last);
        }
        if (file)
            (void)fclose(file);
    }
    return lines;
}
