// hostile-vmm probe|hold|crash|privileges ...   (run by fixture.c)
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "probe.h"

extern char **environ;

void report(const char *name, long result) {
    int error = errno;
    const char *error_name = result >= 0 ? "-" : strerrorname_np(error);
    printf("%s %s %s\n", name, result >= 0 ? "SUCCEEDED" : "refused", error_name != NULL ? error_name : "?");
    fflush(stdout);
}

void report_reached(const char *name, bool reached) {
    printf("%s %s -\n", name, reached ? "SUCCEEDED" : "refused");
    fflush(stdout);
}

static bool only_expected_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    unsigned long seen = 0;
    bool expected = true;
    if (directory == NULL) {
        // Where its list may not be opened.
        for (int fd = 0; fd < 4096; fd++) {
            if (fcntl(fd, F_GETFD) >= 0) {
                expected &= fd <= 8;
                seen |= fd <= 8 ? 1UL << fd : 0;
            }
        }
        return expected && seen == 0x1f7;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd == dirfd(directory)) {
            continue;
        }
        if (fd > 8) {
            printf("# unexpected descriptor %d\n", fd);
            expected = false;
        } else {
            seen |= 1UL << fd;
        }
    }
    closedir(directory);
    return expected && seen == 0x1f7;   // 0..8 without the status descriptor 3
}

static bool only_expected_environment(void) {
    static const char *const expected[] = {"PATH=/usr/bin", "HOME=/tmp", "LANG=C"};
    int count = 0;
    for (char **entry = environ; *entry != NULL; entry++, count++) {
        if (count >= 3 || strcmp(*entry, expected[count]) != 0) {
            return false;
        }
    }
    return count == 3;
}

// Controls: a probe that works must be seen to work, or a table full of refusals means nothing.
static void probe_controls(const struct targets *targets) {
    struct utsname names;
    TRY("control-open-usr", open("/usr/bin/env", O_RDONLY | O_CLOEXEC));
    TRY("control-open-urandom", open("/dev/urandom", O_RDONLY | O_CLOEXEC));
    TRY("control-read-base", pread(targets->base_fd, (char[16]){0}, 16, 0));
    TRY("control-proc-self", open("/proc/self/status", O_RDONLY | O_CLOEXEC));
    report_reached("hostname-of-host-visible", uname(&names) != 0 || strcmp(names.nodename, "vm") != 0);
    report_reached("unexpected-environment", !only_expected_environment());
}

static void wait_for_release(void) {
    char byte;
    while (read(8, &byte, 1) > 0) {
    }
}

static int probe(char **arguments) {
    struct targets targets = {
        .golden_fd = 5, .base_fd = 6, .setuid_fd = 7, .extra_fd = atoi(arguments[0]),
        .outside_pid = atoi(arguments[1]), .launcher_pid = atoi(arguments[2]),
        .sibling = arguments[3], .socket_path = arguments[4], .socket_name = arguments[5], .port = atoi(arguments[6]),
    };
    // What is outside of the jail looks at this process while it waits here.
    wait_for_release();
    report_reached("unexpected-descriptors", !only_expected_descriptors());
    probe_controls(&targets);
    probe_files(&targets);
    probe_mounts(&targets);
    probe_processes(&targets);
    probe_network(&targets);
    probe_shared_memory(&targets);
    probe_neighbours(&targets);
    probe_identity(&targets);
    probe_kernel(&targets);

    // Last, because it replaces this program: a setuid program of root reports who it is.
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", targets.setuid_fd);
    char *const command[] = {path, "privileges", NULL};
    execve(path, command, environ);
    report("setuid-program-executes", -1);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 9 && strcmp(argv[1], "probe") == 0) {
        return probe(argv + 2);
    }
    if (argc == 2 && strcmp(argv[1], "privileges") == 0) {
        report_reached("setuid-program-executes", true);
        report_reached("setuid-program-gains-root", geteuid() == 0 || getegid() == 0 || getauxval(AT_SECURE) != 0);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "hold") == 0) {
        wait_for_release();
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "crash") == 0) {
        *(volatile int *)8 = 1;
    }
    if (argc == 3 && strcmp(argv[1], "exit") == 0) {
        return atoi(argv[2]);
    }
    fprintf(stderr, "hostile-vmm: unknown mode\n");
    return 2;
}
