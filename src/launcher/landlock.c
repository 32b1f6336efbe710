// File rules (landlock(7)): what the command may open, whoever owns it. Where all machines share one uid that uid owns the images
// and layers which they share; a descriptor of one, opened for reading, could be opened again for writing by /proc/self/fd. Descriptors
// that are passed in work as they were opened; files in memory and sockets belong to no path and are not concerned.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

// linux/landlock.h of the oldest distribution that this is built on has not all of it.
struct ruleset {
    uint64_t files, network, scopes;
};
struct path_rule {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

enum {
    RULESET_VERSION = 1,
    RULE_PATH_BENEATH = 1,
    EXECUTE = 1 << 0,
    WRITE_FILE = 1 << 1,
    READ_FILE = 1 << 2,
    READ_DIRECTORY = 1 << 3,
    ALL_OF_FIRST_VERSION = (1 << 13) - 1,
    REFER = 1 << 13,          // since version 2
    TRUNCATE = 1 << 14,       // 3
    DEVICE_IOCTL = 1 << 15,   // 5
    NETWORK = 3,              // 4: bind and connect of TCP
    SCOPES = 3,               // 6: abstract Unix sockets and signals of others
};

static int failed(const char *step) {
    char text[128];
    snprintf(text, sizeof text, "file-rules: %s: %s (%d)", step, strerror(errno), errno);
    report_missing(text);
    return -1;
}

// What is not there needs no rule.
static bool allow(int rules, const char *path, uint64_t allowed, uint64_t handled) {
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT;
    }
    struct stat status;
    if (fstat(fd, &status) == 0 && !S_ISDIR(status.st_mode)) {
        allowed &= ~(uint64_t)READ_DIRECTORY;
    }
    struct path_rule rule = {.allowed = allowed & handled, .parent = fd};
    bool added = syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &rule, 0) == 0;
    int error = errno;
    close(fd);
    errno = error;
    return added;
}

static int make_rules(const struct options *options) {
    int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
    if (version < 1) {
        return failed("not in this kernel");
    }
    struct ruleset handled = {.files = ALL_OF_FIRST_VERSION};
    handled.files |= (version >= 2 ? REFER : 0) | (version >= 3 ? TRUNCATE : 0) | (version >= 5 ? DEVICE_IOCTL : 0);
    handled.network = version >= 4 ? NETWORK : 0;
    handled.scopes = version >= 6 ? SCOPES : 0;
    size_t size = version >= 6 ? sizeof handled : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, size, 0);
    if (rules < 0) {
        return failed("create");
    }

    const uint64_t program = EXECUTE | READ_FILE | READ_DIRECTORY, device = READ_FILE | WRITE_FILE | TRUNCATE;
    bool allowed = allow(rules, "/usr", program, handled.files) && allow(rules, "/lib", program, handled.files) &&
                   allow(rules, "/lib64", program, handled.files) && allow(rules, "/bin", program, handled.files) &&
                   allow(rules, options->command[0], EXECUTE | READ_FILE, handled.files) &&
                   allow(rules, "/etc/ld.so.cache", READ_FILE, handled.files) && allow(rules, "/dev/null", device, handled.files) &&
                   allow(rules, "/dev/zero", device, handled.files) && allow(rules, "/dev/urandom", READ_FILE, handled.files) &&
                   (!options->kvm || allow(rules, "/dev/kvm", device | DEVICE_IOCTL, handled.files));
    if (!allowed) {
        failed("add rule");
        close(rules);
        return -1;
    }
    return rules;
}

// After no_new_privs; nothing is lost where it cannot be had, but that is reported.
void landlock_confine(const struct options *options) {
    int rules = make_rules(options);
    if (rules < 0) {
        return;
    }
    if (syscall(SYS_landlock_restrict_self, rules, 0) < 0) {
        failed("restrict");
    }
    close(rules);
}
