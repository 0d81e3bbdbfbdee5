/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks form a ring: `oldest` is being written, `current` is being filled; both may be the same block, as
 * a write takes the bytes that are there and the next line goes behind them. A block that has been filled
 * and written is empty again.
 */
#include "enricher/output.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "enricher/histogram.h"
#include "enricher/loop.h"
#include "enricher/sink_file.h"
#include "enricher/sink_viewer.h"

#define BLOCK_BYTES  (UINT64_C(256) * 1024)
#define BLOCK_COUNT  8
#define NOTES_MAX    1024 /* events of a block whose time is kept */
#define FREE_WAIT_NS (2 * NS_PER_SEC)

struct block {
    char *data;
    size_t used;        /* whole lines */
    size_t written;     /* as far as the primary sink has it */
    size_t shown;       /* as far as viewers have it */
    uint64_t last_line; /* number of its last line, once filled */
    bool begins_file;   /* with its first byte, the begin of a section, the sink may turn to another file */
    uint64_t begins_at; /* bytes committed before that */
    unsigned note_count, notes_written;
    uint64_t notes_ns[NOTES_MAX];
};

struct output {
    struct block *current, *oldest; /* in the order of reserve and commit: the hot fields first */
    size_t reserved;
    uint64_t lines, durable_lines, bytes;
    uint64_t section_at; /* a section is due when so many bytes are committed; UINT64_MAX: none ever */
    struct block blocks[BLOCK_COUNT];
    char *memory;

    struct loop *loop;
    struct sink_file sink;
    struct sink_viewers viewers;
    bool has_sink;
    bool sections;
    bool section_wanted;   /* a section is due, the file being new */
    bool file_wanted;      /* a section is due, so that the sink can turn to another file */
    uint64_t file_full_at; /* the same when so many bytes are committed; UINT64_MAX: never */
    uint64_t rotate_bytes;
    uint64_t file_at;  /* bytes committed before the latest file */
    bool flush_wanted; /* what the current block holds is to be written, full or not */
    size_t run_end;    /* of the run that the sink has: in the oldest block */
    uint64_t run_last_line;
    unsigned run_notes_end;
    struct histogram latency;
    void (*progress_fn)(void *arg);
    void *progress_arg;
    struct loop_timer progress; /* what was written at once is told in the next turn */
    output_tap_fn *tap_fn;
    void *tap_arg;
};

/* ---- blocks --------------------------------------------------------------------------------------- */

static struct block *next_block(struct output *output, struct block *block)
{
    return block + 1 < output->blocks + BLOCK_COUNT ? block + 1 : output->blocks;
}

static void block_empty(struct block *block)
{
    block->used = block->written = block->shown = 0;
    block->note_count = block->notes_written = 0;
    block->begins_file = false;
}

static void show(struct output *output)
{
    struct block *block = output->current;

    if (output->viewers.first && block->used > block->shown)
        sink_viewers_send(&output->viewers, block->data + block->shown, block->used - block->shown);
    if (output->tap_fn && block->used > block->shown)
        output->tap_fn(output->tap_arg, block->data + block->shown, block->used - block->shown);
    block->shown = block->used;
}

/* ---- sections ------------------------------------------------------------------------------------- */

static void update_section(struct output *output)
{
    output->section_at = !output->sections ? UINT64_MAX
                         : output->viewers.waiting || output->section_wanted || output->file_wanted
                             ? 0
                             : output->file_full_at;
}

enum output_section output_section_due(const struct output *output)
{
    if (__builtin_expect(output->bytes < output->section_at, 1))
        return OUTPUT_SECTION_NONE;
    return output->file_wanted || output->section_wanted || output->bytes >= output->file_full_at
               ? OUTPUT_SECTION_FILE
               : OUTPUT_SECTION_VIEWER;
}

/* The sink is at rest, and what it gets next begins a section. */
static void begin_file(struct output *output, uint64_t at)
{
    sink_file_begin(&output->sink);
    if (output->file_at == at) /* else a later one is under way */
        output->file_full_at =
            sink_file_room(&output->sink) == UINT64_MAX ? UINT64_MAX : at + sink_file_room(&output->sink);
    update_section(output);
}

static bool is_pending(const struct output *output)
{
    return output->oldest != output->current || output->current->used > output->current->written;
}

/* Nothing is under way: another file is begun at once, and its section with the next line. */
static void begin_file_if_idle(struct output *output)
{
    if (!output->file_wanted || is_pending(output) || sink_file_busy(&output->sink))
        return;
    output->file_wanted = false;
    output->section_wanted = true;
    output->file_at = output->bytes;
    begin_file(output, output->bytes);
}

static void on_file_due(void *arg)
{
    struct output *output = arg;

    output->file_wanted = true;
    begin_file_if_idle(output);
    update_section(output);
}

/* ---- runs ----------------------------------------------------------------------------------------- */

static void measure(struct output *output, struct block *block)
{
    uint64_t now_ns = block->notes_written < output->run_notes_end ? clock_boot_ns() : 0;

    for (; block->notes_written < output->run_notes_end; block->notes_written++) {
        uint64_t then_ns = block->notes_ns[block->notes_written];

        histogram_add(&output->latency, now_ns > then_ns ? now_ns - then_ns : 0);
    }
}

/* The sink has its next run, if it is idle and there is one: filled blocks at once, the current one when a flush was asked for. true: and has written it already. */
static bool start_run(struct output *output)
{
    struct block *block = output->oldest;
    bool filled = block != output->current;

    if (sink_file_busy(&output->sink) || block->used == block->written || !(filled || output->flush_wanted))
        return false;
    if (!filled)
        output->flush_wanted = false;
    if (block->begins_file) {
        block->begins_file = false;
        begin_file(output, block->begins_at);
    }
    output->run_end = block->used;
    output->run_notes_end = block->note_count;
    output->run_last_line = filled ? block->last_line : output->lines;
    return sink_file_write(&output->sink, block->data + block->written, block->used - block->written);
}

static void end_run(struct output *output)
{
    struct block *block = output->oldest;

    measure(output, block);
    block->written = output->run_end;
    output->durable_lines = output->run_last_line;
    if (block->written < block->used)
        return;
    if (block == output->current)
        show(output);
    else
        output->oldest = next_block(output, block);
    block_empty(block);
}

static void tell_progress(void *arg, uint64_t now_ns)
{
    struct output *output = arg;

    (void)now_ns;
    if (output->progress_fn)
        output->progress_fn(output->progress_arg);
}

static void write_next(struct output *output)
{
    bool any = false;

    while (start_run(output)) {
        end_run(output);
        any = true;
    }
    if (any && output->progress_fn) /* from the loop, not out of our caller's call */
        loop_timer_arm(output->loop, &output->progress, 0);
}

static void on_run_written(void *arg)
{
    struct output *output = arg;

    end_run(output);
    write_next(output);
    begin_file_if_idle(output);
    if (output->progress_fn)
        output->progress_fn(output->progress_arg);
}

/* The current block cannot take the next line. false: no other is free. */
static bool turn_over(struct output *output)
{
    struct block *full = output->current, *next = next_block(output, full);

    show(output);
    if (!output->has_sink) {
        block_empty(full);
        return true;
    }
    if (output->oldest == full && !sink_file_busy(&output->sink)) {
        /* Written at once it is empty again, and in the cache for the next line. */
        output->flush_wanted = true;
        write_next(output);
        if (full->used == 0)
            return true;
    }
    if (next->used)
        return false;
    full->last_line = output->lines;
    output->current = next;
    write_next(output);
    return true;
}

int output_begin_section(struct output *output)
{
    show(output);
    if (output->has_sink && (output->file_wanted || output->bytes >= output->file_full_at)) {
        if (output->current->used > 0 && !turn_over(output))
            return -EAGAIN;
        output->current->begins_file = true;
        output->current->begins_at = output->file_at = output->bytes;
        output->file_full_at = output->rotate_bytes ? output->bytes + output->rotate_bytes : UINT64_MAX;
        output->file_wanted = false;
    }
    output->section_wanted = false;
    sink_viewers_start(&output->viewers);
    update_section(output);
    return 0;
}

char *output_reserve(struct output *output, size_t max)
{
    if (__builtin_expect(output->current->used + max > BLOCK_BYTES, 0)) {
        assert(max <= OUTPUT_LINE_MAX);
        if (!turn_over(output))
            return NULL;
    }
    output->reserved = max;
    return output->current->data + output->current->used;
}

void output_commit(struct output *output, size_t size)
{
    struct block *block = output->current;

    assert(size > 0 && size <= output->reserved && block->data[block->used + size - 1] == '\n');
    block->used += size;
    output->bytes += size;
    output->lines++;
}

void output_note(struct output *output, uint64_t time_ns)
{
    struct block *block = output->current;

    if (block->note_count < NOTES_MAX)
        block->notes_ns[block->note_count++] = time_ns;
}

const struct histogram *output_latency(const struct output *output)
{
    return &output->latency;
}

void output_flush(struct output *output)
{
    show(output);
    if (!output->has_sink) {
        block_empty(output->current);
        return;
    }
    output->flush_wanted = true;
    write_next(output);
    begin_file_if_idle(output);
}

bool output_is_removed(const struct output *output)
{
    return output->has_sink && sink_file_is_removed(&output->sink);
}

void output_reopen(struct output *output)
{
    if (output->has_sink && sink_file_reopen(&output->sink) && output->sections) {
        output->section_wanted = true;
        update_section(output);
    }
}

/* ---- marks, viewers, state ------------------------------------------------------------------------ */

uint64_t output_mark(const struct output *output)
{
    return output->lines;
}

uint64_t output_durable(const struct output *output)
{
    return output->has_sink ? output->durable_lines : output->lines;
}

void output_on_progress(struct output *output, void (*fn)(void *arg), void *arg)
{
    output->progress_fn = fn;
    output->progress_arg = arg;
}

int output_add_viewer(struct output *output, int fd)
{
    int r;

    show(output); /* what is committed already is not for the new one */
    r = sink_viewers_add(&output->viewers, fd);
    update_section(output);
    return r;
}

void output_set_tap(struct output *output, output_tap_fn *fn, void *arg)
{
    output->tap_fn = fn;
    output->tap_arg = arg;
}

void output_show(struct output *output, const char *data, size_t size)
{
    if (data)
        sink_viewers_send(&output->viewers, data, size);
    else
        sink_viewers_cut(&output->viewers);
}

bool output_has_viewers(const struct output *output)
{
    return output->viewers.first;
}

void output_get_state(const struct output *output, struct output_state *ret)
{
    const struct sink_file *sink = &output->sink;

    *ret = (struct output_state){
        .lines = output->lines,
        .bytes = output->bytes,
        .rotations = sink->rotations,
        .files_compressed = sink->aside.compressed,
        .compress_failures = sink->aside.failures,
        .write_errors = sink->write_errors,
        .viewers = output->viewers.count,
        .viewers_cut = output->viewers.cut,
        .last_error = sink->write_error ? sink->write_error : sink->rotate_error,
    };
}

/* ---- life ----------------------------------------------------------------------------------------- */

static int open_sink(struct output *output, const struct output_options *options)
{
    bool is_stdout = strcmp(options->path, "-") == 0;
    struct sink_file_options sink_options = {
        .path = is_stdout ? NULL : options->path,
        .fd = STDOUT_FILENO,
        .rotate_bytes = options->rotate_bytes,
        .rotate_age_ns = options->rotate_age_ns,
        .rotate_keep = options->rotate_keep,
        .compress = options->compress,
        .mode = options->file_mode,
        .due = options->sections ? on_file_due : NULL,
    };
    int r = sink_file_init(&output->sink, output->loop, &sink_options, on_run_written, output);

    output->has_sink = r == 0;
    if (r == 0)
        output->file_full_at = sink_file_room(&output->sink);
    return r;
}

int output_new(struct output **ret, struct loop *loop, const struct output_options *options)
{
    struct output *output = calloc(1, sizeof(*output));
    int r = 0;

    if (!output)
        return -ENOMEM;
    output->loop = loop;
    output->sections = options->sections;
    output->rotate_bytes = options->rotate_bytes;
    output->file_full_at = UINT64_MAX;
    output->progress = (struct loop_timer){.fn = tell_progress, .arg = output};
    output->memory = malloc(BLOCK_COUNT * BLOCK_BYTES);
    for (size_t i = 0; i < BLOCK_COUNT && output->memory; i++)
        output->blocks[i].data = output->memory + i * BLOCK_BYTES;
    output->current = output->oldest = output->blocks;
    sink_viewers_init(&output->viewers, loop, options->viewer_buffer_bytes, options->max_viewers);
    output->viewers.sections = options->sections;
    if (!output->memory)
        r = -ENOMEM;
    else if (options->path)
        r = open_sink(output, options);
    if (r < 0) {
        output_free(output);
        return r;
    }
    update_section(output);
    *ret = output;
    return 0;
}

/* The kernel may still read the blocks: they are not freed before it says that it is done. */
static void end_sink(struct output *output)
{
    uint64_t end_ns = clock_boot_ns() + FREE_WAIT_NS;

    output->progress_fn = NULL;
    loop_timer_disarm(output->loop, &output->progress);
    output_flush(output);
    while (is_pending(output) && clock_boot_ns() < end_ns && loop_run_once(output->loop, end_ns) == 0)
        output_flush(output);
    sink_file_cancel(&output->sink);
    while (sink_file_busy(&output->sink) && loop_run_once(output->loop, UINT64_MAX) == 0)
        ;
    sink_file_deinit(&output->sink);
}

struct output *output_free(struct output *output)
{
    if (!output)
        return NULL;
    if (output->has_sink)
        end_sink(output);
    sink_viewers_deinit(&output->viewers);
    free(output->memory);
    free(output);
    return NULL;
}
