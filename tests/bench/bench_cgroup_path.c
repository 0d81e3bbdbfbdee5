/* SPDX-License-Identifier: Apache-2.0 */
/* A cgroup path → Pod and container, by the shape of the path. */
#include "enricher/cgroup_path.h"

#include <string.h>

#include "tests/bench/bench.h"

#define UUID  "11111111_1111_4111_8111_111111111111"
#define DASH  "11111111-1111-4111-8111-111111111111"
#define ID    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CALLS 1000000

static const struct {
    const char *what, *path;
} rows[] = {
    {"cgroup path, systemd, containerd",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UUID ".slice/cri-containerd-" ID
        ".scope"},
    {"cgroup path, cgroupfs, containerd", "/kubepods/burstable/pod" DASH "/" ID},
    {"cgroup path, systemd, CRI-O with leaf",
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UUID ".slice/crio-" ID
        ".scope/container"},
    {"cgroup path, kind",
        "/docker/" ID "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
        "kubelet-kubepods-besteffort-pod" UUID ".slice/cri-containerd-" ID ".scope"},
    {"cgroup path, host service", "/system.slice/containerd.service"},
    {"cgroup path, user session",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice"},
};

int main(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t size = strlen(rows[i].path);
        double rounds[BENCH_ROUNDS];

        for (unsigned round = 0; round < BENCH_ROUNDS; round++) {
            uint64_t start = bench_cpu_ns();

            for (unsigned n = 0; n < CALLS; n++) {
                struct cgroup_identity identity;

                cgroup_path_parse(rows[i].path, size, &identity);
                BENCH_KEEP(&identity);
            }
            rounds[round] = (double)(bench_cpu_ns() - start) / CALLS;
        }
        bench_print(rows[i].what, rounds);
    }
    return 0;
}
