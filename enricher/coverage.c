/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/coverage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "enricher/container_table.h"

const char *coverage_outcome_name(enum coverage_outcome outcome)
{
    static const char *const names[COVERAGE_OUTCOMES] = {"at_once", "waited", "not_known", "given_up",
        "no_wait", "no_container", "no_labels", "no_cgroup", "evicted"};

    return names[outcome];
}

void coverage_init(struct coverage_book *book)
{
    *book = (struct coverage_book){0};
    book->last_pod = &book->pods;
    book->last_namespace = &book->namespaces;
}

/* ---- tallies ------------------------------------------------------------------------------------------------ */

/* 0 1 2 3, then four buckets for each power of two. */
static unsigned bucket_of(uint64_t ms)
{
    unsigned power, bucket;

    if (ms < 4)
        return (unsigned)ms;
    power = 63 - (unsigned)__builtin_clzll(ms);
    bucket = (power - 1) * 4 + (unsigned)(ms >> (power - 2) & 3);
    return bucket < COVERAGE_BUCKETS ? bucket : COVERAGE_BUCKETS - 1;
}

/* The longest wait that falls into the bucket. */
static uint64_t bucket_end_ms(unsigned bucket)
{
    unsigned power = bucket / 4 + 1;

    return bucket < 4 ? bucket : ((UINT64_C(5) + bucket % 4) << (power - 2)) - 1;
}

void coverage_add(struct coverage_tally *sum, const struct coverage_tally *tally)
{
    for (size_t type = 0; type < COVERAGE_TYPES; type++) {
        for (size_t outcome = 0; outcome < COVERAGE_OUTCOMES; outcome++)
            sum->count[type][outcome] += tally->count[type][outcome];
        sum->corrected[type] += tally->corrected[type];
    }
    for (size_t i = 0; i < COVERAGE_BUCKETS; i++)
        sum->waits[i] += tally->waits[i];
    if (tally->wait_max_ms > sum->wait_max_ms)
        sum->wait_max_ms = tally->wait_max_ms;
}

void coverage_add_container(struct coverage_tally *sum, const struct container *container)
{
    for (size_t type = 0; type < COVERAGE_TYPES; type++)
        sum->count[type][COVERAGE_AT_ONCE] += container->at_once[type];
    if (container->tally)
        coverage_add(sum, container->tally);
}

uint64_t coverage_outcome_sum(const struct coverage_tally *tally, enum coverage_outcome outcome)
{
    uint64_t sum = 0;

    for (size_t type = 0; type < COVERAGE_TYPES; type++)
        sum += tally->count[type][outcome];
    return sum;
}

uint64_t coverage_events(const struct coverage_tally *tally)
{
    uint64_t sum = 0;

    for (int outcome = 0; outcome < COVERAGE_OUTCOMES; outcome++)
        sum += coverage_outcome_sum(tally, (enum coverage_outcome)outcome);
    return sum;
}

uint64_t coverage_complete(const struct coverage_tally *tally)
{
    return coverage_outcome_sum(tally, COVERAGE_AT_ONCE) + coverage_outcome_sum(tally, COVERAGE_WAITED);
}

uint64_t coverage_wait_ms(const struct coverage_tally *tally, unsigned percent)
{
    uint64_t total = 0, seen = 0;

    for (unsigned i = 0; i < COVERAGE_BUCKETS; i++)
        total += tally->waits[i];
    for (unsigned i = 0; total && i < COVERAGE_BUCKETS; i++) {
        seen += tally->waits[i];
        if (seen * 100 >= total * percent)
            return i == COVERAGE_BUCKETS - 1 || bucket_end_ms(i) > tally->wait_max_ms ? tally->wait_max_ms
                                                                                      : bucket_end_ms(i);
    }
    return 0;
}

/* ---- counting ------------------------------------------------------------------------------------------------- */

static struct coverage_tally *tally_of(struct coverage_book *book, struct container *container)
{
    if (container->dissolved)
        return &book->rest;
    if (!container->tally)
        container->tally = calloc(1, sizeof(*container->tally));
    return container->tally ? container->tally : &book->rest;
}

void coverage_count(struct coverage_book *book, struct container *container, uint8_t type,
    enum coverage_outcome outcome, uint64_t waited_ns)
{
    struct coverage_tally *tally = tally_of(book, container);
    uint64_t ms = waited_ns / NS_PER_MS;

    tally->count[type - RECORD_FORK][outcome]++;
    if (outcome != COVERAGE_WAITED)
        return;
    tally->waits[bucket_of(ms)]++;
    if (ms > tally->wait_max_ms)
        tally->wait_max_ms = ms;
}

void coverage_correct(
    struct coverage_book *book, struct container *container, const uint64_t events[COVERAGE_TYPES])
{
    struct coverage_tally *tally = tally_of(book, container);

    for (size_t type = 0; type < COVERAGE_TYPES; type++)
        tally->corrected[type] += events[type];
}

void coverage_dissolve(struct coverage_book *book, struct container *stand_in, struct container *container)
{
    if (stand_in->tally)
        coverage_add(tally_of(book, container), stand_in->tally);
    free(stand_in->tally);
    stand_in->tally = NULL;
    stand_in->dissolved = true;
}

/* ---- what has gone ---------------------------------------------------------------------------------------------- */

static bool same_name(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static struct coverage_tally *namespace_tally(struct coverage_book *book, const char *name)
{
    struct coverage_namespace *row = book->namespaces;

    while (row && !same_name(row->name, name))
        row = row->next;
    if (row)
        return &row->tally;
    if (book->namespace_count >= COVERAGE_NAMESPACES_MAX)
        return &book->rest;
    row = calloc(1, sizeof(*row));
    if (row && name)
        row->name = strdup(name);
    if (!row || (name && !row->name)) {
        free(row);
        return &book->rest;
    }
    *book->last_namespace = row;
    book->last_namespace = &row->next;
    book->namespace_count++;
    return &row->tally;
}

static void free_pod(struct coverage_pod *pod)
{
    free(pod->namespace_);
    free(pod->name);
    free(pod);
}

static void fold_oldest_pod(struct coverage_book *book)
{
    struct coverage_pod *pod = book->pods;

    book->pods = pod->next;
    if (!book->pods)
        book->last_pod = &book->pods;
    book->pod_count--;
    coverage_add(namespace_tally(book, pod->namespace_), &pod->tally);
    free_pod(pod);
}

/* Takes the row out of the list; NULL: there is none. */
static struct coverage_pod *take_pod(struct coverage_book *book, const char *uid)
{
    struct coverage_pod **link = &book->pods, *pod;

    while (*link && strcmp((*link)->uid, uid) != 0)
        link = &(*link)->next;
    pod = *link;
    if (!pod)
        return NULL;
    *link = pod->next;
    if (!pod->next)
        book->last_pod = link;
    book->pod_count--;
    return pod;
}

static void name_pod(struct coverage_pod *row, const struct pod *pod)
{
    if (!row->namespace_ && pod && pod->namespace_)
        row->namespace_ = strdup(pod->namespace_);
    if (!row->name && pod && pod->name)
        row->name = strdup(pod->name);
}

/* The Pod's row, the newest from now on. */
static struct coverage_tally *pod_tally(struct coverage_book *book, const char *uid, const struct pod *pod)
{
    struct coverage_pod *row = take_pod(book, uid);

    if (!row && book->pod_count >= COVERAGE_PODS_MAX)
        fold_oldest_pod(book);
    if (!row)
        row = calloc(1, sizeof(*row));
    if (!row)
        return &book->rest;
    (void)snprintf(row->uid, sizeof(row->uid), "%s", uid);
    name_pod(row, pod);
    row->next = NULL;
    *book->last_pod = row;
    book->last_pod = &row->next;
    book->pod_count++;
    return &row->tally;
}

void coverage_fold(struct coverage_book *book, struct container *container)
{
    const struct pod *pod = container->pod;
    const char *uid = pod ? pod->uid : container->identity.pod_uid;
    struct coverage_tally sum = {0}, *row;

    coverage_add_container(&sum, container);
    free(container->tally);
    container->tally = NULL;
    if (coverage_events(&sum) == 0)
        return;
    if (container->state == CONTAINER_HOST)
        row = &book->host;
    else
        row = uid[0] ? pod_tally(book, uid, pod) : &book->rest;
    coverage_add(row, &sum);
}

void coverage_deinit(struct coverage_book *book)
{
    while (book->pods) {
        struct coverage_pod *pod = book->pods;

        book->pods = pod->next;
        free_pod(pod);
    }
    while (book->namespaces) {
        struct coverage_namespace *row = book->namespaces;

        book->namespaces = row->next;
        free(row->name);
        free(row);
    }
    coverage_init(book);
}
