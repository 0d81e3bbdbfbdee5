/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* podkin-collector --check-policy [--output text|json] FILE|DIR…: what policies hold, or every fault. Needs no privilege and changes nothing. */

/* argv[0] is the option's own word. Exit status: 0 all fine, 1 something was refused, 2 bad use. */
int policy_check_main(int argc, char **argv);
