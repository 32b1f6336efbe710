// Becoming someone else, and raising limits.
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdint.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe.h"

static long raise_limit(int resource) {
    struct rlimit limit = {.rlim_cur = 1 << 24, .rlim_max = 1 << 24};
    return setrlimit(resource, &limit);
}

static long take_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct all[2] = {{~0U, ~0U, ~0U}, {0x1ff, 0x1ff, 0x1ff}};
    return syscall(SYS_capset, &header, all);
}

static bool bounding_set_empty(void) {
    for (unsigned long capability = 0; capability < 64; capability++) {
        if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) {
            return false;
        }
    }
    return true;
}

void probe_identity(const struct targets *targets) {
    (void)targets;
    // The raw calls: the C library's return values of setfsuid and its broadcast to threads say less.
    TRY("setuid-0", syscall(SYS_setuid, 0));
    TRY("setgid-0", syscall(SYS_setgid, 0));
    TRY("setreuid-0", syscall(SYS_setreuid, 0, 0));
    TRY("setresuid-0", syscall(SYS_setresuid, 0, 0, 0));
    TRY("setresgid-0", syscall(SYS_setresgid, 0, 0, 0));
    TRY("setresuid-neighbour", syscall(SYS_setresuid, getuid() + 1, getuid() + 1, getuid() + 1));
    TRY("setfsuid-0", syscall(SYS_setfsuid, 0));
    TRY("setfsgid-0", syscall(SYS_setfsgid, 0));
    TRY("setgroups-0", syscall(SYS_setgroups, 1, &(gid_t){0}));
    TRY("capset-all", take_capabilities());
    TRY("capability-ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0));
    TRY("securebits", prctl(PR_SET_SECUREBITS, 1, 0, 0, 0));
    TRY("clear-no-new-privs", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    TRY("leave-seccomp", prctl(PR_SET_SECCOMP, 0, 0, 0, 0));
    report_reached("bounding-set-not-empty", !bounding_set_empty());
    report_reached("supplementary-groups", getgroups(0, NULL) != 0);
    report_reached("is-root", getuid() == 0 || geteuid() == 0 || getgid() == 0 || getegid() == 0);
    TRY("raise-limit-core", raise_limit(RLIMIT_CORE));
    TRY("raise-limit-nofile", raise_limit(RLIMIT_NOFILE));
    TRY("raise-limit-memlock", raise_limit(RLIMIT_MEMLOCK));
    TRY("mlockall", mlockall(MCL_CURRENT));
    TRY("realtime-scheduling", sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}));
    TRY("raise-priority", setpriority(PRIO_PROCESS, 0, -20));
    TRY("realtime-io", syscall(SYS_ioprio_set, 1, 0, (1 << 13) | 0));
}
