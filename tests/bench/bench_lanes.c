/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What several lanes cost and give: for each mix of process life and hooks, what a lane spends on its own events and on those of other lanes, and from that, how many events a
 * second so many lanes take. Two lanes in two threads are measured beside what is so computed for them. docs/scaling.md says how to read it.
 *
 *   bench-lanes [SECONDS a figure, default 1] [FOLDER for the files, default /tmp; -: none] [EVENTS a second to plan for, default 1000000]
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_stage.h"

#define ROUNDS   5
#define NOBODY   UINT32_MAX /* of so many lanes the first owns next to nothing */
#define BUSY     0.7        /* of a core: what is left is for bursts */
#define LANE_MAX 128

enum kind { KIND_LIFE, KIND_HOOK, KIND_COUNT };
static const char *const kind_names[KIND_COUNT] = {
    "process life (fork + exec + exit)", "hook of a known process"};

static const char *folder = "/tmp";
static double seconds = 1;
static uint32_t next_tgid;

/* ---- records ---------------------------------------------------------------------------------------------------- */

static void tell_policy(struct stage *stage)
{
    stage_produce(stage,
        make_policy(&stage->record,
            &(struct make_policy){
                .hook_id = 1, .kind = RECORD_HOOK_LSM, .name = "file-monitoring", .function = "file_open"},
            clock_boot_ns()));
}

static void produce_life(struct stage *stage, uint32_t who)
{
    struct make_key child = {200000 + next_tgid++ % 1000000, clock_boot_ns()};
    uint64_t cgroup = stage_cgroup(who / 100);

    stage_produce(stage, make_fork(&stage->record, child, stage_key(who), cgroup, clock_boot_ns()));
    stage_produce(stage, make_process(&stage->record, RECORD_EXEC, child, stage_key(who), cgroup,
                             clock_boot_ns(), "/usr/bin/curl", "curl\0-s\0http://cart", 20));
    stage_produce(stage, make_exit(&stage->record, child, cgroup, clock_boot_ns(), 0));
}

static void produce_hook(struct stage *stage, uint32_t who)
{
    struct record_hook *hook =
        make_hook(&stage->record, stage_key(who), stage_cgroup(who / 100), clock_boot_ns(), 1);

    make_arg_path(
        &stage->record, 0, RECORD_ARG_FILE, "/var/lib/checkout/sessions/4711.json", 0100640, 02, -1);
    stage_produce(stage, &hook->header);
}

/* Returns how many events. */
static unsigned produce(struct stage *stage, enum kind kind, unsigned *seed)
{
    unsigned count = kind == KIND_LIFE ? STAGE_CHUNK / 3 : STAGE_CHUNK;

    for (unsigned i = 0; i < count; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        if (kind == KIND_LIFE)
            produce_life(stage, (*seed >> 4) % STAGE_PROCESSES);
        else
            produce_hook(stage, (*seed >> 4) % STAGE_PROCESSES);
    }
    return kind == KIND_LIFE ? 3 * count : count;
}

static void open_lane(struct stage *stage, struct lane_of lane, struct stage *leader)
{
    stage_open(stage, &(struct stage_options){.folder = folder,
                          .loop = LOOP_AUTO,
                          .hold_fd = -1,
                          .hold = {1000, 1 << 20},
                          .lane = lane,
                          .leader = leader});
    stage_tell_pods(stage);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* ---- one lane ---------------------------------------------------------------------------------------------------- */

/* Nanoseconds of processor an event, the median of the rounds. */
static double measure_one(struct stage *stage, enum kind kind)
{
    double ns[ROUNDS];
    unsigned seed = 1;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t end = clock_boot_ns() + (uint64_t)(seconds / ROUNDS * 1e9), events = 0, sum_ns = 0;

        do {
            events += produce(stage, kind, &seed);
            sum_ns += stage_consume(stage).all_ns;
        } while (clock_boot_ns() < end);
        ns[round] = (double)sum_ns / (double)events;
    }
    qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
    return ns[ROUNDS / 2];
}

static double resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long size = 0, resident = 0;

    if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    if (file)
        (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static void measure_lane(struct lane_of lane, double ret[KIND_COUNT], double *ret_bytes)
{
    static struct stage stage;
    double before = resident_bytes();

    open_lane(&stage, lane, NULL);
    stage_make_cgroups(&stage);
    stage_make_processes(&stage);
    *ret_bytes = resident_bytes() - before;
    tell_policy(&stage);
    for (int kind = 0; kind < KIND_COUNT; kind++)
        ret[kind] = measure_one(&stage, (enum kind)kind);
    stage_close(&stage);
}

/* ---- two lanes --------------------------------------------------------------------------------------------------- */

static struct stage lanes[2];
static pthread_barrier_t barrier;
static bool over;
static uint64_t follower_ns;

static void *follow(void *unused)
{
    (void)unused;
    open_lane(&lanes[1], (struct lane_of){1, 2}, &lanes[0]);
    (void)pthread_barrier_wait(&barrier);
    for (;;) {
        (void)pthread_barrier_wait(&barrier);
        if (over)
            return NULL;
        follower_ns += stage_drain(&lanes[1]).own_ns;
        (void)pthread_barrier_wait(&barrier);
    }
}

/* Both read what has been produced. Returns the leader's time. */
static uint64_t turn(void)
{
    uint64_t ns;

    queue_producer_publish(lanes[0].producer);
    (void)pthread_barrier_wait(&barrier);
    ns = stage_drain(&lanes[0]).own_ns;
    (void)pthread_barrier_wait(&barrier);
    queue_consumer_gather(lanes[0].consumer);
    stage_must("cursor", queue_producer_refresh(lanes[0].producer));
    return ns;
}

static void fill_two(void)
{
    struct stage *stage = &lanes[0];

    for (uint32_t i = 0; i < STAGE_PROCESSES; i++) {
        stage_produce(stage,
            make_process(&stage->record, RECORD_EXEC, stage_key(i), stage_key(i / 100), stage_cgroup(i / 100),
                clock_boot_ns(), "/usr/local/bin/checkout", "checkout\0--listen=:8080", 23));
        if (i % STAGE_CHUNK == STAGE_CHUNK - 1)
            (void)turn();
    }
    tell_policy(stage);
    (void)turn();
}

/* Nanoseconds of processor an event of the busier lane. */
static double measure_pair(enum kind kind)
{
    uint64_t end = clock_boot_ns() + (uint64_t)(seconds * 1e9), events = 0, leader_ns = 0;
    unsigned seed = 1;

    follower_ns = 0;
    do {
        events += produce(&lanes[0], kind, &seed);
        leader_ns += turn();
    } while (clock_boot_ns() < end);
    return (double)(leader_ns > follower_ns ? leader_ns : follower_ns) / (double)events;
}

static void measure_two(double ret[KIND_COUNT])
{
    pthread_t thread;

    stage_must("barrier", -pthread_barrier_init(&barrier, NULL, 2));
    open_lane(&lanes[0], (struct lane_of){0, 2}, NULL);
    stage_must("thread", -pthread_create(&thread, NULL, follow, NULL));
    (void)pthread_barrier_wait(&barrier);
    for (uint32_t i = 0; i < STAGE_CONTAINERS; i++) {
        char path[256];

        stage_name_path(i, path);
        stage_produce(&lanes[0], make_cgroup(&lanes[0].record, RECORD_CGROUP_MKDIR, stage_cgroup(i),
                                     (struct make_key){0, 0}, clock_boot_ns(), path));
    }
    (void)turn();
    fill_two();
    for (int kind = 0; kind < KIND_COUNT; kind++)
        ret[kind] = measure_pair((enum kind)kind);
    over = true;
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_join(thread, NULL);
    stage_close(&lanes[0]);
    stage_close(&lanes[1]);
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

struct fit {
    double own[KIND_COUNT],
        foreign[KIND_COUNT]; /* ns an event: all of it; and what each lane spends on another's */
};

/* What one of so many lanes spends on each event that there is. */
static double lane_ns(const struct fit *fit, double life, unsigned count)
{
    double share[KIND_COUNT] = {life, 1 - life}, sum = 0;

    for (int kind = 0; kind < KIND_COUNT; kind++)
        sum += share[kind] * (fit->foreign[kind] + (fit->own[kind] - fit->foreign[kind]) / count);
    return sum;
}

static void print_plan(const struct fit *fit, double wanted)
{
    static const double lives[] = {0.01, 0.03, 0.1, 0.3, 1};
    static const unsigned counts[] = {1, 2, 4, 8, 16, 32};

    printf("\nevents a second that so many lanes take, each %.0f %% busy, by the share of process life\n",
        BUSY * 100);
    printf("%8s", "life");
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        printf("%11u", counts[i]);
    printf("  lanes for %.0f\n", wanted);
    for (size_t row = 0; row < sizeof(lives) / sizeof(lives[0]); row++) {
        unsigned enough = 1;

        printf("%6.0f %%", lives[row] * 100);
        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
            printf("%11.0f", BUSY * 1e9 / lane_ns(fit, lives[row], counts[i]));
        while (enough <= LANE_MAX && BUSY * 1e9 / lane_ns(fit, lives[row], enough) < wanted)
            enough++;
        if (enough <= LANE_MAX)
            printf("  %u\n", enough);
        else
            printf("  none: at most %.0f\n", BUSY * 1e9 / lane_ns(fit, lives[row], LANE_MAX * 1000));
    }
}

int main(int argc, char **argv)
{
    double wanted = argc > 3 ? atof(argv[3]) : 1e6, two[KIND_COUNT], bytes, unused;
    struct fit fit;

    if (argc > 1)
        seconds = atof(argv[1]);
    if (argc > 2)
        folder = argv[2];
    measure_lane((struct lane_of){0, 1}, fit.own, &bytes);
    measure_lane((struct lane_of){0, NOBODY}, fit.foreign, &unused);
    measure_two(two);
    printf("%-36s %10s %14s %22s %12s\n", "ns of processor an event", "own", "another lane's",
        "two lanes: computed", "measured");
    for (int kind = 0; kind < KIND_COUNT; kind++)
        printf("%-36s %10.0f %14.0f %22.0f %12.0f\n", kind_names[kind], fit.own[kind], fit.foreign[kind],
            lane_ns(&fit, kind == KIND_LIFE, 2), two[kind]);
    print_plan(&fit, wanted);
    printf("\nmemory of a lane, queue and output blocks included: %.0f MB with %d processes\n", bytes / 1e6,
        STAGE_PROCESSES);
    return 0;
}
