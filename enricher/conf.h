/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The enricher's options: command line, configuration file, drop-ins (common/options.h). Everything is checked before anything starts. */
#include <stdbool.h>
#include <stdint.h>

#include "common/options.h"
#include "enricher/hold.h"
#include "enricher/output.h"
#include "enricher/pipeline.h"
#include "enricher/pod_table.h"
#include "enricher/render.h"
#include "enricher/source.h"

#define CONF_LANES_MAX   128
#define CONF_SOURCES_MAX 4 /* one of each kind */

enum conf_action { CONF_RUN, CONF_CHECK, CONF_HELP, CONF_VERSION };

enum conf_format { CONF_FORMAT_FULL, CONF_FORMAT_NORMALISED };

struct conf {
    char *socket, *config, *events_socket, *metrics_listen, *output_path, *node_name;
    char *token_file, *ca_file, *client_cert, *client_key;
    struct option_list sources;
    int loop;     /* enum loop_kind */
    int format;   /* enum conf_format */
    int compress; /* 0: not */
    int log_level;
    bool own_events, own_fields, annotations, insecure;
    bool action_check, action_help, action_version;
    bool credentials, namespaces, capabilities;
    bool sandbox;   /* what is not needed goes after the start (confine.h) */
    uint64_t lanes; /* threads that events go through */
    uint64_t rotate_bytes, rotate_keep, rotate_age_ns, pod_grace_ns;
    struct hold_limits hold;
    struct pipeline_options pipeline;
    struct render_options render;
    struct output_options output;
    struct source_tls tls;
};

/* Defaults, then what was given. 0 or -EINVAL (or what opening a file gave) with one line in `error`. Where --help or --version is asked nothing else is
 * looked at (common/options.h). */
int conf_init(struct conf *conf, int argc, char **argv, char error[OPTIONS_ERROR_MAX]);
/* What the sources will read and that can be wrong by itself: kubeconfigs. They may come later, so only --check makes this an error. As above. */
int conf_check_files(const struct conf *conf, char error[OPTIONS_ERROR_MAX]);
void conf_deinit(struct conf *conf);
enum conf_action conf_action(const struct conf *conf);
void conf_print_help(void);
