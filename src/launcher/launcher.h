// Shared declarations of the launcher. The command line and the order of the steps are described in launcher.c.
#ifndef OPENSANDBOX_LAUNCHER_H
#define OPENSANDBOX_LAUNCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

enum { EXIT_LAUNCHER_FAILED = 125, EXIT_KILLED = 137, MAX_CGROUPS = 16, MAX_HELD = 8, MAX_KEPT_FD = 1023 };

enum isolation { ISOLATION_FULL, ISOLATION_ROOTLESS, ISOLATION_NONE };

struct options {
    const char *root;              // mount point of the jail's root; NULL only with ISOLATION_NONE
    uid_t uid;
    gid_t gid;
    int keep;                      // highest descriptor that the command inherits
    int status_fd;                 // -1: none
    bool attached;
    pid_t parent;                  // 0: whoever is the parent when the launcher starts
    int detach_fd;                 // -1: none
    int held[MAX_HELD];            // kept open by the supervisor
    int held_count;
    bool kvm;
    const char *cgroups[MAX_CGROUPS];
    int cgroup_count;
    rlim_t nofile;
    bool limit_file_size;
    rlim_t file_size;
    enum isolation isolation;
    const char *hostname;
    const char *required;          // names of controls, each followed by a comma; NULL: none
    char **command;                // NULL-terminated, command[0] absolute
};

// options.c
void options_parse(int argc, char **argv, struct options *options);

// report.c: where failures go. In the supervisor that is the status descriptor and stderr, in the child the pipe to the supervisor.
enum message { MESSAGE_ERROR = 'E', MESSAGE_MISSING = 'M', MESSAGE_EXEC = 'X' };
void report_to_status(int status_fd);
void report_to_supervisor(int pipe_fd);
void report_pid(pid_t pid);
void report_relay(enum message kind, const char *text);
// Reports `CONTROL` or `CONTROL: WHY` as missing; a control that is required makes the start fail instead.
void report_missing(const char *control);
void report_required(const char *names);
bool report_is_required(const char *control);
void report_mapped(void);
void report_exec(void);
// Reports `step: strerror(error) (error)` and ends this process with EXIT_LAUNCHER_FAILED.
_Noreturn void fail_with(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define fail(...) fail_with(errno, __VA_ARGS__)

// filesystem.c
void filesystem_enter(const struct options *options);

// privileges.c
void privileges_join_cgroups(const struct options *options, const int *cgroup_fds, pid_t process);
int privileges_open_cgroup(const char *directory, bool *unified);
void privileges_limit_resources(const struct options *options);
bool privileges_map_user(uid_t uid, gid_t gid);
void privileges_drop(const struct options *options, bool for_command);

// landlock.c
void landlock_confine(const struct options *options);

// seccomp.c
void seccomp_confine_command(void);
void seccomp_confine_supervisor(void);

#endif
