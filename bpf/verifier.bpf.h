/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * For the verifiers of 6.1 and 6.12. Newer ones learn the bounds of a register from a copy of it that was
 * compared; these two do not, and clang likes to compare copies: `size > 1 && size <= MAX` becomes `size - 2
 * <= MAX - 2`, after which size itself is unbounded.
 */

/* Hides a value from the optimiser, so that the bound that follows stays in the program, as it is written. */
#define FORGET(value) asm volatile("" : "+r"(value))
