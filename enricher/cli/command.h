/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The commands of podkin. Each: argv[0] is the command's name; returns the exit status: 0 fine, 1 failed at work, 2 bad use. */
#include <stddef.h>

enum { COMMAND_DONE = 0, COMMAND_FAILED = 1, COMMAND_BAD_USE = 2 };

int command_events(int argc, char **argv);
int command_expand(int argc, char **argv);
int command_status(int argc, char **argv);
int command_coverage(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_policy(int argc, char **argv);

extern const char command_events_help[], command_expand_help[], command_status_help[],
    command_coverage_help[], command_explain_help[], command_policy_help[];

/* For getopt_long() results '?' and ':': says in one line what is wrong with the option; returns COMMAND_BAD_USE. */
int command_refuse_option(int argc, char **argv, int result);
