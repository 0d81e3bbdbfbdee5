/* SPDX-License-Identifier: Apache-2.0 */
/* podkin-load: takes the collector's place and drives a real enricher, to see what it takes before it has to. docs/load.md */
#include <errno.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/load/load_report.h"
#include "tests/load/load_run.h"

#define SPREAD_MAX 15 /* percent */

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* podkin-enricher in our own folder, as it is built or installed; the build has it in another. */
static int find_enricher(char path[PATH_MAX])
{
    static const char *const places[] = {
        "%s/podkin-enricher", "%s/../sbin/podkin-enricher", "%s/../../enricher/podkin-enricher"};
    char own[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);

    if (size < 0)
        return -errno;
    own[size] = '\0';
    (void)dirname(own);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char candidate[PATH_MAX + 64];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(candidate, sizeof(candidate), places[i], own);
#pragma GCC diagnostic pop
        if (access(candidate, X_OK) == 0 && realpath(candidate, path))
            return 0;
    }
    return -ENOENT;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int report(const struct load_run *run)
{
    const struct load_conf *conf = run->conf;
    int r = 0;

    load_report_text(run, stdout);
    if (conf->json)
        r = load_report_json(run, conf->json);
    if (r < 0)
        (void)fprintf(stderr, "podkin-load: %s: %s\n", conf->json, strerror(-r));
    else if (conf->html && (r = load_report_html(run, conf->html)) < 0)
        (void)fprintf(stderr, "podkin-load: %s: %s\n", conf->html, strerror(-r));
    return r < 0 || load_report_judge(run, stdout) > 0 ? EXIT_FAILED : EXIT_FINE;
}

/* Said; the exit status. */
static int find_limit(struct load_run *run, uint64_t *ret_median)
{
    struct load_limit limit;
    double spread;

    run->quiet = true;
    if (load_run_find_limit(run, &limit) < 0)
        return EXIT_FAILED;
    if (!limit.least) {
        (void)printf("no rate was held\n");
        return EXIT_FAILED;
    }
    spread = (double)(limit.most - limit.least) * 100 / (double)limit.median;
    (void)printf(
        "limit: %llu events/s are held without loss and less than 100 ms behind (%llu to %llu, %.0f %%)\n",
        (unsigned long long)limit.median, (unsigned long long)limit.least, (unsigned long long)limit.most,
        spread);
    if (spread > SPREAD_MAX)
        (void)printf("the rounds differ by more than %d %%: something else uses this machine\n", SPREAD_MAX);
    (void)fflush(stdout);
    *ret_median = limit.median;
    return EXIT_FINE;
}

/* In a run of its own, so that the one that follows begins with nothing. */
static int find_rate(struct load_conf *conf, const char *program, const char *folder)
{
    struct load_conf tries = *conf;
    uint64_t limit = 0;
    struct load_run run;
    int status = EXIT_FAILED;

    tries.duration_ns = 0;
    tries.rate_given = false;
    tries.standin = LOAD_STANDIN_NONE;
    if (load_run_open(&run, &tries, program, folder) == 0)
        status = find_limit(&run, &limit);
    (void)load_run_close(&run);
    conf->rate = limit * conf->of_limit / 100;
    if (status == EXIT_FINE)
        (void)printf("%llu %% of it: %llu events/s\n", (unsigned long long)conf->of_limit,
            (unsigned long long)conf->rate);
    return status;
}

static int work(struct load_conf *conf, const char *folder)
{
    char program[PATH_MAX];
    struct load_run run;
    int status = EXIT_FAILED, ended;
    uint64_t limit;

    if (!conf->enricher && find_enricher(program) < 0) {
        (void)fprintf(
            stderr, "podkin-load: podkin-enricher is not beside this program; name it with --enricher\n");
        return EXIT_USAGE;
    }
    if (conf->enricher)
        (void)snprintf(program, sizeof(program), "%s", conf->enricher);
    if (conf->of_limit && find_rate(conf, program, folder) != EXIT_FINE)
        return EXIT_FAILED;
    if (load_run_open(&run, conf, program, folder) == 0) {
        if (conf->find_limit)
            status = find_limit(&run, &limit);
        else if (load_run_go(&run) == 0)
            status = report(&run);
    }
    ended = load_run_close(&run);
    if (ended != 0) {
        (void)fprintf(stderr, "podkin-load: the enricher ended with status %d\n", ended);
        status = EXIT_FAILED;
    }
    return status;
}

static int work_in_folder(struct load_conf *conf)
{
    char own[] = "/tmp/podkin-load.XXXXXX";
    int status;

    if (conf->folder) {
        if (mkdir(conf->folder, 0700) < 0 && errno != EEXIST) {
            (void)fprintf(stderr, "podkin-load: --folder: %s: %s\n", conf->folder, strerror(errno));
            return EXIT_USAGE;
        }
        return work(conf, conf->folder);
    }
    if (!mkdtemp(own)) {
        (void)fprintf(stderr, "podkin-load: %s: %s\n", own, strerror(errno));
        return EXIT_FAILED;
    }
    status = work(conf, own);
    (void)nftw(own, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}

/* A profile by its name alone is one of the installed ones. */
static char *find_profile(char *name, char path[PATH_MAX + 64])
{
    char own[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);

    if (size < 0 || strchr(name, '/') || strlen(name) > NAME_MAX || access(name, R_OK) == 0)
        return name;
    own[size] = '\0';
    (void)snprintf(path, PATH_MAX + 64, "%.4000s/../share/podkin/load/%.80s.conf", dirname(own), name);
    return access(path, R_OK) == 0 ? path : name;
}

/* "run PROFILE" and "replay FILE" are words for the options. */
static void take_word(int argc, char **argv, char path[PATH_MAX + 64])
{
    static char config[] = "--config", replay[] = "--replay";

    if (argc > 2 && strcmp(argv[1], "run") == 0) {
        argv[1] = config;
        argv[2] = find_profile(argv[2], path);
    } else if (argc > 2 && strcmp(argv[1], "replay") == 0) {
        argv[1] = replay;
    }
}

int main(int argc, char **argv)
{
    char error[OPTIONS_ERROR_MAX] = "", path[PATH_MAX + 64];
    struct load_conf conf;
    int status = EXIT_FINE;

    (void)signal(SIGPIPE, SIG_IGN);
    take_word(argc, argv, path);
    if (load_conf_read(&conf, argc, argv, error) < 0) {
        (void)fprintf(stderr, "podkin-load: %s\n", error);
        status = EXIT_USAGE;
    } else if (conf.help) {
        puts("podkin-load [run PROFILE | replay FILE] [options]: drives an enricher with the records of a "
             "node that does not exist, or of a "
             "recording,\nand says how it did.\n");
        load_conf_print_help();
    } else if (conf.version) {
        puts("podkin-load " PODKIN_VERSION);
    } else {
        status = work_in_folder(&conf);
    }
    load_conf_deinit(&conf);
    return status;
}
