/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/collector.h"
#include "collector/policy_check.h"
#include "common/fd.h"
#include "common/log.h"

/* Exit status: 0 stopped by a signal, 1 failed at work, 2 bad use or configuration. */
int main(int argc, char **argv)
{
    struct collector collector = COLLECTOR_EMPTY;
    struct conf conf = {0};
    char error[OPTIONS_ERROR_MAX];
    int r;

    if (fd_open_standard() < 0)
        return EXIT_FAILURE; /* there is nobody to tell */
    log_init("podkin-collector", LOG_LEVEL_INFO);
    if (argc > 1 && strcmp(argv[1], "--check-policy") == 0)
        return policy_check_main(argc - 1, argv + 1);
    r = conf_read(&conf, argc, argv, error);
    if (r < 0) {
        log_error("%s", error);
        conf_deinit(&conf);
        return 2;
    }
    if (conf.help) {
        puts("podkin-collector: hooks process life in the kernel and hands its records to the enricher.\n");
        conf_print_help();
    } else if (conf.version) {
        puts("podkin-collector " PODKIN_VERSION);
    } else if (conf.check) {
        puts("podkin-collector: the configuration is fine");
    } else {
        r = collector_start(&collector, &conf);
        if (r == 0)
            r = collector_run(&collector);
        collector_stop(&collector);
    }
    conf_deinit(&conf);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
