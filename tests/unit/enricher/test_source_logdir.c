/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/cleanup.h"
#include "enricher/loop.h"
#include "enricher/pod.h"
#include "enricher/source_logdir.h"
#include "enricher/source_logdir_names.h"

#define UID_A "145f0c66-b877-40bc-80af-66a16a25ff1a"
#define UID_B "b3039330-e87a-4ed3-bf43-762af1856874"
#define HASH  "eb62a264142104fc9810f9e3799a732d"
#define ID_1  "1111111111111111111111111111111111111111111111111111111111111111"
#define ID_2  "2222222222222222222222222222222222222222222222222222222222222222"
#define ID_3  "3333333333333333333333333333333333333333333333333333333333333333"

static char root[64];
static uint64_t now_ns;
static struct loop *loop;
static struct pod_table *table;
static struct source *source;

static uint64_t fake_now(void *arg)
{
    (void)arg;
    return now_ns;
}

static __attribute__((format(printf, 1, 2))) const char *in_root(const char *format, ...)
{
    static char paths[4][1024];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    int n = snprintf(path, 1024, "%s/", root);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(path + n, 1024 - (size_t)n, format, args);
    va_end(args);
    return path;
}

static void make_folder(const char *path)
{
    cr_assert_eq(mkdir(path, 0755), 0, "%s: %s", path, strerror(errno));
}

static int remove_one(const char *name, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(name);
}

static void remove_tree(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void setup(void)
{
    static const struct clock clock = {.now = fake_now};

    now_ns = 100 * NS_PER_SEC;
    (void)snprintf(root, sizeof(root), "/tmp/podkin-source-logdir-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    make_folder(in_root("pods"));
    make_folder(in_root("containers"));
    cr_assert_eq(loop_new(&loop, LOOP_EPOLL, &clock), 0);
    cr_assert_eq(pod_table_new(&table, NULL, NULL, NULL), 0);
}

static void teardown(void)
{
    if (source)
        source = source->ops->free(source);
    table = pod_table_free(table);
    loop = loop_free(loop);
    remove_tree(root);
}

TestSuite(source_logdir, .init = setup, .fini = teardown);

/* A little time: what was written before is known after. */
static void pass(void)
{
    for (int i = 0; i < 5; i++) {
        now_ns += NS_PER_MS;
        cr_assert_eq(loop_run_once(loop, 0), 0);
    }
}

static void start(void)
{
    cr_assert_eq(source_logdir_new(&source, loop, table, root), 0);
    pass();
}

static void add_pod(const char *namespace_, const char *name, const char *uid)
{
    make_folder(in_root("pods/%s_%s_%s", namespace_, name, uid));
}

/* As the kubelet does it when a container starts. */
static void add_container(
    const char *name, const char *uid, const char *container, unsigned restarts, const char *id)
{
    const char *folder = in_root("pods/default_%s_%s/%s", name, uid, container);
    char target[1024];

    if (mkdir(folder, 0755) < 0)
        cr_assert_eq(errno, EEXIST);
    (void)snprintf(
        target, sizeof(target), "/var/log/pods/default_%s_%s/%s/%u.log", name, uid, container, restarts);
    cr_assert_eq(symlink(target, in_root("containers/%s_default_%s-%s.log", name, container, id)), 0);
}

static struct source_state state(void)
{
    struct source_state ret;

    source->ops->get_state(source, &ret);
    return ret;
}

static bool alive(const char *uid)
{
    const struct pod *pod = pod_table_find(table, uid);

    return pod && pod->deleted_ns == 0;
}

Test(source_logdir, reads_what_is_there)
{
    const struct pod *pod;

    add_pod("default", "web-0", UID_A);
    add_container("web-0", UID_A, "app", 0, ID_1);
    add_pod("kube-system", "static-node1", HASH);
    start();
    pod = pod_table_find(table, UID_A);
    cr_assert_not_null(pod);
    cr_assert_str_eq(pod->namespace_, "default");
    cr_assert_str_eq(pod->name, "web-0");
    cr_assert_eq(pod->container_count, 1);
    cr_assert_str_eq(pod->containers[0].name, "app");
    cr_assert_eq(pod_table_find_by_container(table, ID_1), pod);
    cr_assert_not(pod->complete);
    cr_assert_eq(pod->best_source, POD_SOURCE_LOGDIR);
    cr_assert_str_eq(pod_table_find(table, HASH)->name, "static-node1");
    cr_assert(state().ready);
    cr_assert_eq(state().pods_seen, 2);
    cr_assert_gt(state().last_request_ns, 0);
    cr_assert_geq(state().last_success_ns, state().last_request_ns);
    cr_assert_str_eq(state().last_error, "");
    cr_assert_eq(state().ignored, 0);
}

Test(source_logdir, notices_what_comes_and_goes)
{
    start();
    add_pod("default", "web-0", UID_A);
    pass();
    cr_assert(alive(UID_A));
    make_folder(in_root("pods/default_web-0_" UID_A "/init"));
    pass();
    cr_assert_str_eq(pod_table_find(table, UID_A)->containers[0].name, "init");
    add_container("web-0", UID_A, "app", 0, ID_1);
    pass();
    cr_assert_str_eq(pod_find_container(pod_table_find(table, UID_A), ID_1)->name, "app");
    remove_tree(in_root("pods/default_web-0_" UID_A));
    pass();
    cr_assert_not(alive(UID_A));
    cr_assert_not_null(pod_table_find(table, UID_A), "still findable");
    cr_assert_eq(state().pods_seen, 0);
    cr_assert_eq(state().requests, 1, "no second scan was needed");
}

Test(source_logdir, a_restart_keeps_the_old_id)
{
    const struct pod_container *container;

    add_pod("default", "web-0", UID_A);
    /* The greatest number is the newest, whatever the order in the folder. */
    add_container("web-0", UID_A, "app", 10, ID_2);
    add_container("web-0", UID_A, "app", 9, ID_1);
    start();
    container = &pod_table_find(table, UID_A)->containers[0];
    cr_assert_str_eq(container->id, ID_2);
    cr_assert_str_eq(container->old_ids[0], ID_1);
    cr_assert_eq(unlink(in_root("containers/web-0_default_app-" ID_1 ".log")), 0);
    add_container("web-0", UID_A, "app", 11, ID_3);
    pass();
    container = &pod_table_find(table, UID_A)->containers[0];
    cr_assert_str_eq(container->id, ID_3);
    cr_assert_eq(container->old_id_count, 2);
    cr_assert_not_null(pod_find_container(pod_table_find(table, UID_A), ID_1));
}

Test(source_logdir, a_crash_loop_keeps_the_newest_ids)
{
    char id[CONTAINER_ID_MAX + 1];

    add_pod("default", "web-0", UID_A);
    start();
    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(id, sizeof(id), "%064x", i);
        add_container("web-0", UID_A, "app", i, id);
        pass();
    }
    cr_assert_str_eq(pod_table_find(table, UID_A)->containers[0].id, id);
    (void)snprintf(id, sizeof(id), "%064x", 39 - POD_MAX_OLD_IDS);
    cr_assert_not_null(pod_table_find_by_container(table, id));
}

Test(source_logdir, hostile_names_are_ignored_and_counted)
{
    static const char *const folders[] = {"default_web", "default_web_" UID_A "_x", "Default_web_" UID_A,
        "default_-web_" UID_A, "default_web._" UID_A, "default_web_a b", "__", "a_b_",
        "default_w\x1b[31m_" UID_A, "default_web_..", "default_we\nb_" UID_A};
    static const char *const links[] = {"x.log", "web-0_default_app-1234.log", "web-0_default_app-" ID_1,
        "web-0_other_app-" ID_1 ".log", "evil_default_app-" ID_1 ".log", "web-0_default_app-" ID_1 ".log.log",
        "web-0_default_other-" ID_2 ".log"};
    const char *target = "/var/log/pods/default_web-0_" UID_B "/app/0.log";

    add_pod("default", "web-0", UID_B);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        make_folder(in_root("pods/%s", folders[i]));
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        cr_assert_eq(symlink(target, in_root("containers/%s", links[i])), 0);
    /* A link in place of a Pod's folder, and a file. */
    cr_assert_eq(symlink("/etc", in_root("pods/default_link_" UID_A)), 0);
    cr_assert_eq(close(open(in_root("pods/default_file_" UID_A), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    make_folder(in_root("pods/default_web-0_" UID_B "/UPPER"));
    start();
    cr_assert_eq(pod_table_count(table), 1);
    cr_assert_null(pod_table_find(table, UID_A));
    cr_assert_eq(pod_table_find(table, UID_B)->container_count, 0);
    cr_assert_null(pod_table_find_by_container(table, ID_1));
    cr_assert_eq(
        state().ignored, sizeof(folders) / sizeof(folders[0]) + sizeof(links) / sizeof(links[0]) + 3);
    /* The same through events. */
    make_folder(in_root("pods/x_y"));
    pass();
    cr_assert_eq(pod_table_count(table), 1);
}

Test(source_logdir, one_uid_under_two_names_is_the_first)
{
    start();
    add_pod("default", "web-0", UID_A);
    pass();
    add_pod("default", "evil", UID_A);
    pass();
    cr_assert_str_eq(pod_table_find(table, UID_A)->name, "web-0");
    cr_assert_eq(rmdir(in_root("pods/default_evil_" UID_A)), 0);
    pass();
    cr_assert(alive(UID_A));
}

Test(source_logdir, a_link_without_its_folder_is_left_over)
{
    cr_assert_eq(symlink("/var/log/pods/default_web-0_" UID_A "/app/0.log",
                     in_root("containers/web-0_default_app-" ID_1 ".log")),
        0);
    start();
    cr_assert_eq(pod_table_count(table), 0);
}

Test(source_logdir, waits_for_the_folders)
{
    remove_tree(in_root("pods"));
    remove_tree(in_root("containers"));
    start();
    cr_assert_not(state().ready);
    cr_assert_not_null(strstr(state().last_error, "/pods: No such file"), "%s", state().last_error);
    make_folder(in_root("pods"));
    add_pod("default", "web-0", UID_A);
    pass();
    cr_assert(alive(UID_A));
    cr_assert_not_null(strstr(state().last_error, "no container ids"), "%s", state().last_error);
    make_folder(in_root("containers"));
    add_container("web-0", UID_A, "app", 0, ID_1);
    pass();
    cr_assert_not_null(pod_table_find_by_container(table, ID_1));
    cr_assert_str_eq(state().last_error, "");
    /* And when they are made anew. */
    cr_assert_eq(rename(in_root("pods"), in_root("old")), 0);
    make_folder(in_root("pods"));
    add_pod("default", "web-1", UID_B);
    pass();
    cr_assert(alive(UID_B));
    cr_assert_not(alive(UID_A));
    make_folder(in_root("pods/default_web-1_" UID_B "/app"));
    pass();
    cr_assert_eq(pod_table_find(table, UID_B)->container_count, 1);
}

Test(source_logdir, without_watches_it_reads_again_when_asked)
{
    cr_assert_eq(source_logdir_new_limited(&source, loop, table, root, 3), 0);
    pass();
    add_pod("default", "web-0", UID_A);
    pass();
    make_folder(in_root("pods/default_web-0_" UID_A "/app"));
    pass();
    cr_assert_eq(pod_table_find(table, UID_A)->container_count, 0, "not seen: no watch was left");
    source->ops->ask(source);
    source->ops->ask(source);
    now_ns += SOURCE_LOGDIR_LOOK_NS;
    pass();
    cr_assert_eq(pod_table_find(table, UID_A)->container_count, 1);
    cr_assert_eq(state().requests, 2);
    cr_assert_not_null(strstr(state().last_error, "max_user_watches"), "%s", state().last_error);
    /* Not asked: now and then all the same. */
    make_folder(in_root("pods/default_web-0_" UID_A "/late"));
    now_ns += SOURCE_LOGDIR_SLOW_NS;
    pass();
    cr_assert_eq(pod_table_find(table, UID_A)->container_count, 2);
}

Test(source_logdir, asking_while_all_is_watched_costs_nothing)
{
    start();
    for (int i = 0; i < 10; i++) {
        now_ns += 10 * NS_PER_SEC;
        source->ops->ask(source);
        pass();
    }
    cr_assert_eq(state().requests, 1);
}

static unsigned long queue_limit(void)
{
    CLEANUP_FILE FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
    char line[32] = "";

    return file && fgets(line, sizeof(line), file) ? strtoul(line, NULL, 10) : ULONG_MAX;
}

Test(source_logdir, an_overflow_of_the_queue_loses_nothing)
{
    unsigned long limit = queue_limit();

    if (limit > 100000)
        cr_skip_test("fs.inotify.max_queued_events is too high to fill");
    start();
    /* Two events a turn, each different from the one before. */
    for (unsigned long i = 0; i < limit / 2 + 10; i++) {
        cr_assert_eq(symlink("x", in_root("containers/x")), 0);
        cr_assert_eq(unlink(in_root("containers/x")), 0);
    }
    add_pod("default", "web-0", UID_A);
    add_container("web-0", UID_A, "app", 0, ID_1);
    for (int i = 0; i < 4; i++)
        pass();
    cr_assert(alive(UID_A));
    cr_assert_not_null(pod_table_find_by_container(table, ID_1));
    cr_assert_eq(state().requests, 2);
}

Test(source_logdir, labels_from_elsewhere_and_ids_from_here_meet)
{
    struct pod told = {0};
    const struct pod *pod;

    start();
    add_pod("default", "web-0", UID_A);
    add_container("web-0", UID_A, "app", 0, ID_1);
    cr_assert_eq(pod_set_string(&told.uid, UID_A, POD_UID_MAX), 0);
    cr_assert_eq(pod_set_string(&told.namespace_, "default", POD_MAX_NAME), 0);
    cr_assert_eq(pod_set_string(&told.name, "web-0", POD_MAX_NAME), 0);
    cr_assert_eq(pod_add_label(&told, "app", "web"), 0);
    cr_assert_not_null(pod_add_container(&told, "app"));
    cr_assert_eq(pod_table_merge(table, POD_SOURCE_APISERVER, &told, now_ns), 0);
    pod_clear(&told);
    pass();
    pod = pod_table_find_by_container(table, ID_1);
    cr_assert(pod->complete);
    cr_assert_str_eq(pod->labels[0].value, "web");
    cr_assert_str_eq(pod_find_container(pod, ID_1)->name, "app");
}

Test(source_logdir, names_are_parsed_strictly)
{
    struct logdir_pod_name name;
    struct logdir_link link;

    cr_assert(logdir_parse_pod("kube-system_coredns.a-1_" UID_A, &name));
    cr_assert_str_eq(name.namespace_, "kube-system");
    cr_assert_str_eq(name.pod, "coredns.a-1");
    cr_assert_str_eq(name.uid, UID_A);
    cr_assert_not(logdir_parse_pod("a_b..c_" UID_A, &name));
    cr_assert_not(logdir_parse_pod("a_b.-c_" UID_A, &name));
    cr_assert_not(logdir_parse_pod("a.b_c_" UID_A, &name));
    cr_assert_not(logdir_parse_pod("", &name));
    cr_assert(logdir_parse_link("p_n_c-d-" ID_1 ".log", "/somewhere/pods/n_p_" HASH "/c-d/17.log", &link));
    cr_assert_str_eq(link.container, "c-d");
    cr_assert_str_eq(link.id, ID_1);
    cr_assert_str_eq(link.pod.uid, HASH);
    cr_assert_eq(link.restarts, 17);
    cr_assert_not(logdir_parse_link("p_n_c-" ID_1 ".log", "", &link));
    cr_assert_not(logdir_parse_link("p_n_c-" ID_1 ".log", "/0.log", &link));
    cr_assert_not(logdir_parse_link("", "/pods/n_p_" HASH "/c/17.log", &link));
    cr_assert_not(logdir_parse_link("-.log", "/pods/n_p_" HASH "/c/17.log", &link));
}
