// launcher: starts a virtual machine monitor in a jail and stays as its parent.
//
//   launcher --root DIR --uid N --gid N --keep N [--status-fd N] [--attached [--parent PID] | --detach-fd N] [--hold N]... [--kvm]
//            [--cgroup DIR]... [--nofile N] [--fsize BYTES] [--isolation full|none|rootless] [--require NAMES] [--hostname NAME] --
//            /usr/bin/qemu-system-x86_64 ARGS...
//
// Options are explained by --help (options.c). Two processes come of it:
//
//   supervisor   what the caller spawned. Once the command runs it has the command's uid, no capabilities, no descriptors but a
//                signalfd and what --detach-fd and --hold name, and a filter that leaves it read, poll, wait4, kill and exit. It exits
//                as the command did (code, or 128+signal), or with 137 after SIGTERM, having seen the command end.
//   command      first process of its own pid namespace; made like this, in this order, each step failing with its name:
//
//     1  clone3 with new mount, pid, net, ipc and uts namespaces (rootless: user namespace too), in the v2 cgroup if there is one
//     2  session of its own; the signal for the parent's death; the cgroup namespace
//     3  tmpfs as root, read-only nosuid nodev /usr, devices, /proc with processes only; pivot_root; old root detached; read-only
//     4  limits; every descriptor above --keep closed
//     5  bounding and ambient sets emptied; groups, gid, uid; capabilities cleared; no_new_privs
//     6  the signal for the parent's death again, because a change of uid clears it, and a check that the parent did not die before
//     7  without a uid or a root of its own, or where required: file rules (Landlock); system call filter
//     8  execve with a fixed environment
//
// Life-cycle: the command dies with the supervisor whatever kills that (parent-death signal, which the command's filter keeps it from
// clearing). The supervisor dies with its spawner with --attached alone. The parent-death signal is tied to the spawning *thread*:
// spawn from one that lives as long as the sandbox is to live. A command that is to outlive its spawner is not to be forgotten by it
// either: with --detach-fd it ends with whoever holds the other end, until that one has noted down what there is to know of it and
// says so by a byte. From its session on nothing that is meant for the spawner reaches it: no terminal's signals, no hang-up.
//
// Descriptors: the caller places what the command inherits at 0..keep without holes. Status lines go to --status-fd; its end of file
// after `pid N` and without `error` means that the command has been executed.
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"

static void reset_signals(void) {
    // Ignored signals are inherited; an ignored SIGCHLD would make the command's exit code unobtainable.
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < NSIG; signal++) {
        sigaction(signal, &standard, NULL);   // fails for SIGKILL, SIGSTOP and those that the C library keeps
    }
}

static void die_with_parent(void) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) {
        fail("parent-death signal");
    }
}

static void unblock_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0) {
        fail("unblock signals");
    }
}

// ---- the command's side

static _Noreturn void run_command(const struct options *options, int supervisor, bool namespaces) {
    report_to_supervisor(supervisor);
    die_with_parent();
    if (setsid() < 0) {
        fail("setsid");
    }
    if (options->isolation == ISOLATION_ROOTLESS) {
        if (namespaces) {
            if (!privileges_map_user(options->uid, options->gid)) {
                _exit(errno);
            }
            report_mapped();
        }
        report_missing("uid-per-sandbox");
    }

    if (namespaces) {
        if (unshare(CLONE_NEWCGROUP) < 0) {
            fail("cgroup namespace");
        }
        if (sethostname(options->hostname, strlen(options->hostname)) < 0 || setdomainname("", 0) < 0) {
            fail("host name");
        }
        filesystem_enter(options);
    }

    privileges_limit_resources(options);
    umask(077);
    personality(0);   // the caller's, possibly without address randomisation; cannot fail for 0

    if (dup3(supervisor, options->keep + 1, O_CLOEXEC) < 0 && errno != EINVAL) {   // EINVAL: it is there already
        fail("move descriptor");
    }
    supervisor = options->keep + 1;
    report_to_supervisor(supervisor);
    if (syscall(SYS_close_range, options->keep + 2, ~0U, 0) < 0) {
        fail("close_range");
    }

    privileges_drop(options, true);
    die_with_parent();
    // The pipe has no reader any more when the supervisor died before the line above.
    struct pollfd pipe = {.fd = supervisor};
    if (poll(&pipe, 1, 0) < 0 || (pipe.revents & POLLERR) != 0) {
        _exit(EXIT_LAUNCHER_FAILED);
    }
    unblock_signals();
    if (options->isolation != ISOLATION_FULL || report_is_required("file-rules")) {
        landlock_confine(options);
    }
    seccomp_confine_command();

    static char *const environment[] = {"PATH=/usr/bin", "HOME=/tmp", "LANG=C", NULL};
    report_exec();
    execve(options->command[0], options->command, environment);
    fail("execute %s", options->command[0]);
}

// ---- the supervisor's side

struct start {
    char line[512];
    size_t length;
    bool failed;
    bool executed;
};

static void take_line(struct start *start) {
    start->line[start->length] = 0;
    switch (start->line[0]) {
    case MESSAGE_EXEC: start->executed = true; break;
    case MESSAGE_ERROR: start->failed = true; report_relay(MESSAGE_ERROR, start->line + 1); break;
    case MESSAGE_MISSING: report_relay(MESSAGE_MISSING, start->line + 1); break;
    }
    start->length = 0;
}

// Returns false at the end of the pipe: the command has been executed, or is gone.
static bool take_messages(struct start *start, int pipe_fd) {
    char bytes[512];
    ssize_t count = read(pipe_fd, bytes, sizeof bytes);
    if (count < 0) {
        return errno == EINTR;
    }
    for (ssize_t i = 0; i < count; i++) {
        if (bytes[i] == '\n') {
            take_line(start);
        } else if (start->length < sizeof start->line - 1) {
            start->line[start->length++] = bytes[i];
        }
    }
    return count > 0;
}

static int exit_code(int status, bool killed) {
    if (killed) {
        return EXIT_KILLED;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static _Noreturn void abandon(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    _exit(EXIT_LAUNCHER_FAILED);
}

// From here on the supervisor can do no more to the machine than the command can. fail() is enough when a step fails: the command
// dies with this process.
static void confine_supervisor(const struct options *options, pid_t spawner) {
    privileges_drop(options, false);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        fail("supervisor not dumpable");
    }
    if (options->attached) {
        die_with_parent();
        if (getppid() != spawner) {
            fail_with(ESRCH, "parent %d", (int)spawner);
        }
    }
    seccomp_confine_supervisor();
}

enum tie { TIED, DETACHED, CUT };

// What is read first counts: a byte that was written before the end is there to be read before the end.
static enum tie read_tie(int fd) {
    char byte;
    ssize_t count = read(fd, &byte, 1);
    if (count > 0) {
        return DETACHED;
    }
    return count < 0 && (errno == EINTR || errno == EAGAIN) ? TIED : CUT;
}

static _Noreturn void supervise(const struct options *options, pid_t child, int messages, int signals, pid_t spawner) {
    struct start start = {.length = 0};
    bool killed = false;
    int tie = options->detach_fd;
    int status;
    for (;;) {
        struct pollfd polled[3] = {{.fd = signals, .events = POLLIN}, {.fd = messages, .events = POLLIN}, {.fd = tie, .events = POLLIN}};
        if (poll(polled, 3, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            abandon(child);
        }
        // Messages first: after the command's end they are the reason of it.
        if (polled[1].revents != 0 && !take_messages(&start, messages)) {
            close(messages);
            messages = -1;
            if (start.executed && !start.failed) {
                confine_supervisor(options, spawner);
            } else if (!start.failed && !killed) {
                report_relay(MESSAGE_ERROR, "start: the command was killed before it was executed: No child processes (10)");
                start.failed = true;
            }
            if (options->status_fd >= 0) {
                close(options->status_fd);
                report_to_status(-1);
            }
            close(STDERR_FILENO);   // so that the end of the command is the end of its output
        }
        struct signalfd_siginfo signal;
        if (polled[0].revents != 0 && read(signals, &signal, sizeof signal) == sizeof signal && signal.ssi_signo != SIGCHLD) {
            killed = true;
            kill(child, SIGKILL);
        }
        enum tie now = polled[2].revents != 0 ? read_tie(tie) : TIED;
        if (now != TIED) {
            close(tie);
            tie = -1;
        }
        if (now == CUT) {
            killed = true;
            kill(child, SIGKILL);
        }
        // As the first process of a pid namespace it is waitable when everything in that namespace is gone.
        if (messages < 0 && waitpid(child, &status, WNOHANG) == child) {
            _exit(start.failed ? EXIT_LAUNCHER_FAILED : exit_code(status, killed));
        }
    }
}

static int listen_to_signals(void) {
    sigset_t all, awaited;
    sigfillset(&all);
    sigemptyset(&awaited);
    const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaddset(&awaited, numbers[i]);
    }
    if (sigprocmask(SIG_SETMASK, &all, NULL) < 0) {
        fail("block signals");
    }
    int fd = signalfd(-1, &awaited, SFD_CLOEXEC);
    if (fd < 0) {
        fail("signalfd");
    }
    return fd;
}

static int compare(const void *left, const void *right) { return *(const int *)left - *(const int *)right; }

// Closes everything but stderr and what the supervisor needs.
static void close_others(const struct options *options, int messages, int signals) {
    int kept[MAX_HELD + 5] = {STDERR_FILENO, messages, signals, options->status_fd, options->detach_fd};
    size_t count = 5;
    for (int i = 0; i < options->held_count; i++) {
        kept[count++] = options->held[i];
    }
    qsort(kept, count, sizeof kept[0], compare);

    int from = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept[i] > from && syscall(SYS_close_range, from, kept[i] - 1, 0) < 0) {
            fail("close_range");
        }
        if (kept[i] >= from) {   // not one of those that are -1, or named twice
            from = kept[i] + 1;
        }
    }
    if (syscall(SYS_close_range, from, ~0U, 0) < 0) {
        fail("close_range");
    }
}

// Where user namespaces are restricted (AppArmor, for one) the namespace can be made and then not be given a mapping.
static pid_t confirm_user_mapped(pid_t child, int messages) {
    char byte;
    ssize_t count;
    while ((count = read(messages, &byte, 1)) < 0 && errno == EINTR) {
    }
    if (count == 1) {
        return child;
    }
    int status = 0;
    waitpid(child, &status, 0);
    errno = WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : ECHILD;
    return -1;
}

// Returns the command's process, and the pipe that its messages come from; or -1 and errno, with nothing left behind.
static pid_t start_command(const struct options *options, uint64_t namespaces, int unified_fd, int *messages) {
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
        fail("pipe");
    }
    struct clone_args arguments = {.flags = namespaces, .exit_signal = SIGCHLD};
    if (unified_fd >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)unified_fd;
    }
    pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0) {
        run_command(options, pipe_fds[1], namespaces != 0);
    }
    close(pipe_fds[1]);
    *messages = pipe_fds[0];
    if (child > 0 && (namespaces & CLONE_NEWUSER) != 0) {
        child = confirm_user_mapped(child, pipe_fds[0]);
    }
    if (child < 0) {
        int error = errno;
        close(pipe_fds[0]);
        errno = error;
    }
    return child;
}

int main(int argc, char **argv) {
    pid_t spawner = getppid();
    struct options options;
    options_parse(argc, argv, &options);

    reset_signals();
    int signals = listen_to_signals();
    if (options.attached) {
        if (options.parent != 0) {
            spawner = options.parent;
        }
        die_with_parent();
        if (getppid() != spawner) {
            fail_with(ESRCH, "parent %d", (int)spawner);
        }
    }
    setsid();   // fails for a group's leader, which has left the terminal's group already
    if (chdir("/") < 0) {
        fail("chdir /");
    }

    // The v2 cgroup is entered by clone3. Into v1 ones the supervisor moves the command, which is not held up by that.
    int cgroup_fds[MAX_CGROUPS];
    int unified = -1;
    for (int i = 0; i < options.cgroup_count; i++) {
        bool is_unified;
        int fd = privileges_open_cgroup(options.cgroups[i], &is_unified);
        if (is_unified && unified >= 0) {
            fail_with(EINVAL, "option --cgroup %s: a second v2 cgroup", options.cgroups[i]);
        }
        cgroup_fds[i] = is_unified ? -1 : fd;
        unified = is_unified ? fd : unified;
    }
    uint64_t namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
    if (options.isolation == ISOLATION_NONE) {
        namespaces = 0;
    } else if (options.isolation == ISOLATION_ROOTLESS) {
        namespaces |= CLONE_NEWUSER;
    }
    int messages;
    pid_t child = start_command(&options, namespaces, unified, &messages);
    if (child < 0 && options.isolation == ISOLATION_ROOTLESS) {
        char text[128];
        snprintf(text, sizeof text, "namespaces: %s (%d)", strerror(errno), errno);
        report_missing(text);
        child = start_command(&options, 0, unified, &messages);
    }
    if (child < 0) {
        fail("create process%s%s", namespaces != 0 ? " and namespaces" : "", unified >= 0 ? " in the v2 cgroup" : "");
    }
    report_pid(child);
    // Waits for an RCU grace period (measured: 7 ms), meanwhile the command gets on; it dies with this process if it cannot be moved.
    privileges_join_cgroups(&options, cgroup_fds, child);
    close_others(&options, messages, signals);
    supervise(&options, child, messages, signals, spawner);
}
