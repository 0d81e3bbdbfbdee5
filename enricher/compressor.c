/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/compressor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"

#ifdef HAVE_ZSTD

#include <zstd.h>

#define LEVEL       3
#define CHUNK_BYTES ((size_t)256 * 1024)

struct compressor {
    struct loop *loop;
    struct loop_poll done; /* the thread's word that it is */
    void (*fn)(void *arg, int result);
    void *arg;
    int done_fd;
    bool busy;
    pthread_t thread;
    /* of the job: the thread's until it is joined */
    int from, to, result;
    atomic_bool stop; /* relaxed: a hint to end early, it orders nothing */
};

struct job {
    struct compressor *compressor;
    ZSTD_CCtx *context;
    char *in, *out;
};

bool compressor_is_available(void)
{
    return true;
}

/* ---- the thread --------------------------------------------------------------------------------------------- */

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, data, size);

        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
    return 0;
}

static int compress_chunk(struct job *job, size_t size, ZSTD_EndDirective end)
{
    ZSTD_inBuffer in = {job->in, size, 0};
    size_t left;

    do {
        ZSTD_outBuffer out = {job->out, CHUNK_BYTES, 0};
        int r;

        left = ZSTD_compressStream2(job->context, &out, &in, end);
        if (ZSTD_isError(left))
            return -ENOMEM; /* the input is any bytes: nothing else can be wrong */
        r = write_all(job->compressor->to, job->out, out.pos);
        if (r < 0)
            return r;
    } while (end == ZSTD_e_end ? left > 0 : in.pos < in.size);
    return 0;
}

/* Z1: as long as the work took. */
static void rest(uint64_t since_ns)
{
    uint64_t worked_ns = clock_boot_ns() - since_ns;
    const struct timespec pause = {(time_t)(worked_ns / NS_PER_SEC), (long)(worked_ns % NS_PER_SEC)};

    (void)nanosleep(&pause, NULL);
}

static int compress(struct job *job)
{
    struct compressor *compressor = job->compressor;
    ssize_t got;

    do {
        uint64_t begin_ns = clock_boot_ns();
        int r;

        if (atomic_load_explicit(&compressor->stop, memory_order_relaxed))
            return -ECANCELED;
        got = read(compressor->from, job->in, CHUNK_BYTES);
        if (got < 0)
            return -errno;
        r = compress_chunk(job, (size_t)got, got ? ZSTD_e_continue : ZSTD_e_end);
        if (r < 0)
            return r;
        rest(begin_ns);
    } while (got > 0);
    return fdatasync(compressor->to) < 0 ? -errno : 0;
}

static void *run_job(void *arg)
{
    struct job job = {.compressor = arg,
        .context = ZSTD_createCCtx(),
        .in = malloc(CHUNK_BYTES),
        .out = malloc(CHUNK_BYTES)};
    const uint64_t one = 1;

    job.compressor->result = -ENOMEM;
    if (job.context && job.in && job.out) {
        (void)ZSTD_CCtx_setParameter(job.context, ZSTD_c_compressionLevel, LEVEL);
        (void)ZSTD_CCtx_setParameter(job.context, ZSTD_c_checksumFlag, 1);
        job.compressor->result = compress(&job);
    }
    free(job.in);
    free(job.out);
    (void)ZSTD_freeCCtx(job.context);
    (void)!write(job.compressor->done_fd, &one, sizeof(one));
    return NULL;
}

/* ---- the loop's side -------------------------------------------------------------------------------------------- */

/* After this the job is ours again. */
static void end_job(struct compressor *compressor)
{
    uint64_t ignored;

    (void)pthread_join(compressor->thread, NULL);
    (void)!read(compressor->done_fd, &ignored, sizeof(ignored));
    fd_close(&compressor->from);
    fd_close(&compressor->to);
    compressor->busy = false;
}

static void on_done(void *arg, uint32_t events)
{
    struct compressor *compressor = arg;

    (void)events;
    if (!compressor->busy)
        return;
    end_job(compressor);
    compressor->fn(compressor->arg, compressor->result);
}

int compressor_new(struct compressor **ret, struct loop *loop, void (*fn)(void *arg, int result), void *arg)
{
    struct compressor *compressor = calloc(1, sizeof(*compressor));
    int r;

    if (!compressor)
        return -ENOMEM;
    *compressor = (struct compressor){.loop = loop, .fn = fn, .arg = arg, .from = -1, .to = -1};
    compressor->done = (struct loop_poll){.fn = on_done, .arg = compressor, .fd = -1};
    compressor->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = compressor->done_fd < 0 ? -errno
                                : loop_poll_start(loop, &compressor->done, compressor->done_fd, POLLIN);
    if (r < 0) {
        compressor_free(compressor);
        return r;
    }
    *ret = compressor;
    return 0;
}

struct compressor *compressor_free(struct compressor *compressor)
{
    if (!compressor)
        return NULL;
    if (compressor->busy) {
        atomic_store_explicit(&compressor->stop, true, memory_order_relaxed);
        end_job(compressor);
    }
    loop_poll_stop(compressor->loop, &compressor->done);
    fd_close(&compressor->done_fd);
    free(compressor);
    return NULL;
}

bool compressor_is_busy(const struct compressor *compressor)
{
    return compressor->busy;
}

int compressor_start(struct compressor *compressor, int from, int to)
{
    sigset_t all, before;
    int r;

    compressor->from = from;
    compressor->to = to;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
    r = -pthread_create(&compressor->thread, NULL, run_job, compressor);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    compressor->busy = r == 0;
    if (r < 0) {
        fd_close(&compressor->from);
        fd_close(&compressor->to);
    }
    return r;
}

#else

bool compressor_is_available(void)
{
    return false;
}

int compressor_new(struct compressor **ret, struct loop *loop, void (*fn)(void *arg, int result), void *arg)
{
    (void)ret;
    (void)loop;
    (void)fn;
    (void)arg;
    return -EOPNOTSUPP;
}

struct compressor *compressor_free(struct compressor *compressor)
{
    (void)compressor;
    return NULL;
}

bool compressor_is_busy(const struct compressor *compressor)
{
    (void)compressor;
    return false;
}

int compressor_start(struct compressor *compressor, int from, int to)
{
    (void)compressor;
    fd_close(&from);
    fd_close(&to);
    return -EOPNOTSUPP;
}

#endif
