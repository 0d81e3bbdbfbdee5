/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "enricher/conf.h"
#include "enricher/enricher.h"

#define FINISH_NS (10 * NS_PER_SEC)

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static int run(struct conf *conf)
{
    static struct enricher enricher; /* static: its marks are too much for a stack */
    int r = enricher_init(&enricher, conf);

    if (r == 0 && conf->sandbox)
        r = enricher_confine(&enricher);
    if (r == 0)
        r = enricher_run(&enricher);
    if (r == 0)
        enricher_finish(&enricher, FINISH_NS);
    if (r < 0 && enricher.lane.loop)
        log_error("ended: %s", strerror(-r));
    enricher_deinit(&enricher);
    return r < 0 ? EXIT_FAILED : EXIT_FINE;
}

int main(int argc, char **argv)
{
    static const enum log_level levels[] = {
        LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG};
    char error[OPTIONS_ERROR_MAX] = "";
    struct conf conf;
    int status = EXIT_FINE;

    if (fd_open_standard() < 0)
        return EXIT_FAILED; /* there is nobody to tell */
    log_init("podkin-enricher", LOG_LEVEL_INFO);
    if (conf_init(&conf, argc, argv, error) < 0) {
        log_error("%s", error);
        conf_deinit(&conf);
        return EXIT_USAGE;
    }
    log_init("podkin-enricher", levels[conf.log_level]);
    switch (conf_action(&conf)) {
    case CONF_HELP:
        conf_print_help();
        break;
    case CONF_VERSION:
        puts("podkin-enricher " PODKIN_VERSION);
        break;
    case CONF_CHECK:
        if (conf_check_files(&conf, error) < 0) {
            log_error("%s", error);
            status = EXIT_USAGE;
        } else {
            puts("configuration is fine");
        }
        break;
    case CONF_RUN:
        status = run(&conf);
        break;
    }
    conf_deinit(&conf);
    return status;
}
