// System call filters. The command's is a list of what a virtual machine monitor never needs and an attacker in it would use next:
// everything else is allowed, because QEMU's calls differ between versions. It stays in force below QEMU's own -sandbox filter.
// The supervisor's is a list of the few calls that it makes.
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

#if defined(__x86_64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the launcher knows the system calls of x86_64 and aarch64"
#endif

// Newer than the headers of the oldest distribution that this is built on. The numbers are the same on all architectures.
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
#ifndef SYS_statmount
#define SYS_statmount 457
#define SYS_listmount 458
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_removexattrat 466
#endif
#ifndef SYS_file_setattr
#define SYS_file_setattr 469
#endif
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif

static const int denied[] = {
    // kernel interfaces with a long history of privilege escalation
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
    SYS_keyctl, SYS_add_key, SYS_request_key, SYS_vmsplice, SYS_splice, SYS_tee, SYS_remap_file_pages,
    // other processes
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_process_mrelease, SYS_kcmp,
    SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal, SYS_migrate_pages, SYS_move_pages, SYS_execveat,
    // mounts and namespaces
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree, SYS_open_tree_attr, SYS_move_mount, SYS_fsopen, SYS_fsconfig,
    SYS_fsmount, SYS_fspick, SYS_mount_setattr, SYS_statmount, SYS_listmount, SYS_unshare, SYS_setns,
    SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_fanotify_init, SYS_fanotify_mark,
    // the machine
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct,
    SYS_quotactl, SYS_quotactl_fd, SYS_syslog, SYS_vhangup, SYS_sethostname, SYS_setdomainname, SYS_settimeofday, SYS_clock_settime,
    SYS_clock_adjtime, SYS_adjtimex, SYS_personality, SYS_lookup_dcookie, SYS_nfsservctl, SYS_cachestat,
    // priorities and CPUs, which may also be those of other processes of the same user; QEMU's own filter denies them as well
    SYS_setpriority, SYS_sched_setaffinity, SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setattr, SYS_ioprio_set, SYS_tkill,
    // identity
    SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setfsuid, SYS_setfsgid, SYS_setgroups, SYS_capset,
    // owners, modes and times of files, which are the caller's to change where the command has the caller's uid; and others' locks
    SYS_fchmod, SYS_fchmodat, SYS_fchmodat2, SYS_fchown, SYS_fchownat, SYS_utimensat, SYS_truncate, SYS_flock,
    SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_setxattrat, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr, SYS_removexattrat,
    SYS_file_setattr,
    // System V and POSIX IPC
    SYS_shmget, SYS_shmat, SYS_shmctl, SYS_semget, SYS_semop, SYS_semctl, SYS_semtimedop, SYS_msgget, SYS_msgsnd, SYS_msgrcv, SYS_msgctl,
    SYS_mq_open, SYS_mq_unlink,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef __x86_64__
    SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_utimes, SYS_futimesat,
    SYS_fork, SYS_vfork, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib, SYS_ustat, SYS_sysfs, SYS__sysctl, SYS_create_module,
    SYS_get_kernel_syms, SYS_query_module,
#endif
};

// Decided by an argument.
static const int examined[] = {SYS_clone,  SYS_clone3, SYS_socket,         SYS_prctl,            SYS_ioctl,   SYS_fcntl,
                               SYS_kill,   SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_prlimit64};

enum { DENIED_COUNT = sizeof denied / sizeof denied[0], EXAMINED_COUNT = sizeof examined / sizeof examined[0], MAX_PROGRAM = 1024 };

struct program {
    struct sock_filter code[MAX_PROGRAM];
    unsigned short length;
};

static void emit(struct program *program, unsigned short code, uint8_t yes, uint8_t no, uint32_t k) {
    if (program->length == MAX_PROGRAM) {
        fail_with(E2BIG, "system call filter: too long");
    }
    program->code[program->length++] = (struct sock_filter){.code = code, .jt = yes, .jf = no, .k = k};
}

static void emit_return(struct program *program, uint32_t action) { emit(program, BPF_RET | BPF_K, 0, 0, action); }

static void emit_load(struct program *program, uint32_t offset) { emit(program, BPF_LD | BPF_W | BPF_ABS, 0, 0, offset); }

// The arguments looked at are 32 bits wide in the kernel; both architectures are little-endian.
static void emit_load_argument(struct program *program, unsigned index) {
    emit_load(program, (uint32_t)(offsetof(struct seccomp_data, args) + index * sizeof(uint64_t)));
}

enum { REFUSE = SECCOMP_RET_ERRNO | EPERM };

static void emit_refuse_if_equal(struct program *program, uint32_t value) {
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
    emit_return(program, REFUSE);
}

static void emit_verdict(struct program *program, int number) {
    switch (number) {
    case SYS_clone:
        // Threads, and no thread in a namespace of its own. QEMU starts no process; nor does anyone who has taken it over.
        emit_load_argument(program, 0);
        emit(program, BPF_JMP | BPF_JSET | BPF_K, 0, 2, CLONE_THREAD);
        emit(program, BPF_JMP | BPF_JSET | BPF_K, 1, 0,
             CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET);
        emit_return(program, SECCOMP_RET_ALLOW);
        emit_return(program, REFUSE);
        return;
    case SYS_clone3:
        // Its flags are in memory, out of a filter's reach. With ENOSYS the C library falls back to clone.
        emit_return(program, SECCOMP_RET_ERRNO | ENOSYS);
        return;
    case SYS_socket:
        // AF_VSOCK knows no network namespaces and reaches the hypervisor below a nested host; netlink and packet sockets
        // are kernel code that nobody here needs. Sockets that are passed in work whatever their family.
        emit_load_argument(program, 0);
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AF_UNIX);
        emit_return(program, REFUSE);
        emit_return(program, SECCOMP_RET_ALLOW);
        return;
    case SYS_prctl:
        // Whoever could clear the parent-death signal would outlive the launcher.
        emit_load_argument(program, 0);
        emit_refuse_if_equal(program, PR_SET_PDEATHSIG);
        emit_return(program, SECCOMP_RET_ALLOW);
        return;
    case SYS_kill:
    case SYS_tgkill:
    case SYS_rt_sigqueueinfo:
    case SYS_rt_tgsigqueueinfo:
        // Itself alone: without a pid namespace it sees the caller's other processes. Its number stays the same when it is executed.
        emit_load_argument(program, 0);
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, (uint32_t)getpid());
        emit_return(program, REFUSE);
        emit_return(program, SECCOMP_RET_ALLOW);
        return;
    case SYS_prlimit64:
        emit_load_argument(program, 0);
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0);
        emit_return(program, REFUSE);
        emit_return(program, SECCOMP_RET_ALLOW);
        return;
    case SYS_fcntl:
        // Signals to others by way of a descriptor; leases, which hold up whoever opens a file of the caller's for writing.
        emit_load_argument(program, 1);
        emit_refuse_if_equal(program, F_SETOWN);
        emit_refuse_if_equal(program, F_SETOWN_EX);
        emit_refuse_if_equal(program, F_SETSIG);
        emit_refuse_if_equal(program, F_SETLEASE);
        emit_refuse_if_equal(program, F_NOTIFY);
        emit_return(program, SECCOMP_RET_ALLOW);
        return;
    case SYS_ioctl:
        // Typing into a terminal that was inherited as stderr.
        emit_load_argument(program, 1);
        emit_refuse_if_equal(program, TIOCSTI);
        emit_refuse_if_equal(program, TIOCLINUX);
        emit_refuse_if_equal(program, FIOSETOWN);
        emit_refuse_if_equal(program, SIOCSPGRP);
        // Attributes of a file that belongs to the caller, on a descriptor for reading.
        emit_refuse_if_equal(program, (uint32_t)FS_IOC_SETFLAGS);
        emit_refuse_if_equal(program, (uint32_t)FS_IOC_FSSETXATTR);
        emit_refuse_if_equal(program, (uint32_t)FS_IOC_ENABLE_VERITY);
        emit_return(program, SECCOMP_RET_ALLOW);
        return;
    default:
        emit_return(program, REFUSE);
    }
}

// A binary search: every system call of the command passes here (the kernel caches verdicts that depend on the number alone, since 5.11).
static void emit_search(struct program *program, const int *numbers, int count) {
    if (count <= 3) {
        for (int i = 0; i < count; i++) {
            emit(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, (uint32_t)numbers[i]);
            unsigned short jump = program->length;
            emit(program, BPF_JMP | BPF_JA, 0, 0, 0);
            emit_verdict(program, numbers[i]);
            program->code[jump].k = (uint32_t)(program->length - jump - 1);
        }
        emit_return(program, SECCOMP_RET_ALLOW);
        return;
    }
    int half = count / 2;
    emit(program, BPF_JMP | BPF_JGE | BPF_K, 0, 1, (uint32_t)numbers[half]);
    unsigned short jump = program->length;
    emit(program, BPF_JMP | BPF_JA, 0, 0, 0);
    emit_search(program, numbers, half);
    program->code[jump].k = (uint32_t)(program->length - jump - 1);
    emit_search(program, numbers + half, count - half);
}

static void emit_prologue(struct program *program, uint32_t foreign_action) {
    emit_load(program, offsetof(struct seccomp_data, arch));
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, NATIVE_ARCHITECTURE);
    emit_return(program, foreign_action);   // 32-bit calls have other numbers
    emit_load(program, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    emit(program, BPF_JMP | BPF_JGE | BPF_K, 0, 1, 0x40000000);   // x32 calls too
    emit_return(program, foreign_action);
#endif
}

static int compare(const void *left, const void *right) { return *(const int *)left - *(const int *)right; }

static void install(struct program *program, const char *whose) {
    struct sock_fprog loaded = {.len = program->length, .filter = program->code};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &loaded) < 0) {
        fail("system call filter of the %s", whose);
    }
}

void seccomp_confine_command(void) {
    int numbers[DENIED_COUNT + EXAMINED_COUNT];
    for (int i = 0; i < DENIED_COUNT; i++) {
        numbers[i] = denied[i];
    }
    for (int i = 0; i < EXAMINED_COUNT; i++) {
        numbers[DENIED_COUNT + i] = examined[i];
    }
    qsort(numbers, DENIED_COUNT + EXAMINED_COUNT, sizeof numbers[0], compare);

    struct program program = {.length = 0};
    emit_prologue(&program, REFUSE);
    emit_search(&program, numbers, DENIED_COUNT + EXAMINED_COUNT);
    install(&program, "command");
}

void seccomp_confine_supervisor(void) {
    static const int allowed[] = {
        SYS_read, SYS_write, SYS_close, SYS_wait4, SYS_kill, SYS_exit_group, SYS_exit, SYS_ppoll, SYS_getppid, SYS_restart_syscall,
#ifdef SYS_poll
        SYS_poll,
#endif
    };
    struct program program = {.length = 0};
    emit_prologue(&program, SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        emit(&program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)allowed[i]);
        emit_return(&program, SECCOMP_RET_ALLOW);
    }
    emit_return(&program, SECCOMP_RET_KILL_PROCESS);
    install(&program, "supervisor");
}
