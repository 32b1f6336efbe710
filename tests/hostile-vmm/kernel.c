// The kernel's own interfaces: the machine, its clock, its modules, and what exploits start from.
#include <fcntl.h>
#include <linux/reboot.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <unistd.h>

#include "probe.h"

#ifdef __x86_64__
static sigjmp_buf no_such_call;

static void on_fault(int signal) {
    (void)signal;
    siglongjmp(no_such_call, 1);
}

// getpid as the 32-bit system call: a filter that forgets the other architecture lets every call through this way.
static long call_32_bit(void) {
    struct sigaction action = {.sa_handler = on_fault}, before;
    sigaction(SIGSEGV, &action, &before);
    long result = -1;
    errno = ENOSYS;   // kernels without 32-bit calls fault
    if (sigsetjmp(no_such_call, 1) == 0) {
        int value;
        __asm__ volatile("int $0x80" : "=a"(value) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
        if (value < 0) {
            errno = -value;
        } else {
            result = value;
        }
    }
    int error = errno;
    sigaction(SIGSEGV, &before, NULL);
    errno = error;
    return result;
}
#endif

void probe_kernel(const struct targets *targets) {
    char byte = 0;
    TRY("bpf", syscall(SYS_bpf, 0, NULL, 0));
    TRY("perf-event-open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    TRY("userfaultfd", syscall(SYS_userfaultfd, 1));
    TRY("io-uring-setup", syscall(SYS_io_uring_setup, 1, NULL));
    TRY("io-uring-enter", syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0));
    TRY("io-uring-register", syscall(SYS_io_uring_register, -1, 0, NULL, 0));
    TRY("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    TRY("add-key", syscall(SYS_add_key, "user", "x", "x", 1, -3));
    TRY("request-key", syscall(SYS_request_key, "user", "x", NULL, -3));
    TRY("open-by-handle-at", syscall(SYS_open_by_handle_at, targets->base_fd, NULL, 0));
    TRY("name-to-handle-at", syscall(SYS_name_to_handle_at, AT_FDCWD, "/usr", NULL, NULL, 0));
    TRY("fanotify-init", syscall(SYS_fanotify_init, 0, 0));
    TRY("quotactl", syscall(SYS_quotactl, 0, NULL, 0, NULL));
    TRY("quotactl-fd", syscall(SYS_quotactl_fd, targets->base_fd, 0, 0, NULL));
    TRY("acct", syscall(SYS_acct, NULL));
    TRY("swapon", syscall(SYS_swapon, "/dev/zero", 0));
    TRY("swapoff", syscall(SYS_swapoff, "/dev/zero"));
    TRY("init-module", syscall(SYS_init_module, &byte, 1, ""));
    TRY("finit-module", syscall(SYS_finit_module, targets->base_fd, "", 0));
    TRY("delete-module", syscall(SYS_delete_module, "none", 0));
    TRY("kexec-load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
#ifdef SYS_kexec_file_load
    TRY("kexec-file-load", syscall(SYS_kexec_file_load, targets->base_fd, -1, 0, NULL, 0));
#endif
    TRY("syslog-read", syscall(SYS_syslog, 3, &byte, 1));
    TRY("vhangup", syscall(SYS_vhangup));
    TRY("sethostname", sethostname("owned", 5));
    TRY("setdomainname", setdomainname("owned", 5));
    TRY("settimeofday", syscall(SYS_settimeofday, &(struct timeval){0}, NULL));
    TRY("clock-settime", syscall(SYS_clock_settime, 0, &(struct timespec){0}));
    TRY("adjtimex", syscall(SYS_adjtimex, &(struct timex){0}));
    TRY("clock-adjtime", syscall(SYS_clock_adjtime, 0, &(struct timex){0}));
    TRY("personality", syscall(SYS_personality, 0x0040000));
    TRY("lookup-dcookie", syscall(SYS_lookup_dcookie, 0, NULL, 0));
    TRY("vmsplice", syscall(SYS_vmsplice, 1, NULL, 0, 0));
    TRY("splice", syscall(SYS_splice, 0, NULL, 1, NULL, 0, 0));
    TRY("tee", syscall(SYS_tee, 0, 1, 0, 0));
    TRY("remap-file-pages", syscall(SYS_remap_file_pages, 0, 0, 0, 0, 0));
    TRY("shmget", syscall(SYS_shmget, IPC_PRIVATE, 4096, IPC_CREAT | 0600));
    TRY("semget", syscall(SYS_semget, IPC_PRIVATE, 1, IPC_CREAT | 0600));
    TRY("msgget", syscall(SYS_msgget, IPC_PRIVATE, IPC_CREAT | 0600));
    TRY("mq-open", syscall(SYS_mq_open, "planted", O_CREAT | O_RDWR, 0600, NULL));
#ifdef __x86_64__
    TRY("iopl", syscall(SYS_iopl, 3));
    TRY("ioperm", syscall(SYS_ioperm, 0x80, 1, 1));
    TRY("modify-ldt", syscall(SYS_modify_ldt, 0, NULL, 0));
    TRY("ustat", syscall(SYS_ustat, 0, NULL));
    TRY("sysfs", syscall(SYS_sysfs, 3));
    TRY("call-32-bit", call_32_bit());
    TRY("call-x32", syscall(0x40000000 | SYS_getpid));
#endif
    TRY("reboot", syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, NULL));
}
