/*
 * Starts a process in its cgroup, session and credentials, without a moment in which it is anywhere else.
 *
 * clone3(CLONE_VM | CLONE_VFORK): the child borrows the caller's memory and the calling thread stands still until the child
 * has called execve or ended, so nothing is copied and errors come back through plain memory.
 * The child makes raw system calls only. libc's setresuid() would change every thread of the caller, and errno lives in the
 * thread area that it shares with the caller.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

enum step { STEP_NONE, STEP_CLONE, STEP_SESSION, STEP_STDIO, STEP_GROUPS, STEP_GID, STEP_UID, STEP_CHDIR, STEP_EXEC, STEP_TERMINAL, STEP_LIMITS };

/* Layout is shared with SpawnLimit.cs. */
struct osb_limit {
    uint64_t resource;
    uint64_t soft;
    uint64_t hard;
};

/* Layout is shared with SpawnBlock.cs. */
struct osb_spawn {
    const char *const *paths;   /* programs to try in order, ended by NULL */
    const char **argv;
    const char **shell_argv;    /* for files that the kernel cannot execute: "/bin/sh", a free slot, argv[1].. */
    const char *const *envp;
    const char *cwd;
    const uint32_t *groups;
    const struct osb_limit *limits;
    uint32_t limit_count;
    int32_t terminal;           /* nonzero: descriptor 0 becomes the session's terminal */
    int32_t report;             /* becomes descriptor 3, or -1 */
    uint32_t group_count;
    uint32_t uid;
    uint32_t gid;
    int32_t cwd_optional;       /* nonzero: "/" will do where cwd cannot be entered */
    int32_t stdio[3];
    int32_t cgroup;             /* directory of the cgroup v2 to start in, or -1 */
    int32_t pid;                /* results */
    int32_t pidfd;
    int32_t step;
    int32_t error;
};

static char child_stack[64 * 1024] __attribute__((aligned(64)));
static uint64_t ignored_signals;

static inline long sys(long n, long a, long b, long c, long d)
{
    long r;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return r;
}

struct kernel_sigaction { void *handler; unsigned long flags; void *restorer; uint64_t mask; };

/* SIGCHLD is blocked before the first other thread exists, so that all threads inherit it and a signalfd sees every one. */
__attribute__((constructor)) static void block_sigchld(void)
{
    uint64_t mask = 1ULL << (SIGCHLD - 1);
    sys(SYS_rt_sigprocmask, SIG_BLOCK, (long)&mask, 0, sizeof(mask));
}

/* Handlers that the runtime has installed, by signal. */
static struct sigaction saved[65];

/*
 * A signal that some process sent is nothing to act upon: kernel faults (si_code > 0) and the runtime's own signals go to
 * its handlers, everything else is dropped. Without this, `kill -SEGV 1` from a root shell takes the runtime's fault handler away.
 */
static void guarded(int signal, siginfo_t *info, void *context)
{
    if (info->si_code <= 0 && info->si_pid != getpid())
        return;
    if (saved[signal].sa_flags & SA_SIGINFO)
        saved[signal].sa_sigaction(signal, info, context);
    else
        saved[signal].sa_handler(signal);
}

/*
 * The caller of clone3 stands still until the child has called execve. Between the change of uid and execve another process of that
 * uid can stop the child with a signal, and a file system of the guest's own can hang under it: so the child has this long, and is then
 * killed with its cgroup. The thread below sleeps until that happens.
 */
#define SPAWN_SECONDS 5

static int spawn_timer = -1;
static volatile int spawn_cgroup = -1;

static void *watch_spawn(void *nothing)
{
    uint64_t expirations;
    (void)nothing;
    for (;;) {
        int cgroup = -1;
        if (read(spawn_timer, &expirations, sizeof(expirations)) != sizeof(expirations) || (cgroup = spawn_cgroup) < 0)
            continue;
        int kill = openat(cgroup, "cgroup.kill", O_WRONLY | O_CLOEXEC);
        if (kill >= 0) {
            /* A failed write is tried again: the timer repeats until the spawn has returned. */
            ssize_t written = write(kill, "1", 1);
            (void)written;
            close(kill);
        }
    }
    return NULL;
}

static void start_spawn_watch(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    spawn_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (spawn_timer < 0)
        return;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    if (pthread_create(&thread, &attributes, watch_spawn, NULL) == 0) {
        pthread_detach(thread);
    } else {
        close(spawn_timer);
        spawn_timer = -1;
    }
    pthread_attr_destroy(&attributes);
}

static void set_spawn_watch(int cgroup)
{
    struct itimerspec when;
    memset(&when, 0, sizeof(when));
    spawn_cgroup = cgroup;
    when.it_value.tv_sec = cgroup >= 0 ? SPAWN_SECONDS : 0;
    when.it_interval.tv_sec = cgroup >= 0 ? 1 : 0;
    if (spawn_timer >= 0)
        timerfd_settime(spawn_timer, 0, &when, NULL);
}

/* Call once, when the runtime is up. */
void osb_guard_signals(void)
{
    start_spawn_watch();
    for (int s = 1; s < 65; s++) {
        struct sigaction now;
        if (sigaction(s, NULL, &now) != 0)
            continue;
        if (now.sa_handler == SIG_IGN) {
            ignored_signals |= 1ULL << (s - 1);
        } else if (now.sa_handler != SIG_DFL && now.sa_sigaction != guarded) {
            saved[s] = now;
            now.sa_sigaction = guarded;
            now.sa_flags |= SA_SIGINFO;
            sigaction(s, &now, NULL);
        }
    }
}

static __attribute__((noreturn)) void fail(struct osb_spawn *s, int step, long error)
{
    s->error = (int32_t)-error;
    s->step = step;
    for (;;)
        sys(SYS_exit_group, 127, 0, 0, 0);
}

static void set_up_stdio(struct osb_spawn *s)
{
    /* All sources lie above 2: the caller's own 0 to 2 are never closed. */
    for (int i = 0; i < 3; i++) {
        long r = sys(SYS_dup3, s->stdio[i], i, 0, 0);
        if (r < 0)
            fail(s, STEP_STDIO, r);
    }
    unsigned first = 3;
    if (s->report >= 0) {
        /* If it is 3 already, that is the caller's number for it, which closes on exec. */
        long r = s->report == 3 ? sys(SYS_fcntl, 3, F_SETFD, 0, 0) : sys(SYS_dup3, s->report, 3, 0, 0);
        if (r < 0)
            fail(s, STEP_STDIO, r);
        first = 4;
    }
    sys(SYS_close_range, first, ~0U, 0, 0);
}

static __attribute__((noreturn, used)) void child(struct osb_spawn *s)
{
    long r;
    for (uint64_t left = ignored_signals; left != 0; left &= left - 1) {
        struct kernel_sigaction initial;
        memset(&initial, 0, sizeof(initial));
        sys(SYS_rt_sigaction, __builtin_ctzll(left) + 1, (long)&initial, 0, sizeof(initial.mask));
    }

    if ((r = sys(SYS_setsid, 0, 0, 0, 0)) < 0)
        fail(s, STEP_SESSION, r);
    set_up_stdio(s);
    if (s->terminal && (r = sys(SYS_ioctl, 0, TIOCSCTTY, 0, 0)) < 0)
        fail(s, STEP_TERMINAL, r);
    /* As long as the child is root: a limit may be above the present one. */
    for (uint32_t i = 0; i < s->limit_count; i++) {
        struct { uint64_t soft, hard; } limit = { s->limits[i].soft, s->limits[i].hard };
        if ((r = sys(SYS_prlimit64, 0, (long)s->limits[i].resource, (long)&limit, 0)) < 0)
            fail(s, STEP_LIMITS, r);
    }
    if ((r = sys(SYS_setgroups, s->group_count, (long)s->groups, 0, 0)) < 0)
        fail(s, STEP_GROUPS, r);
    if ((r = sys(SYS_setresgid, s->gid, s->gid, s->gid, 0)) < 0)
        fail(s, STEP_GID, r);
    if ((r = sys(SYS_setresuid, s->uid, s->uid, s->uid, 0)) < 0)
        fail(s, STEP_UID, r);
    if ((r = sys(SYS_chdir, (long)s->cwd, 0, 0, 0)) < 0 &&
        (!s->cwd_optional || (r = sys(SYS_chdir, (long)"/", 0, 0, 0)) < 0))
        fail(s, STEP_CHDIR, r);

    sys(SYS_umask, 022, 0, 0, 0);
    uint64_t none = 0;
    sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof(none));
    long error = -ENOENT;
    for (const char *const *path = s->paths; *path; path++) {
        r = sys(SYS_execve, (long)*path, (long)s->argv, (long)s->envp, 0);
        if (r == -ENOEXEC) {
            s->shell_argv[1] = *path;
            r = sys(SYS_execve, (long)s->shell_argv[0], (long)s->shell_argv, (long)s->envp, 0);
        }
        if (r == -EACCES)
            error = r;                      /* as execvp: the search goes on, and this is what it reports */
        else if (r != -ENOENT && r != -ENOTDIR)
            fail(s, STEP_EXEC, r);
    }
    fail(s, STEP_EXEC, error);
}

/* Returns 0 and sets pid and pidfd, or returns -1 and sets step and error. One caller at a time. */
int osb_spawn(struct osb_spawn *s)
{
    int32_t pidfd = -1;
    struct clone_args args;
    memset(&args, 0, sizeof(args));
    args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
    args.pidfd = (uint64_t)(uintptr_t)&pidfd;
    args.exit_signal = SIGCHLD;
    args.stack = (uint64_t)(uintptr_t)child_stack;
    args.stack_size = sizeof(child_stack);
    if (s->cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)s->cgroup;
    }

    s->step = STEP_NONE;
    s->error = 0;
    set_spawn_watch(s->cgroup);
    long pid;
    /* The child begins on its own stack with nothing but its argument, which rides in a register that the kernel preserves. */
    register struct osb_spawn *argument __asm__("r12") = s;
    __asm__ volatile(
        "syscall\n\t"
        "test %%rax, %%rax\n\t"
        "jnz 1f\n\t"
        "xor %%ebp, %%ebp\n\t"
        "mov %%r12, %%rdi\n\t"
        "call child\n\t"
        "ud2\n\t"
        "1:"
        : "=a"(pid)
        : "a"((long)SYS_clone3), "D"(&args), "S"(sizeof(args)), "r"(argument)
        : "rcx", "r11", "memory", "cc");
    set_spawn_watch(-1);
    if (pid < 0) {
        s->step = STEP_CLONE;
        s->error = (int32_t)-pid;
        return -1;
    }

    if (s->step != STEP_NONE) {
        siginfo_t info;
        while (syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, NULL) < 0 && errno == EINTR)
            ;
        close(pidfd);
        return -1;
    }

    s->pid = (int32_t)pid;
    s->pidfd = pidfd;
    return 0;
}
