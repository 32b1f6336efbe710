// A stand-in for a QEMU that an attacker has taken over completely: it runs in the jail and tries what such an attacker would.
// Each probe prints one line, `name result errno`; the table of what is expected is expected.txt.
#ifndef HOSTILE_VMM_PROBE_H
#define HOSTILE_VMM_PROBE_H

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>

struct targets {
    int golden_fd;            // sealed memfd, shared by all sandboxes
    int base_fd;              // another's disk image, opened read-only
    int setuid_fd;            // a program of root with the setuid bit, on a file system that honours it
    int extra_fd;             // the host's root directory: open in the spawner above --keep
    pid_t outside_pid;        // a process of the host
    pid_t launcher_pid;
    const char *sibling;      // a file of another sandbox
    const char *socket_path;  // a listening socket in the file system
    const char *socket_name;  // the same in the abstract namespace
    int port;                 // the same on 127.0.0.1
};

void report(const char *name, long result);
#define TRY(name, call) (errno = 0, report(name, (long)(call)))
// For what is not one system call: `reached` says whether the attacker got anything.
void report_reached(const char *name, bool reached);

void probe_files(const struct targets *targets);
void probe_mounts(const struct targets *targets);
void probe_processes(const struct targets *targets);
void probe_kernel(const struct targets *targets);
void probe_network(const struct targets *targets);
void probe_identity(const struct targets *targets);
void probe_neighbours(const struct targets *targets);
void probe_shared_memory(const struct targets *targets);

#endif
