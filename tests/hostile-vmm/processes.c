// Other processes, and new ones.
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "probe.h"

static long new_process(long number) {
    long pid = syscall(number);
    if (pid == 0) {
        _exit(0);
    }
    return pid;
}

static long new_process_clone3(void) {
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0) {
        _exit(0);
    }
    return pid;
}

static void *nothing(void *argument) { return argument; }

static long new_thread(void) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, nothing, NULL);
    if (error != 0) {
        errno = error;
        return -1;
    }
    pthread_join(thread, NULL);
    return 0;
}

void probe_processes(const struct targets *targets) {
    pid_t outside = targets->outside_pid;
    char byte = 0;
    struct iovec local = {&byte, 1}, remote = {(void *)0x400000, 1};

    TRY("control-thread", new_thread());
    TRY("fork", new_process(SYS_fork));
    TRY("clone3", new_process_clone3());
    TRY("execveat", syscall(SYS_execveat, AT_FDCWD, "/usr/bin/true", NULL, NULL, 0));
    TRY("ptrace-attach-outside", ptrace(PTRACE_ATTACH, outside, NULL, NULL));
    TRY("ptrace-seize-launcher", ptrace(PTRACE_SEIZE, targets->launcher_pid, NULL, NULL));
    TRY("ptrace-traceme", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    TRY("process-vm-readv-outside", process_vm_readv(outside, &local, 1, &remote, 1, 0));
    TRY("process-vm-writev-outside", process_vm_writev(outside, &local, 1, &remote, 1, 0));
    TRY("process-vm-readv-launcher", process_vm_readv(targets->launcher_pid, &local, 1, &remote, 1, 0));
    TRY("process-madvise", syscall(SYS_process_madvise, -1, NULL, 0, 0, 0));
    TRY("kill-outside", kill(outside, SIGKILL));
    TRY("kill-launcher", kill(targets->launcher_pid, SIGKILL));
    TRY("kill-everything", kill(-1, SIGKILL));
    TRY("kill-parent", getppid() == 0 ? (errno = ESRCH, -1) : kill(getppid(), 0));
    TRY("tgkill-outside", syscall(SYS_tgkill, outside, outside, SIGKILL));
    TRY("sigqueue-outside", sigqueue(outside, SIGKILL, (union sigval){0}));
    TRY("pidfd-open-outside", syscall(SYS_pidfd_open, outside, 0));
    TRY("pidfd-send-signal", syscall(SYS_pidfd_send_signal, -1, 0, NULL, 0));
    TRY("pidfd-getfd", syscall(SYS_pidfd_getfd, -1, 0, 0));
    TRY("kcmp", syscall(SYS_kcmp, getpid(), outside, 0, 0, 0));
    TRY("fcntl-setown-outside", fcntl(8, F_SETOWN, outside));
    TRY("prlimit-outside", prlimit(outside, RLIMIT_NOFILE, NULL, &(struct rlimit){0}));
    TRY("affinity-outside", sched_getaffinity(outside, sizeof(cpu_set_t), &(cpu_set_t){0}));
    TRY("priority-outside", setpriority(PRIO_PROCESS, (id_t)outside, 19));
    TRY("getpgid-outside", getpgid(outside));
    TRY("migrate-pages-outside", syscall(SYS_migrate_pages, outside, 0, NULL, NULL));
    TRY("move-pages", syscall(SYS_move_pages, 0, 0, NULL, NULL, NULL, 0));
    TRY("clear-parent-death-signal", prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0));
#ifdef SYS_vfork
    // As a plain call it would share this stack; that it is refused is known before it could.
    TRY("vfork", new_process(SYS_vfork));
#endif
}
