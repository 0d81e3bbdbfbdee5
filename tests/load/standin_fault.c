/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/standin_fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/load/standin_delay.h"

#define MILLION 1000000

static int parse_what(const char *text, size_t size, struct standin_fault *fault)
{
    char *end;

    if (size == 6 && memcmp(text, "outage", 6) == 0) {
        fault->kind = STANDIN_FAULT_OUTAGE;
        return 0;
    }
    if (size == 5 && memcmp(text, "stall", 5) == 0) {
        fault->kind = STANDIN_FAULT_STALL;
        return 0;
    }
    fault->kind = STANDIN_FAULT_STATUS;
    fault->status = (unsigned)strtoul(text, &end, 10);
    return size == 3 && end == text + 3 && fault->status >= 400 && fault->status <= 599 ? 0 : -EINVAL;
}

static int parse_chance(const char *text, struct standin_fault *fault)
{
    char *end;
    double percent = strtod(text, &end);

    if (end == text || strcmp(end, "%") != 0 || !(percent > 0 && percent <= 100) ||
        fault->kind == STANDIN_FAULT_OUTAGE)
        return -EINVAL;
    fault->of_million = (unsigned)(percent * MILLION / 100);
    return fault->of_million > 0 ? 0 : -EINVAL;
}

static int parse_when(const char *text, struct standin_fault *fault)
{
    size_t start = strcspn(text, "+"), length;
    const char *rest = text + start + 1;

    if (text[start] != '+')
        return parse_chance(text, fault);
    length = strcspn(rest, "/");
    if (standin_parse_duration(text, start, &fault->start_ns) < 0 ||
        standin_parse_duration(rest, length, &fault->length_ns) < 0 || fault->length_ns == 0)
        return -EINVAL;
    if (rest[length] == '\0')
        return 0;
    rest += length + 1;
    return standin_parse_duration(rest, strlen(rest), &fault->every_ns) < 0 ||
                   fault->every_ns <= fault->length_ns
               ? -EINVAL
               : 0;
}

int standin_faults_add(struct standin_faults *faults, const char *text)
{
    struct standin_fault fault = {0};
    const char *equals = strchr(text, '=');

    if (!equals || parse_what(text, (size_t)(equals - text), &fault) < 0 ||
        parse_when(equals + 1, &fault) < 0)
        return -EINVAL;
    if (faults->count == STANDIN_FAULTS_MAX)
        return -E2BIG;
    faults->list[faults->count++] = fault;
    return 0;
}

static bool is_its_time(const struct standin_fault *fault, uint64_t since_ns)
{
    uint64_t in;

    if (fault->of_million || since_ns < fault->start_ns)
        return false;
    in = since_ns - fault->start_ns;
    return (fault->every_ns ? in % fault->every_ns : in) < fault->length_ns;
}

enum standin_fault_kind standin_faults_in_force(const struct standin_faults *faults, uint64_t since_ns)
{
    enum standin_fault_kind kind = STANDIN_FAULT_NONE;

    for (size_t i = 0; i < faults->count; i++) {
        const struct standin_fault *fault = &faults->list[i];

        if (fault->kind == STANDIN_FAULT_STATUS || !is_its_time(fault, since_ns))
            continue;
        if (fault->kind == STANDIN_FAULT_OUTAGE)
            return STANDIN_FAULT_OUTAGE;
        kind = STANDIN_FAULT_STALL;
    }
    return kind;
}

enum standin_fault_kind standin_faults_of_request(
    struct standin_faults *faults, uint64_t since_ns, unsigned *ret_status)
{
    for (size_t i = 0; i < faults->count; i++) {
        const struct standin_fault *fault = &faults->list[i];

        if (fault->of_million ? standin_random(&faults->random) % MILLION >= fault->of_million
                              : !is_its_time(fault, since_ns))
            continue;
        *ret_status = fault->status;
        return fault->kind;
    }
    return STANDIN_FAULT_NONE;
}
