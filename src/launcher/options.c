// The command line. Every value is checked here, once; an unknown or contradictory option is an error that names it.
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher.h"

static const char usage[] =
    "usage: launcher --root DIR --uid N --gid N --keep N [options] -- /usr/bin/qemu-system-x86_64 ARGS...\n"
    "\n"
    "Starts a virtual machine monitor in a jail, waits for it and exits with its exit code (128+N after signal N;\n"
    "125 when the jail could not be made; 137 when the launcher was told to end it by SIGTERM, SIGINT, SIGHUP or SIGQUIT).\n"
    "\n"
    "  --root DIR          existing directory that is used as mount point; several launchers may share it\n"
    "  --uid N, --gid N    user and group of the command; 0 is refused. Optional for callers other than root, whose own they must be\n"
    "  --keep N            descriptors 0..N are open and inherited by the command, all above are closed (2..1023)\n"
    "  --status-fd N       one of 3..keep: receives `pid N`, `missing CONTROL`, `error STEP: TEXT (ERRNO)` lines;\n"
    "                      it is not inherited, and it is closed once the command has been executed\n"
    "  --attached          ends with the thread that spawned it\n"
    "  --parent PID        with --attached: refuses to start when PID is no longer the parent\n"
    "  --detach-fd N       one of 3..keep, not with --attached: until a byte is read from it, its end of file ends the command;\n"
    "                      with the byte the command is on its own. It is not inherited\n"
    "  --hold N            one of 3..keep, up to 8 times: stays open, and so do locks on it, as long as the command runs; not inherited\n"
    "  --kvm               /dev/kvm is in the jail\n"
    "  --cgroup DIR        joins this cgroup directory, v2 or v1 (up to 16 times)\n"
    "  --nofile N          limit of open descriptors (default 256)\n"
    "  --fsize BYTES       limit of the size of files written; exceeding it is fatal for the command (default: the inherited limit)\n"
    "  --isolation MODE    full (default; needs root, nothing is skipped), rootless (user namespace, what is not to be had is reported),\n"
    "                      none (limits, system call filter and user only)\n"
    "  --require NAMES     these of the controls that are reported as missing (`missing NAME`) must be had,\n"
    "                      or nothing is started; separated by commas\n"
    "  --hostname NAME     host name in the jail (default \"vm\")\n"
    "  --help              this text\n";

static unsigned long long number(const char *option, const char *text, unsigned long long low, unsigned long long high) {
    // strtoull takes signs and blanks; a descriptor or a uid has neither.
    if (!isdigit((unsigned char)text[0])) {
        fail_with(EINVAL, "option %s %s: not a number", option, text);
    }
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *end != 0 || value < low || value > high) {
        fail_with(ERANGE, "option %s %s: not a number from %llu to %llu", option, text, low, high);
    }
    return value;
}

static void check_hostname(const char *name) {
    size_t length = strlen(name);
    if (length == 0 || length > 63) {
        fail_with(EINVAL, "option --hostname: 1 to 63 characters");
    }
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '.') {
            fail_with(EINVAL, "option --hostname: letters, digits, '-' and '.' only");
        }
    }
}

// A hole in 0..keep would be filled by one of the launcher's own descriptors; a directory or an O_PATH descriptor is a way
// out of the jail's root (openat with "..", reopening by /proc/self/fd). All of them are mistakes of the caller.
static void check_descriptors(const struct options *options) {
    for (int fd = 0; fd <= options->keep; fd++) {
        struct stat status;
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fstat(fd, &status) < 0) {
            fail("descriptor %d of --keep %d", fd, options->keep);
        }
        if (S_ISDIR(status.st_mode)) {
            fail_with(EISDIR, "descriptor %d: a directory leads out of the jail", fd);
        }
        if ((flags & O_PATH) != 0) {
            fail_with(EINVAL, "descriptor %d: an O_PATH descriptor leads out of the jail", fd);
        }
    }
}

static void check_user(struct options *options, bool has_uid, bool has_gid) {
    bool root = geteuid() == 0;
    if (options->isolation == ISOLATION_FULL && !root) {
        fail_with(EPERM, "option --isolation full: needs root");
    }
    if (options->isolation == ISOLATION_ROOTLESS && root) {
        fail_with(EINVAL, "option --isolation rootless: for callers other than root; root uses full");
    }
    if (root && (!has_uid || !has_gid)) {
        fail_with(EINVAL, "option %s: required for root", has_uid ? "--gid" : "--uid");
    }
    if (!has_uid) {
        options->uid = getuid();
    }
    if (!has_gid) {
        options->gid = getgid();
    }
    if (options->uid == 0) {
        fail_with(EINVAL, "option --uid 0: root is refused");
    }
    if (options->gid == 0) {
        fail_with(EINVAL, "option --gid 0: root's group is refused");
    }
    if (!root && (options->uid != getuid() || getuid() != geteuid())) {
        fail_with(EPERM, "option --uid %u: only root can take another user", options->uid);
    }
    if (!root && (options->gid != getgid() || getgid() != getegid())) {
        fail_with(EPERM, "option --gid %u: only root can take another group", options->gid);
    }
}

// Errors of other options are to reach the status descriptor, wherever on the line it is named.
static int find_status_fd(int argc, char **argv) {
    for (int i = 1; i + 1 < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--status-fd") == 0) {
            int fd = (int)number("--status-fd", argv[i + 1], 3, MAX_KEPT_FD);
            if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
                fail("option --status-fd %d", fd);
            }
            return fd;
        }
    }
    return -1;
}

// For the supervisor alone. It is among 0..keep all the same, because nothing above is open in a spawned launcher.
static void take_from_command(const struct options *options, const char *option, int fd) {
    if (fd > options->keep) {
        fail_with(EINVAL, "option %s %d: above --keep %d", option, fd, options->keep);
    }
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        fail("option %s %d", option, fd);
    }
}

void options_parse(int argc, char **argv, struct options *options) {
    enum { ROOT = 256, UID, GID, KEEP, STATUS, ATTACHED, PARENT, DETACH, HOLD, KVM, CGROUP, NOFILE, FSIZE, ISOLATION, REQUIRE, HOSTNAME, HELP };
    static const struct option known[] = {
        {"root", required_argument, NULL, ROOT},           {"uid", required_argument, NULL, UID},
        {"gid", required_argument, NULL, GID},             {"keep", required_argument, NULL, KEEP},
        {"status-fd", required_argument, NULL, STATUS},    {"attached", no_argument, NULL, ATTACHED},
        {"parent", required_argument, NULL, PARENT},       {"kvm", no_argument, NULL, KVM},
        {"detach-fd", required_argument, NULL, DETACH},    {"hold", required_argument, NULL, HOLD},
        {"cgroup", required_argument, NULL, CGROUP},       {"nofile", required_argument, NULL, NOFILE},
        {"fsize", required_argument, NULL, FSIZE},         {"isolation", required_argument, NULL, ISOLATION},
        {"hostname", required_argument, NULL, HOSTNAME},   {"require", required_argument, NULL, REQUIRE},
        {"help", no_argument, NULL, HELP},                 {NULL, 0, NULL, 0},
    };
    *options = (struct options){.keep = -1, .status_fd = -1, .detach_fd = -1, .nofile = 256, .hostname = "vm"};
    options->status_fd = find_status_fd(argc, argv);
    report_to_status(options->status_fd);

    bool has_uid = false, has_gid = false;
    opterr = 0;
    for (;;) {
        int current = optind;
        int option = getopt_long(argc, argv, "+:", known, NULL);
        if (option < 0) {
            break;
        }
        switch (option) {
        case ROOT: options->root = optarg; break;
        case UID: options->uid = (uid_t)number("--uid", optarg, 0, 4294967294ULL); has_uid = true; break;
        case GID: options->gid = (gid_t)number("--gid", optarg, 0, 4294967294ULL); has_gid = true; break;
        case KEEP: options->keep = (int)number("--keep", optarg, 2, MAX_KEPT_FD); break;
        case STATUS: break;
        case ATTACHED: options->attached = true; break;
        case PARENT: options->parent = (pid_t)number("--parent", optarg, 1, 4194304); break;
        case DETACH: options->detach_fd = (int)number("--detach-fd", optarg, 3, MAX_KEPT_FD); break;
        case HOLD:
            if (options->held_count == MAX_HELD) {
                fail_with(E2BIG, "option --hold: at most %d", MAX_HELD);
            }
            options->held[options->held_count++] = (int)number("--hold", optarg, 3, MAX_KEPT_FD);
            break;
        case KVM: options->kvm = true; break;
        case CGROUP:
            if (optarg[0] != '/') {
                fail_with(EINVAL, "option --cgroup %s: not an absolute path", optarg);
            }
            if (options->cgroup_count == MAX_CGROUPS) {
                fail_with(E2BIG, "option --cgroup: at most %d", MAX_CGROUPS);
            }
            options->cgroups[options->cgroup_count++] = optarg;
            break;
        case NOFILE: options->nofile = number("--nofile", optarg, 16, 1048576); break;
        case FSIZE: options->file_size = number("--fsize", optarg, 0, 1ULL << 62); options->limit_file_size = true; break;
        case ISOLATION:
            if (strcmp(optarg, "full") == 0) {
                options->isolation = ISOLATION_FULL;
            } else if (strcmp(optarg, "rootless") == 0) {
                options->isolation = ISOLATION_ROOTLESS;
            } else if (strcmp(optarg, "none") == 0) {
                options->isolation = ISOLATION_NONE;
            } else {
                fail_with(EINVAL, "option --isolation %s: not full, rootless or none", optarg);
            }
            break;
        case REQUIRE: options->required = optarg; break;
        case HOSTNAME: check_hostname(optarg); options->hostname = optarg; break;
        case HELP: fputs(usage, stdout); exit(fflush(stdout) == 0 ? 0 : EXIT_LAUNCHER_FAILED);
        case ':': fail_with(EINVAL, "option %s: needs a value", argv[current]);
        default: fail_with(EINVAL, "option %s: unknown", argv[current]);
        }
    }

    if (optind >= argc || strcmp(argv[optind - 1], "--") != 0) {
        fail_with(EINVAL, "command: missing after --");
    }
    options->command = argv + optind;
    if (options->command[0][0] != '/') {
        fail_with(EINVAL, "command %s: not an absolute path", options->command[0]);
    }
    if (options->keep < 0) {
        fail_with(EINVAL, "option --keep: required");
    }
    if (options->status_fd > options->keep) {
        fail_with(EINVAL, "option --status-fd %d: above --keep %d", options->status_fd, options->keep);
    }
    if (options->nofile < (rlim_t)options->keep + 3) {
        fail_with(EINVAL, "option --nofile: too low for --keep %d", options->keep);
    }
    if (options->parent != 0 && !options->attached) {
        fail_with(EINVAL, "option --parent: only with --attached");
    }
    if (options->detach_fd >= 0 && options->attached) {
        fail_with(EINVAL, "option --detach-fd: not with --attached");
    }
    if (options->isolation != ISOLATION_NONE && (options->root == NULL || options->root[0] != '/')) {
        fail_with(EINVAL, "option --root: an absolute path is required");
    }
    report_required(options->required);
    check_user(options, has_uid, has_gid);
    check_descriptors(options);
    if (options->detach_fd >= 0) {
        take_from_command(options, "--detach-fd", options->detach_fd);
    }
    for (int i = 0; i < options->held_count; i++) {
        take_from_command(options, "--hold", options->held[i]);
    }
}
