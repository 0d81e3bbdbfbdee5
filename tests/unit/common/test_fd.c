/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fd.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

Test(fd, memfd_has_its_size_and_closes_on_exec)
{
    struct stat st;
    int fd = fd_memfd_new("test", 12345);

    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_expect_eq(st.st_size, 12345);
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    fd_close(&fd);
    cr_expect_eq(fd, -1);
    fd_close(&fd);
}

Test(fd, seals_are_found_when_all_are_there)
{
    int fd = fd_memfd_new("test", 4096);

    cr_expect_eq(fd_check_seals(fd, F_SEAL_GROW), -EPERM);
    cr_expect_eq(fd_seal(fd, F_SEAL_GROW), 0);
    cr_expect_eq(fd_check_seals(fd, F_SEAL_GROW), 0);
    cr_expect_eq(fd_check_seals(fd, F_SEAL_GROW | F_SEAL_SHRINK), -EPERM);
    cr_expect_eq(ftruncate(fd, 8192), -1);
    fd_close(&fd);
}

Test(fd, what_is_no_memfd_knows_no_seals)
{
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_expect_eq(fd_check_seals(ends[0], F_SEAL_GROW), -EINVAL);
    cr_expect_eq(fd_check_seals(-1, F_SEAL_GROW), -EBADF);
    fd_close(&ends[0]);
    fd_close(&ends[1]);
}

Test(fd, mapping_is_shared)
{
    int fd = fd_memfd_new("test", 4096);
    void *one, *two, *untouched = &fd;

    cr_assert_eq(fd_map_shared(fd, 4096, PROT_READ | PROT_WRITE, &one), 0);
    cr_assert_eq(fd_map_shared(fd, 4096, PROT_READ, &two), 0);
    memcpy(one, "hello", 6);
    cr_expect_str_eq((const char *)two, "hello");
    cr_expect_eq(fd_map_shared(-1, 4096, PROT_READ, &untouched), -EBADF);
    cr_expect_eq(untouched, &fd);
    (void)munmap(one, 4096);
    (void)munmap(two, 4096);
    fd_close(&fd);
}

Test(fd, duplicate_is_above_the_standard_streams)
{
    int copy;

    (void)close(STDIN_FILENO);
    copy = fd_duplicate(STDOUT_FILENO);
    cr_expect_geq(copy, 3);
    cr_expect(fcntl(copy, F_GETFD) & FD_CLOEXEC);
    fd_close(&copy);
    cr_expect_eq(fd_duplicate(-1), -EBADF);
}

Test(fd, closed_standard_streams_are_opened_on_nothing)
{
    struct stat null, st;
    char c;

    cr_assert_eq(stat("/dev/null", &null), 0);
    (void)close(STDIN_FILENO);
    cr_expect_eq(fd_open_standard(), 0);
    cr_assert_eq(fstat(STDIN_FILENO, &st), 0);
    cr_expect_eq(st.st_rdev, null.st_rdev);
    cr_expect_eq(read(STDIN_FILENO, &c, 1), 0);
    cr_expect_eq(fd_open_standard(), 0);
}
