/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/image.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/record_check.h"
#include "tests/unit/make_record.h"

static const struct image_options OWN = {.own_fields = true};
static const struct make_key KEY = {7, 70}, PARENT = {1, 1};

static struct make_record buffer;

/* Everything that a test wants to set; sizes are strlen() where 0. */
struct what {
    const char *filename, *args, *cwd, *comm;
    size_t args_size;
    uint32_t flags;
};

static struct record_process *record_of(const struct what *what)
{
    struct record_process *record =
        (struct record_process *)make_header(&buffer, RECORD_EXEC, sizeof(*record), KEY, 1, 1000);
    size_t used = sizeof(*record);

    record->image_start_ns = 1000;
    record->parent_start_ns = PARENT.start_ns;
    record->parent_tgid = PARENT.tgid;
    record->auid = 1000;
    record->flags = what->flags;
    if (what->filename)
        record->filename = make_tail(&buffer, &used, what->filename, strlen(what->filename));
    if (what->args)
        record->args =
            make_tail(&buffer, &used, what->args, what->args_size ? what->args_size : strlen(what->args));
    if (what->cwd)
        record->cwd = make_tail(&buffer, &used, what->cwd, strlen(what->cwd));
    if (what->comm)
        memcpy(record->comm, what->comm, strnlen(what->comm, RECORD_COMM_MAX));
    memset(buffer.bytes + used, 0, 8);
    record->header.size = (uint32_t)((used + 7) & ~(size_t)7);
    cr_assert_eq(record_check(&record->header, record->header.size), 0);
    return record;
}

static json_t *parse_part(const struct image *image, size_t size)
{
    char *text = malloc(size + 3);
    json_error_t error;
    json_t *object;

    cr_assert_eq(image->fragment[size - 1], ',');
    text[0] = '{';
    memcpy(text + 1, image->fragment, size);
    text[size] = '}';
    text[size + 1] = '\0';
    cr_assert_eq(strlen(text), size + 1, "a NUL in the fragment");
    object = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    cr_assert_not_null(object, "%s: %s", error.text, text);
    free(text);
    return object;
}

static struct image *image_of(const struct what *what)
{
    struct image *image = image_new(record_of(what), &OWN);

    cr_assert_not_null(image);
    return image;
}

/* One string of the image of `what`; compared and forgotten. NULL: expected to be absent. */
static void expect_string(const struct what *what, const char *key, const char *expected)
{
    struct image *image = image_of(what);
    json_t *object = parse_part(image, image->size);
    const char *got = json_string_value(json_object_get(object, key));

    if (expected)
        cr_expect(
            got && strcmp(got, expected) == 0, "%s: '%s', not '%s'", key, got ? got : "(none)", expected);
    else
        cr_expect_null(got, "%s: '%s'", key, got);
    json_decref(object);
    image_unref(image);
}

static void expect_args(
    const char *args, size_t size, const char *joined, size_t count, const char *const *each)
{
    const struct what what = {.filename = "/x", .args = args, .args_size = size};
    struct image *image = image_of(&what);
    json_t *object = parse_part(image, image->size), *array = json_object_get(object, "args");

    expect_string(&what, "arguments", joined);
    cr_expect_eq(json_array_size(array), count, "%zu arguments of '%s'", json_array_size(array), joined);
    for (size_t i = 0; i < count; i++)
        cr_expect_str_eq(json_string_value(json_array_get(array, i)), each[i]);
    cr_expect(!image->cut);
    json_decref(object);
    image_unref(image);
}

#define ARGS(literal) (literal), sizeof(literal) - 1

Test(image, arguments_are_those_behind_the_first)
{
    expect_args(ARGS("sh\0-c\0echo hi"), "-c \"echo hi\"", 2, (const char *const[]){"-c", "echo hi"});
    expect_args(ARGS("a\0\0"), "\"\" \"\"", 2, (const char *const[]){"", ""});
    expect_args(ARGS("a\0"), "\"\"", 1, (const char *const[]){""});
    expect_args(ARGS("\0x"), "x", 1, (const char *const[]){"x"});
    expect_args(ARGS("a\0say \"hi\""), "\"say \"hi\"\"", 1, (const char *const[]){"say \"hi\""});
    expect_args(ARGS("a\0\\\0\n\t\x01"), "\\ \n\t\x01", 2, (const char *const[]){"\\", "\n\t\x01"});
}

Test(image, no_arguments_no_fields)
{
    static const struct {
        const char *args;
        size_t size;
    } none[] = {{NULL, 0}, {"", 0}, {"only-the-name", 0}, {"\xff\xfe", 2}};

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        const struct what what = {.filename = "/x", .args = none[i].args, .args_size = none[i].size};
        struct image *image = image_of(&what);
        json_t *object = parse_part(image, image->size);

        cr_expect_null(json_object_get(object, "arguments"));
        cr_expect_null(json_object_get(object, "args"));
        cr_expect_eq(image->size, image->short_size);
        json_decref(object);
        image_unref(image);
    }
}

Test(image, bytes_that_are_no_utf8_become_the_replacement_character)
{
    expect_args(ARGS("a\0\xff\0x\xc3\xa4\xc3\0\xed\xa0\x80"), "\uFFFD x\u00e4\uFFFD \uFFFD\uFFFD\uFFFD", 3,
        (const char *const[]){"\uFFFD", "x\u00e4\uFFFD", "\uFFFD\uFFFD\uFFFD"});
}

Test(image, binary_is_absolute_where_it_can_be)
{
    expect_string(&(struct what){.filename = "/bin/sh", .cwd = "/srv"}, "binary", "/bin/sh");
    expect_string(&(struct what){.filename = "./a.out", .cwd = "/srv"}, "binary", "/srv/a.out");
    expect_string(&(struct what){.filename = "././a", .cwd = "/srv"}, "binary", "/srv/a");
    expect_string(&(struct what){.filename = "../a", .cwd = "/srv"}, "binary", "/srv/../a");
    expect_string(&(struct what){.filename = "a", .cwd = "/"}, "binary", "/a");
    expect_string(&(struct what){.filename = "./", .cwd = "/"}, "binary", "/./");
    expect_string(&(struct what){.filename = "./a.out"}, "binary", "./a.out");
    expect_string(&(struct what){.filename = "a\"\\b"}, "binary", "a\"\\b");
}

Test(image, kernel_thread_has_its_name_in_brackets)
{
    const struct what what = {.comm = "kworker/0:1", .flags = RECORD_PROCESS_KERNEL_THREAD};

    expect_string(&what, "binary", "[kworker/0:1]");
    expect_string(&what, "cwd", NULL);
    expect_string(&(struct what){.comm = "sixteen bytes!!!and more"}, "binary", "[sixteen bytes!!!]");
    expect_string(&(struct what){.comm = "\x1b[31m\xff"}, "binary", "[\x1b[31m\uFFFD]");
    expect_string(&(struct what){0}, "binary", "[]");
}

Test(image, cwd_stands_as_it_is_and_the_root_is_marked)
{
    struct image *image = image_of(&(struct what){.filename = "/x", .cwd = "/"});

    cr_expect(image->root_cwd);
    image_unref(image);
    image = image_of(&(struct what){.filename = "/x", .cwd = "//"});
    cr_expect(!image->root_cwd);
    image_unref(image);
    image = image_of(&(struct what){.filename = "/x"});
    cr_expect(!image->root_cwd);
    image_unref(image);
    expect_string(&(struct what){.filename = "/x", .cwd = "/a\nb"}, "cwd", "/a\nb");
}

static char *repeat(const char *unit, size_t size)
{
    char *text = malloc(size + 1);

    for (size_t i = 0; i < size; i++)
        text[i] = unit[i % strlen(unit)];
    text[size] = '\0';
    return text;
}

/* What a workload can do to make lines long: 8 KiB of one kind of byte in one argument. */
Test(image, eight_kib_of_anything_stay_within_the_budgets)
{
    static const char *const units[] = {"\x01", "\"", "\\", "\xff", "\x7f", "a", " ", "\xc3\xa4",
        "\xe2\x80\xa8", "\xf0\x9f\x9a\x80", "a\"\x02\xff "};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        char *args = repeat(units[i], RECORD_ARGS_MAX), *path = repeat(units[i], RECORD_PATH_MAX);
        struct image *image;
        json_t *object;

        args[1] = '\0';
        image = image_of(
            &(struct what){.filename = path, .args = args, .args_size = RECORD_ARGS_MAX, .cwd = path});
        object = parse_part(image, image->size);
        cr_expect_not_null(json_object_get(object, "args"));
        cr_expect_leq(image->short_size, 2 * IMAGE_PATH_BUDGET + 64, "unit %zu", i);
        cr_expect_leq(image->size - image->short_size, 2 * IMAGE_ARGS_BUDGET + 64, "unit %zu", i);
        json_decref(object);
        object = parse_part(image, image->short_size);
        cr_expect_eq(json_object_size(object), 2);
        json_decref(object);
        image_unref(image);
        free(args);
        free(path);
    }
}

Test(image, what_fits_is_not_marked_as_cut_and_what_does_not_is)
{
    char *plain = repeat("a", RECORD_ARGS_MAX), *control = repeat("\x01", RECORD_ARGS_MAX);
    struct image *image;

    plain[4] = '\0';
    control[1] = '\0';
    image = image_of(&(struct what){.filename = "/x", .args = plain, .args_size = RECORD_ARGS_MAX});
    cr_expect(!image->cut);
    image_unref(image);
    image = image_of(&(struct what){.filename = "/x", .args = control, .args_size = RECORD_ARGS_MAX});
    cr_expect(image->cut);
    image_unref(image);
    free(plain);
    free(control);
}

Test(image, four_thousand_empty_arguments_are_cut_and_marked)
{
    char args[RECORD_ARGS_MAX] = {0};
    struct image *image = image_of(&(struct what){.filename = "/x", .args = args, .args_size = sizeof(args)});
    json_t *object = parse_part(image, image->size);

    cr_expect(image->cut);
    cr_expect_gt(json_array_size(json_object_get(object, "args")), 5000);
    json_decref(object);
    image_unref(image);
}

/* A short argument behind one that was cut would read as its neighbour. */
Test(image, nothing_follows_an_argument_that_was_cut)
{
    char *args = repeat("\x01", RECORD_ARGS_MAX);
    struct image *image;
    json_t *object, *array;
    const char *joined;

    args[1] = '\0';
    for (size_t i = 4000; i < RECORD_ARGS_MAX; i++)
        args[i] = i % 2 ? 'b' : '\0';
    image = image_of(&(struct what){.filename = "/x", .args = args, .args_size = RECORD_ARGS_MAX});
    object = parse_part(image, image->size);
    array = json_object_get(object, "args");
    joined = json_string_value(json_object_get(object, "arguments"));
    cr_expect(image->cut);
    cr_expect_eq(json_array_size(array), 1);
    cr_expect_null(strchr(joined, 'b'));
    json_decref(object);
    image_unref(image);
    free(args);
}

Test(image, relative_binary_in_a_deep_folder_is_cut_and_marked)
{
    char *cwd = repeat("d", RECORD_PATH_MAX);
    struct image *image = image_of(&(struct what){.filename = "x", .cwd = cwd});
    json_t *object = parse_part(image, image->size);

    cr_expect(image->cut);
    cr_expect_eq(json_string_length(json_object_get(object, "binary")), IMAGE_PATH_BUDGET / 2 + 2);
    cr_expect_eq(json_string_length(json_object_get(object, "cwd")), RECORD_PATH_MAX);
    json_decref(object);
    image_unref(image);
    free(cwd);
}

Test(image, own_fields_off_leaves_out_args_and_nothing_else)
{
    const struct what what = {.filename = "/x", .args = "a\0b", .args_size = 3, .cwd = "/"};
    const struct image_options off = {0};
    struct image *with = image_of(&what), *without = image_new(record_of(&what), &off);
    json_t *a = parse_part(with, with->size), *b = parse_part(without, without->size);

    cr_expect_eq(json_object_del(a, "args"), 0);
    cr_expect(json_equal(a, b));
    json_decref(a);
    json_decref(b);
    image_unref(with);
    image_unref(without);
}

Test(image, credentials_namespaces_and_capabilities_have_tetragons_forms)
{
    const struct image_options all = {true, true, true, true};
    struct record_process *record = record_of(&(struct what){.filename = "/x"});
    struct image *image;
    json_t *object, *at;

    record->uid = 1;
    record->fsgid = UINT32_MAX;
    record->ns.pid = 4026531836;
    record->cap_permitted = UINT64_MAX;
    record->cap_effective = 1 | UINT64_C(1) << 21;
    image = image_new(record, &all);
    object = parse_part(image, image->size);
    at = json_object_get(object, "process_credentials");
    cr_expect_eq(json_object_size(at), 8);
    cr_expect_eq(json_integer_value(json_object_get(at, "uid")), 1);
    cr_expect_eq(json_integer_value(json_object_get(at, "fsgid")), UINT32_MAX);
    at = json_object_get(object, "ns");
    cr_expect_eq(json_object_size(at), 10);
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(at, "pid"), "inum")), 4026531836);
    at = json_object_get(object, "cap");
    cr_expect_eq(json_array_size(json_object_get(at, "permitted")), 41);
    cr_expect_str_eq(json_string_value(json_array_get(json_object_get(at, "effective"), 1)), "CAP_SYS_ADMIN");
    cr_expect_eq(json_array_size(json_object_get(at, "inheritable")), 0);
    json_decref(object);
    image_unref(image);
}

Test(image, is_shared_by_reference)
{
    struct image *image = image_of(&(struct what){.filename = "/x"});

    cr_expect_eq(image_ref(image), image);
    image_unref(image);
    cr_expect_eq(image->refs, 1);
    image_unref(image);
    cr_expect_null(image_ref(NULL));
    image_unref(NULL);
}
