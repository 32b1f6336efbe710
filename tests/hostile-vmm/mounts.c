// Mounts and namespaces.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe.h"

static long clone_process(unsigned long flags) {
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        _exit(0);
    }
    return pid;
}

void probe_mounts(const struct targets *targets) {
    (void)targets;
    TRY("mount-tmpfs", mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
    TRY("mount-proc", mount("proc", "/proc", "proc", 0, NULL));
    TRY("mount-bind", mount("/usr", "/tmp", NULL, MS_BIND, NULL));
    TRY("remount-usr-writable", mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL));
    TRY("remount-root-writable", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    TRY("umount-usr", umount2("/usr", MNT_DETACH));
    TRY("umount-proc", umount2("/proc", MNT_DETACH));
    TRY("pivot-root", syscall(SYS_pivot_root, "/", "/tmp"));
    TRY("chroot", chroot("/tmp"));
    TRY("open-tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    TRY("move-mount", syscall(SYS_move_mount, AT_FDCWD, "/usr", AT_FDCWD, "/tmp", 0));
    TRY("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    TRY("fsconfig", syscall(SYS_fsconfig, -1, 0, NULL, NULL, 0));
    TRY("fsmount", syscall(SYS_fsmount, -1, 0, 0));
    TRY("fspick", syscall(SYS_fspick, AT_FDCWD, "/", 0));
    TRY("mount-setattr", syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, (uint64_t[4]){0, 1}, 32));

    static const struct {
        const char *name;
        int flag;
    } kinds[] = {{"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS}, {"pid", CLONE_NEWPID},       {"net", CLONE_NEWNET},
                 {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}, {"time", 0x80}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char name[64], path[64];
        snprintf(name, sizeof name, "unshare-%s", kinds[i].name);
        TRY(name, unshare(kinds[i].flag));
        snprintf(path, sizeof path, "/proc/1/ns/%s", kinds[i].name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        snprintf(name, sizeof name, "setns-%s", kinds[i].name);
        TRY(name, setns(fd, kinds[i].flag));
        close(fd);
        if (kinds[i].flag != 0x80) {
            snprintf(name, sizeof name, "clone-new-%s", kinds[i].name);
            TRY(name, clone_process((unsigned long)kinds[i].flag));
        }
    }
}
