// The root that the command sees: a small read-only tmpfs with read-only views of what a QEMU needs to start, and nothing else.
// Disks, sockets, kernels and RAM come as descriptors.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

// linux/mount.h; it cannot be included next to every version of sys/mount.h.
struct mount_attributes {
    uint64_t set, clear, propagation, user_namespace_fd;
};
enum { ATTRIBUTE_RDONLY = 1, ATTRIBUTE_NOSUID = 2, ATTRIBUTE_NODEV = 4, ATTRIBUTE_NOEXEC = 8, RECURSIVE = 0x8000 };

// Rootless callers go on without a root of their own when one cannot be made (a locked-down container); the first failed step is kept.
static char failed_step[256];
static int failed_error;

static bool attempt(int result, const char *step, const char *object) {
    if (result >= 0) {
        return true;
    }
    failed_error = errno;
    snprintf(failed_step, sizeof failed_step, "%s %s", step, object);
    return false;
}

static bool restrict_mount(const char *path, uint64_t attributes) {
    struct mount_attributes change = {.set = attributes};
    return attempt((int)syscall(SYS_mount_setattr, AT_FDCWD, path, RECURSIVE, &change, sizeof change), "restrict mount", path);
}

// Recursive, because a user namespace may not uncover what a mount below hides.
static bool bind(const char *source, const char *target, uint64_t attributes) {
    return attempt(mount(source, target, NULL, MS_BIND | MS_REC, NULL), "bind", source) && restrict_mount(target, attributes);
}

static bool bind_directory(const char *source, const char *target) {
    return attempt(mkdir(target, 0755), "mkdir", target) && bind(source, target, ATTRIBUTE_RDONLY | ATTRIBUTE_NOSUID | ATTRIBUTE_NODEV);
}

static bool bind_file(const char *source, const char *target, uint64_t attributes) {
    int fd = open(target, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
    if (!attempt(fd, "create", target)) {
        return false;
    }
    close(fd);
    return bind(source, target, attributes);
}

static bool bind_device(const char *source, const char *target) {
    return bind_file(source, target, ATTRIBUTE_RDONLY | ATTRIBUTE_NOSUID | ATTRIBUTE_NOEXEC);
}

// QEMU opens /dev/kvm by its name, which is often root's alone. Root gives the command a node of its own instead of a group that
// reaches further; the bind over itself keeps it a device when the root becomes nodev.
static bool provide_kvm(const struct options *options) {
    if (options->isolation == ISOLATION_ROOTLESS) {
        return bind_device("/dev/kvm", "dev/kvm");
    }
    struct stat status;
    return attempt(stat("/dev/kvm", &status), "stat", "/dev/kvm") &&
           attempt(S_ISCHR(status.st_mode) ? 0 : (errno = ENODEV, -1), "stat", "/dev/kvm") &&
           attempt(mknod("dev/kvm", S_IFCHR | 0600, status.st_rdev), "mknod", "dev/kvm") &&
           attempt(chmod("dev/kvm", 0600), "chmod", "dev/kvm") && attempt(chown("dev/kvm", options->uid, options->gid), "chown", "dev/kvm") &&
           bind("dev/kvm", "dev/kvm", ATTRIBUTE_RDONLY | ATTRIBUTE_NOSUID | ATTRIBUTE_NOEXEC);
}

// /lib, /lib64 and /bin are links into /usr on merged systems and directories on others.
static bool mirror_top_level(const char *source) {
    const char *name = source + 1;
    struct stat status;
    if (lstat(source, &status) < 0) {
        return errno == ENOENT || attempt(-1, "stat", source);
    }
    if (S_ISDIR(status.st_mode)) {
        return bind_directory(source, name);
    }
    char link[PATH_MAX];
    ssize_t length = readlink(source, link, sizeof link - 1);
    if (!attempt((int)length, "readlink", source)) {
        return false;
    }
    link[length] = 0;
    return attempt(symlink(link, name), "symlink", name);
}

static bool mount_proc(const struct options *options) {
    // subset=pid leaves the processes and drops the rest of /proc: no sys, no sysrq-trigger, no kallsyms, no keys.
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2,subset=pid") == 0) {
        return true;
    }
    if (options->isolation == ISOLATION_FULL) {
        return attempt(-1, "mount", "proc");
    }
    // Containers that hide parts of /proc do not let a user namespace mount another. /proc/self/fd is needed to reopen
    // descriptors, so the one that is there is shown, read-only; other processes in it belong to another user namespace.
    report_missing("own-proc");
    return bind("/proc", "proc", ATTRIBUTE_RDONLY | ATTRIBUTE_NOSUID | ATTRIBUTE_NODEV | ATTRIBUTE_NOEXEC);
}

static bool build_root(const struct options *options) {
    unsigned long flags = MS_NOSUID | MS_NOEXEC | (options->kvm ? 0 : MS_NODEV);   // nodev at the end in any case
    if (!attempt(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make private", "/") ||
        !attempt(mount("tmpfs", options->root, "tmpfs", flags, "mode=755,size=64k,nr_inodes=64"), "mount tmpfs on", options->root) ||
        !attempt(chdir(options->root), "chdir", options->root)) {
        return false;
    }
    const uint64_t data = ATTRIBUTE_RDONLY | ATTRIBUTE_NOSUID | ATTRIBUTE_NODEV | ATTRIBUTE_NOEXEC;
    return bind_directory("/usr", "usr") && mirror_top_level("/lib") && mirror_top_level("/lib64") && mirror_top_level("/bin") &&
           attempt(mkdir("etc", 0755), "mkdir", "etc") &&
           (access("/etc/ld.so.cache", F_OK) != 0 || bind_file("/etc/ld.so.cache", "etc/ld.so.cache", data)) &&
           attempt(mkdir("tmp", 0755), "mkdir", "tmp") && attempt(mkdir("dev", 0755), "mkdir", "dev") &&
           bind_device("/dev/null", "dev/null") && bind_device("/dev/zero", "dev/zero") && bind_device("/dev/urandom", "dev/urandom") &&
           (!options->kvm || provide_kvm(options)) && attempt(mkdir("proc", 0555), "mkdir", "proc") && mount_proc(options);
}

void filesystem_enter(const struct options *options) {
    // The new root goes over the old one in place, so that no directory for the old one is left in it (pivot_root(2), NOTES).
    if (!build_root(options) || !attempt((int)syscall(SYS_pivot_root, ".", "."), "pivot_root", options->root)) {
        if (options->isolation == ISOLATION_FULL) {
            fail_with(failed_error, "filesystem: %s", failed_step);
        }
        if (chdir("/") < 0) {
            fail("chdir /");
        }
        umount2(options->root, MNT_DETACH);   // fails where not even the tmpfs could be mounted
        char text[sizeof failed_step + 128];
        snprintf(text, sizeof text, "filesystem-root: %s: %s (%d)", failed_step, strerror(failed_error), failed_error);
        report_missing(text);
        return;
    }
    if (umount2(".", MNT_DETACH) < 0) {
        fail("detach old root");
    }
    if (chdir("/") < 0) {
        fail("chdir /");
    }
    struct mount_attributes read_only = {.set = ATTRIBUTE_RDONLY | ATTRIBUTE_NOSUID | ATTRIBUTE_NODEV | ATTRIBUTE_NOEXEC};
    if (syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &read_only, sizeof read_only) < 0) {
        fail("make root read-only");
    }
}
