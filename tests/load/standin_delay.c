/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/standin_delay.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/options.h"

#define SIGMA_MAX 10

uint64_t standin_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

int standin_parse_duration(const char *text, size_t size, uint64_t *ret)
{
    char part[32];

    if (size == 0 || size >= sizeof(part))
        return -EINVAL;
    memcpy(part, text, size);
    part[size] = '\0';
    return option_parse_duration(part, ret) < 0 ? -EINVAL : 0;
}

/* The duration up to `end`. */
static int parse_part(const char *text, const char *end, uint64_t *ret)
{
    int r = standin_parse_duration(text, (size_t)(end - text), ret);

    return r == 0 && *ret > STANDIN_DELAY_MAX_NS ? -EINVAL : r;
}

static int parse_uniform(const char *text, struct standin_delay *delay)
{
    const char *dots = strstr(text, "..");

    if (!dots || parse_part(text, dots, &delay->ns) < 0 ||
        parse_part(dots + 2, dots + strlen(dots), &delay->max_ns) < 0)
        return -EINVAL;
    return delay->ns <= delay->max_ns ? 0 : -EINVAL;
}

static int parse_log_normal(const char *text, struct standin_delay *delay)
{
    const char *comma = strchr(text, ',');
    char *end;

    if (!comma || parse_part(text, comma, &delay->ns) < 0)
        return -EINVAL;
    delay->sigma = strtod(comma + 1, &end);
    return end != comma + 1 && *end == '\0' && delay->sigma >= 0 && delay->sigma <= SIGMA_MAX ? 0 : -EINVAL;
}

int standin_delay_parse(const char *text, struct standin_delay *ret)
{
    static const char *const names[] = {[STANDIN_DELAY_CONSTANT] = "constant:",
        [STANDIN_DELAY_UNIFORM] = "uniform:",
        [STANDIN_DELAY_EXPONENTIAL] = "exponential:",
        [STANDIN_DELAY_LOG_NORMAL] = "log-normal:"};
    struct standin_delay delay = {0};
    int r;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(text, names[i], strlen(names[i])) != 0)
            continue;
        delay.kind = (enum standin_delay_kind)i;
        text += strlen(names[i]);
        break;
    }
    if (delay.kind == STANDIN_DELAY_UNIFORM)
        r = parse_uniform(text, &delay);
    else if (delay.kind == STANDIN_DELAY_LOG_NORMAL)
        r = parse_log_normal(text, &delay);
    else
        r = parse_part(text, text + strlen(text), &delay.ns);
    if (r == 0)
        *ret = delay;
    return r;
}

/* In (0, 1]. */
static double unit(uint64_t *state)
{
    return ((double)(standin_random(state) >> 11) + 1) * 0x1p-53;
}

uint64_t standin_delay_of(const struct standin_delay *delay, uint64_t seed, const char *uid)
{
    uint64_t state = seed;
    double ns = (double)delay->ns;

    for (; *uid; uid++) /* each byte moves the sequence elsewhere */
        state = standin_random(&state) ^ (uint8_t)*uid;
    switch (delay->kind) {
    case STANDIN_DELAY_CONSTANT:
        break;
    case STANDIN_DELAY_UNIFORM:
        ns += unit(&state) * (double)(delay->max_ns - delay->ns);
        break;
    case STANDIN_DELAY_EXPONENTIAL:
        ns *= -log(unit(&state));
        break;
    case STANDIN_DELAY_LOG_NORMAL: { /* G. Box, M. Muller, "A Note on the Generation of Random Normal Deviates", 1958 */
        double radius = sqrt(-2 * log(unit(&state)));

        ns *= exp(delay->sigma * radius * cos(2 * M_PI * unit(&state)));
        break;
    }
    }
    return ns < (double)STANDIN_DELAY_MAX_NS ? (uint64_t)ns : STANDIN_DELAY_MAX_NS;
}
