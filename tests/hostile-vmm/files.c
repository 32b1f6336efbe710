// Reading and writing what is not the sandbox's own.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "probe.h"

static void try_open(const char *name, const char *path, int flags) { TRY(name, open(path, flags | O_CLOEXEC | O_NONBLOCK, 0600)); }

static long write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    ssize_t written = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return written;
}

static void probe_foreign_files(const struct targets *targets) {
    char path[512];
    try_open("read-etc-shadow", "/etc/shadow", O_RDONLY);
    try_open("read-etc-passwd", "/etc/passwd", O_RDONLY);
    try_open("read-root-home", "/root", O_RDONLY);
    try_open("read-home", "/home", O_RDONLY);
    try_open("read-var", "/var", O_RDONLY);
    try_open("read-run", "/run", O_RDONLY);
    try_open("read-boot", "/boot", O_RDONLY);
    try_open("read-opt", "/opt", O_RDONLY);
    try_open("read-sys", "/sys", O_RDONLY);
    try_open("read-sibling", targets->sibling, O_RDONLY);
    try_open("write-sibling", targets->sibling, O_RDWR);
    snprintf(path, sizeof path, "/../../../../..%s", targets->sibling);
    try_open("read-sibling-dotdot", path, O_RDONLY);
    snprintf(path, sizeof path, "/proc/self/cwd/../..%s", targets->sibling);
    try_open("read-sibling-cwd", path, O_RDONLY);
    snprintf(path, sizeof path, "/proc/1/root%s", targets->sibling);
    try_open("read-sibling-proc-1-root", path, O_RDONLY);
    TRY("openat-inherited-directory", openat(targets->extra_fd, "etc/shadow", O_RDONLY));

    DIR *directory = opendir("/tmp");
    int entries = 0;
    while (directory != NULL && readdir(directory) != NULL) {
        entries++;
    }
    report_reached("list-host-tmp", directory != NULL && entries != 2);
}

static void probe_writes(void) {
    try_open("create-in-root", "/planted", O_CREAT | O_WRONLY);
    try_open("create-in-tmp", "/tmp/planted", O_CREAT | O_WRONLY);
    try_open("create-in-usr", "/usr/bin/planted", O_CREAT | O_WRONLY);
    try_open("create-in-dev", "/dev/planted", O_CREAT | O_WRONLY);
    try_open("tmpfile-in-tmp", "/tmp", O_TMPFILE | O_RDWR);
    try_open("write-qemu", "/usr/bin/qemu-system-x86_64", O_WRONLY);
    try_open("write-ld-so-cache", "/etc/ld.so.cache", O_WRONLY);
    TRY("truncate-qemu", truncate("/usr/bin/qemu-system-x86_64", 0));
    TRY("chmod-setuid", chmod("/usr/bin/env", 04755));
    TRY("chown-usr", chown("/usr/bin/env", getuid(), getgid()));
    TRY("unlink-null", unlink("/dev/null"));
    TRY("rename-usr", rename("/usr", "/tmp/usr"));
    TRY("mkdir-root", mkdir("/planted", 0700));
    TRY("symlink-root", symlink("/usr", "/planted"));
    TRY("hardlink-su", link("/usr/bin/su", "/tmp/su"));
    TRY("hardlink-descriptor", linkat(AT_FDCWD, "/proc/self/fd/6", AT_FDCWD, "/tmp/base", AT_SYMLINK_FOLLOW));
    TRY("mkfifo", mkfifo("/tmp/fifo", 0600));
    TRY("mknod-null", mknod("/tmp/null", S_IFCHR | 0600, makedev(1, 3)));
    TRY("mknod-mem", mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1)));
    TRY("mknod-disk", mknod("/tmp/disk", S_IFBLK | 0600, makedev(8, 0)));
    TRY("setxattr-capability", setxattr("/usr/bin/env", "security.capability", "x", 1, 0));
}

static void probe_devices(void) {
    static const char *const devices[] = {"mem", "kmem", "port", "sda", "vda", "nvme0n1", "kvm", "fuse", "net/tun", "vhost-net", "vhost-vsock",
                                          "vsock", "ptmx", "pts", "tty", "console", "loop-control", "mapper/control", "shm", "mqueue", "kmsg",
                                          "uinput", "vfio/vfio", "userfaultfd", "random", "full"};
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        char name[64], path[64];
        snprintf(name, sizeof name, "device-%s", devices[i]);
        snprintf(path, sizeof path, "/dev/%s", devices[i]);
        for (char *c = name; *c != 0; c++) {
            *c = *c == '/' ? '-' : *c;
        }
        try_open(name, path, O_RDONLY);
    }
}

static void probe_proc(const struct targets *targets) {
    static const char *const global[] = {"sys/kernel/core_pattern", "sys/kernel/hostname", "sys/kernel/modprobe", "sys/vm/drop_caches",
                                         "sysrq-trigger", "kcore", "kallsyms", "keys", "kmsg", "cmdline", "cpuinfo", "meminfo", "mounts",
                                         "modules", "interrupts", "net/tcp", "fs", "bus", "irq", "acpi", "config.gz", "timer_list"};
    for (size_t i = 0; i < sizeof global / sizeof global[0]; i++) {
        char name[64], path[64];
        snprintf(name, sizeof name, "proc-%s", global[i]);
        snprintf(path, sizeof path, "/proc/%s", global[i]);
        for (char *c = name; *c != 0; c++) {
            *c = *c == '/' ? '-' : *c;
        }
        try_open(name, path, O_RDONLY);
    }
    static const char *const foreign[] = {"root", "mem", "environ", "maps", "cmdline", "fd", "ns/mnt", "cwd"};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        char name[64], path[64];
        snprintf(name, sizeof name, "proc-outside-%s", foreign[i]);
        snprintf(path, sizeof path, "/proc/%d/%s", (int)targets->outside_pid, foreign[i]);
        for (char *c = name; *c != 0; c++) {
            *c = *c == '/' ? '-' : *c;
        }
        try_open(name, path, O_RDONLY);
    }
    DIR *directory = opendir("/proc");
    bool others = false;
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        others |= atoi(entry->d_name) > 0 && atoi(entry->d_name) != getpid();
    }
    report_reached("proc-lists-others", others);

    TRY("proc-self-oom-score-lower", write_file("/proc/self/oom_score_adj", "-1000"));
    TRY("proc-self-uid-map", write_file("/proc/self/uid_map", "0 0 1"));
    TRY("proc-self-setgroups", write_file("/proc/self/setgroups", "allow"));
}

void probe_files(const struct targets *targets) {
    probe_foreign_files(targets);
    probe_writes();
    probe_devices();
    probe_proc(targets);
}
