// Cgroups, limits, user, groups and capabilities.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

int privileges_open_cgroup(const char *directory, bool *unified) {
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        fail("open cgroup %s", directory);
    }
    // On hybrid hosts /sys/fs/cgroup itself is a tmpfs: files can be created there and confine nothing.
    struct statfs filesystem;
    if (fstatfs(fd, &filesystem) < 0) {
        fail("statfs cgroup %s", directory);
    }
    if (filesystem.f_type != CGROUP2_SUPER_MAGIC && filesystem.f_type != CGROUP_SUPER_MAGIC) {
        fail_with(EINVAL, "cgroup %s: not on a cgroup file system", directory);
    }
    *unified = filesystem.f_type == CGROUP2_SUPER_MAGIC;
    return fd;
}

void privileges_join_cgroups(const struct options *options, const int *cgroup_fds, pid_t process) {
    char number[32];
    size_t length = (size_t)snprintf(number, sizeof number, "%d", (int)process);
    for (int i = 0; i < options->cgroup_count; i++) {
        if (cgroup_fds[i] < 0) {
            continue;   // joined by clone3
        }
        int fd = openat(cgroup_fds[i], "cgroup.procs", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0) {
            fail("open cgroup.procs of %s", options->cgroups[i]);
        }
        if (write(fd, number, length) != (ssize_t)length) {
            fail("join cgroup %s", options->cgroups[i]);
        }
        close(fd);
    }
}

static void limit(int resource, const char *name, rlim_t value) {
    struct rlimit limits = {.rlim_cur = value, .rlim_max = value};
    if (setrlimit(resource, &limits) < 0) {
        fail("limit %s", name);
    }
}

// QEMU has a thread per vCPU, up to 64 for disk requests and a few more; the supervisor has one.
#define MAX_THREADS 256

void privileges_limit_resources(const struct options *options) {
    limit(RLIMIT_CORE, "core", 0);
    limit(RLIMIT_NOFILE, "nofile", options->nofile);
    limit(RLIMIT_MEMLOCK, "memlock", 0);
    if (geteuid() == 0) {
        // The uid is this VM's alone, so the count is exact: a taken-over QEMU cannot use up the host's process numbers.
        limit(RLIMIT_NPROC, "nproc", MAX_THREADS);
    }
    if (options->limit_file_size) {
        limit(RLIMIT_FSIZE, "fsize", options->file_size);
    }
}

static bool write_proc(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t written = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return written >= 0;
}

// The ids keep their numbers inside, so that files look the same from both sides. False, with errno, when they cannot be mapped.
bool privileges_map_user(uid_t uid, gid_t gid) {
    char uid_map[64], gid_map[64];
    snprintf(uid_map, sizeof uid_map, "%u %u 1", uid, uid);
    snprintf(gid_map, sizeof gid_map, "%u %u 1", gid, gid);
    return write_proc("/proc/self/setgroups", "deny") && write_proc("/proc/self/uid_map", uid_map) && write_proc("/proc/self/gid_map", gid_map);
}

// Without a root of its own the command meets the host's /dev/kvm: where that is not open to everyone its group is the one
// supplementary group that is kept. (With one it has a node that it owns.)
static int kvm_group(gid_t *group) {
    struct stat status;
    if (stat("/dev/kvm", &status) < 0) {
        fail("stat /dev/kvm");
    }
    if ((status.st_mode & 0006) == 0006) {
        return 0;
    }
    if (status.st_gid == 0 || (status.st_mode & 0060) != 0060) {
        fail_with(EACCES, "option --kvm: /dev/kvm is open to root alone");
    }
    *group = status.st_gid;
    return 1;
}

static bool has_other_groups(gid_t own) {
    enum { LISTED = 64 };
    gid_t groups[LISTED];
    int count = getgroups(LISTED, groups);
    if (count < 0) {
        return true;   // more than are listed
    }
    for (int i = 0; i < count; i++) {
        if (groups[i] != own) {
            return true;
        }
    }
    return false;
}

void privileges_drop(const struct options *options, bool for_command) {
    gid_t groups[1];
    int group_count = for_command && options->kvm && options->isolation == ISOLATION_NONE && geteuid() == 0 ? kvm_group(groups) : 0;

    // The bounding set first: afterwards there is no CAP_SETPCAP left to do it with. Without that capability (a caller other than
    // root, outside of a user namespace) the set is inert: no_new_privs keeps a file's capabilities out for good.
    unsigned long capability = 0;
    while (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) {
        capability++;
    }
    if (errno == EPERM && options->isolation != ISOLATION_FULL) {
        if (for_command) {
            report_missing("bounding-set");
        }
    } else if (errno != EINVAL || capability == 0) {   // EINVAL: past the last one that this kernel knows
        fail("drop capability %lu from the bounding set", capability);
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) {
        fail("clear ambient capabilities");
    }

    if (setgroups((size_t)group_count, groups) < 0) {
        if (options->isolation == ISOLATION_FULL || errno != EPERM) {
            fail("setgroups");
        }
        if (for_command && has_other_groups(options->gid)) {
            report_missing("supplementary-groups");
        }
    }
    if (setresgid(options->gid, options->gid, options->gid) < 0) {
        fail("setresgid %u", options->gid);
    }
    if (setresuid(options->uid, options->uid, options->uid) < 0) {
        fail("setresuid %u", options->uid);
    }

    // The uid change has cleared root's capabilities; those of a user namespace's first process and inheritable ones are cleared here.
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    if (syscall(SYS_capset, &header, none) < 0) {
        fail("capset");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        fail("no_new_privs");
    }
}
