/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/collector.h"
#include "collector/hook_check.h"
#include "collector/hook_kernel.h"
#include "collector/policy_check.h"
#include "collector/policy_set.h"
#include "common/fd.h"
#include "common/log.h"

static void say_fault(const struct policy_fault *fault, void *arg)
{
    policy_fault_append(fault, arg);
    text_append_char(arg, '\n');
}

/* Each policy as this kernel would have it. 0, or negative: one cannot be in force. */
static int check_policies(const struct conf *conf)
{
    const struct policy_set_options options = {
        .paths = &conf->policies, .folder = conf->policy_dir, .allow_enforcement = conf->allow_enforcement};
    struct policy_list list = {0};
    struct hook_kernel kernel = {0};
    struct text out = {0};
    char error[HOOK_ERROR_MAX];
    int r = policy_set_read(&list, &options, say_fault, &out);

    if (list.count > 0 && hook_kernel_init(&kernel, NULL, error) < 0) {
        log_error("%s", error);
        r = -EINVAL;
    }
    for (size_t i = 0; i < list.count && kernel.btf; i++) {
        if (hook_check_policy(&out, &kernel, &list.items[i]) < 0)
            r = -EINVAL;
    }
    (void)fwrite(out.data, 1, out.size, stdout);
    text_deinit(&out);
    hook_kernel_deinit(&kernel);
    policy_list_deinit(&list);
    return r;
}

/* Without what this kernel says, where it says nothing. */
static int check_policy_files(int argc, char **argv)
{
    struct hook_kernel kernel = {0};
    char error[HOOK_ERROR_MAX];
    int r = hook_kernel_init(&kernel, NULL, error) < 0
                ? policy_check_main(argc, argv, NULL, NULL)
                : policy_check_main(argc, argv, hook_check_plan, &kernel);

    hook_kernel_deinit(&kernel);
    return r;
}

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
        return check_policy_files(argc - 1, argv + 1);
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
        r = check_policies(&conf);
        if (r == 0)
            puts("podkin-collector: the configuration is fine");
        conf_deinit(&conf);
        return r < 0 ? 2 : EXIT_SUCCESS;
    } else {
        r = collector_start(&collector, &conf);
        if (r == 0)
            r = collector_run(&collector);
        collector_stop(&collector);
    }
    conf_deinit(&conf);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
