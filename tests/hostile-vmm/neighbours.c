// Other sandboxes: their cgroups, layers and directories; and what an owner may do to a file that it has open for reading alone.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "probe.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static void try_open(const char *name, const char *path, int flags) { TRY(name, open(path, flags | O_CLOEXEC | O_NONBLOCK, 0600)); }

static void probe_cgroups(void) {
    static const char *const hierarchies[] = {"", "unified/", "memory/", "pids/", "cpu/", "systemd/"};
    for (size_t i = 0; i < sizeof hierarchies / sizeof hierarchies[0]; i++) {
        char name[64], path[96];
        int length = (int)strcspn(hierarchies[i], "/");
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s", hierarchies[i]);
        const char *hierarchy = length == 0 ? "root" : hierarchies[i];
        length = length == 0 ? 4 : length;
        snprintf(name, sizeof name, "cgroup-list-%.*s", length, hierarchy);
        try_open(name, path, O_RDONLY | O_DIRECTORY);
        snprintf(path, sizeof path, "/sys/fs/cgroup/%scgroup.procs", hierarchies[i]);
        snprintf(name, sizeof name, "cgroup-leave-%.*s", length, hierarchy);
        try_open(name, path, O_WRONLY);
    }
    try_open("cgroup-raise-memory-v1", "/sys/fs/cgroup/memory/opensandbox/memory.limit_in_bytes", O_WRONLY);
    try_open("cgroup-raise-memory-v2", "/sys/fs/cgroup/opensandbox/memory.max", O_WRONLY);
    TRY("cgroup-make", mkdir("/sys/fs/cgroup/planted", 0700));
}

static void probe_directories(const struct targets *targets) {
    char path[512];
    try_open("read-state-directory", "/var/lib/opensandbox", O_RDONLY);
    try_open("read-runtime-directory", "/run/opensandbox", O_RDONLY);
    try_open("read-runtime-sockets", "/run/opensandbox/vm", O_RDONLY);
    snprintf(path, sizeof path, "%s.qcow2", targets->sibling);
    try_open("read-sibling-layer", path, O_RDONLY);
    try_open("write-sibling-layer", path, O_RDWR);
    TRY("unlink-sibling-layer", unlink(path));
    TRY("chmod-sibling-layer", chmod(path, 0777));
    TRY("stat-sibling-layer", access(path, F_OK));
    snprintf(path, sizeof path, "/proc/%d/fd", (int)targets->outside_pid);
    try_open("read-descriptors-outside", path, O_RDONLY);
    snprintf(path, sizeof path, "/proc/%d/fd/5", (int)targets->launcher_pid);
    try_open("read-descriptor-of-launcher", path, O_RDONLY);
    snprintf(path, sizeof path, "/proc/%d/root/etc/passwd", (int)targets->launcher_pid);
    try_open("read-root-of-launcher", path, O_RDONLY);
    snprintf(path, sizeof path, "/proc/%d/mem", (int)targets->launcher_pid);
    try_open("read-memory-of-launcher", path, O_RDONLY);
}

// The image may belong to the uid that this runs under: that is all that an owner needs for these.
static void probe_ownership(const struct targets *targets) {
    int base = targets->base_fd;
    const char *path = "/proc/self/fd/6";
    const struct timespec times[2] = {{0}, {0}};
    int flags = FS_NOATIME_FL;
    struct fsxattr attributes = {0};
    struct fsverity_enable_arg verity = {.version = 1, .hash_algorithm = 1, .block_size = 4096};
    TRY("base-open-append", open(path, O_WRONLY | O_APPEND | O_CLOEXEC));
    TRY("base-open-truncate", open(path, O_RDONLY | O_TRUNC | O_CLOEXEC));
    TRY("base-truncate-path", truncate(path, 0));
    TRY("base-chmod-path", chmod(path, 0777));
    TRY("base-fchmodat", fchmodat(AT_FDCWD, path, 0, 0));
    TRY("base-fchmodat2", syscall(SYS_fchmodat2, AT_FDCWD, path, 0, 0));
    TRY("base-chown", fchown(base, getuid(), getgid()));
    TRY("base-utimes", futimens(base, times));
    TRY("base-setxattr", fsetxattr(base, "user.planted", "x", 1, 0));
    TRY("base-setxattr-path", setxattr(path, "user.planted", "x", 1, 0));
    TRY("base-acl", fsetxattr(base, "system.posix_acl_access", "\2\0\0\0", 4, 0));
    TRY("base-removexattr", fremovexattr(base, "user.none"));
    TRY("base-set-flags", ioctl(base, FS_IOC_SETFLAGS, &flags));
    TRY("base-set-project", ioctl(base, FS_IOC_FSSETXATTR, &attributes));
    TRY("base-enable-verity", ioctl(base, FS_IOC_ENABLE_VERITY, &verity));
    TRY("base-unlock", flock(base, LOCK_UN));
    TRY("base-lock", flock(base, LOCK_EX | LOCK_NB));
    TRY("golden-utimes", futimens(targets->golden_fd, times));
    TRY("golden-fchmod-path", chmod("/proc/self/fd/5", 0));
    TRY("golden-setxattr", fsetxattr(targets->golden_fd, "user.planted", "x", 1, 0));
    TRY("control-golden-seals", fcntl(targets->golden_fd, F_GET_SEALS));
}

static void probe_scheduling(const struct targets *targets) {
    // linux/sched/types.h cannot be included next to sched.h.
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {.size = sizeof attributes, .policy = SCHED_RR, .priority = 1};
    TRY("sched-setattr-realtime", syscall(SYS_sched_setattr, 0, &attributes, 0));
    TRY("sched-setaffinity-outside", sched_setaffinity(targets->outside_pid, sizeof(cpu_set_t), &(cpu_set_t){{1}}));
    TRY("sched-getattr-outside", syscall(SYS_sched_getattr, targets->outside_pid, &attributes, sizeof attributes, 0));
    TRY("priority-of-launcher", setpriority(PRIO_PROCESS, (id_t)targets->launcher_pid, 19));
    TRY("priority-of-user", setpriority(PRIO_USER, 0, -1));
    TRY("dump-limit", prctl(PR_SET_DUMPABLE, 2, 0, 0, 0));
}

void probe_neighbours(const struct targets *targets) {
    probe_cgroups();
    probe_directories(targets);
    probe_ownership(targets);
    probe_scheduling(targets);
}
