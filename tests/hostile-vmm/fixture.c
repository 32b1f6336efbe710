// fixture probe LAUNCHER ROOT WORK UID [LAUNCHER OPTIONS...]   runs WORK/hostile-vmm in the jail with things worth attacking around it
// fixture await-end PID MILLISECONDS                            waits for a process of anyone; 0 when it ended, 1 when it did not
//
// Descriptors of the jailed program: 3 status (WORK/status), 4 the program, 5 sealed memory, 6 WORK/base read-only, 7 WORK/setuid,
// 8 WORK/hold: the program waits for its end of file. Above them, to be closed by the launcher: the host's root directory and a pipe.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GOLDEN_SIZE = 1 << 20, FIRST_OWN = 40, ROOT_DIRECTORY = 50, LISTENERS = 3 };

static _Noreturn void die(const char *what) {
    fprintf(stderr, "fixture: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int check(int result, const char *what) {
    if (result < 0) {
        die(what);
    }
    return result;
}

// Out of the way of the numbers that the jailed program gets.
static int moved_up(int fd) {
    int moved = check(fcntl(fd, F_DUPFD_CLOEXEC, FIRST_OWN), "move descriptor");
    close(fd);
    return moved;
}

static unsigned char pattern(int i) { return (unsigned char)(i * 31 + (i >> 8)); }

static int make_golden(void) {
    int fd = check(memfd_create("golden", MFD_ALLOW_SEALING | MFD_CLOEXEC), "memfd");
    unsigned char *bytes = malloc(GOLDEN_SIZE);
    for (int i = 0; i < GOLDEN_SIZE; i++) {
        bytes[i] = pattern(i);
    }
    if (write(fd, bytes, GOLDEN_SIZE) != GOLDEN_SIZE) {
        die("write golden");
    }
    free(bytes);
    // QEMU opens it for writing whatever the mapping; the seals are what protects it.
    check(fchmod(fd, 0666), "chmod golden");
    check(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), "seal golden");
    return moved_up(fd);
}

static int golden_unchanged(int fd) {
    unsigned char *bytes = malloc(GOLDEN_SIZE);
    struct stat status;
    int same = fstat(fd, &status) == 0 && status.st_size == GOLDEN_SIZE && pread(fd, bytes, GOLDEN_SIZE, 0) == GOLDEN_SIZE;
    for (int i = 0; same && i < GOLDEN_SIZE; i++) {
        same = bytes[i] == pattern(i);
    }
    free(bytes);
    return same;
}

static int listen_on(struct sockaddr *address, socklen_t length) {
    int fd = check(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
    check(bind(fd, address, length), "bind");
    check(listen(fd, 8), "listen");
    return moved_up(fd);
}

static int listen_unix(const char *path, int abstract) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t offset = abstract ? 1 : 0;
    snprintf(address.sun_path + offset, sizeof address.sun_path - offset, "%s", path);
    int fd = listen_on((struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + offset + strlen(path) + !abstract));
    // Open to everyone: that it cannot be reached is to be the jail's doing.
    if (!abstract) {
        check(chmod(path, 0777), "chmod socket");
    }
    return fd;
}

static int listen_loopback(int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = listen_on((struct sockaddr *)&address, sizeof address);
    check(getsockname(fd, (struct sockaddr *)&address, &(socklen_t){sizeof address}), "getsockname");
    *port = ntohs(address.sin_port);
    return fd;
}

static int open_in(const char *work, const char *name, int flags) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", work, name);
    int fd = open(path, flags);
    if (fd < 0) {
        die(path);
    }
    return moved_up(fd);
}

static int run_probes(int argc, char **argv) {
    const char *work = argv[4];
    struct statvfs filesystem;
    check(statvfs(work, &filesystem), "statvfs");
    if ((filesystem.f_flag & ST_NOSUID) != 0) {
        fprintf(stderr, "fixture: %s is mounted nosuid: the setuid probe would prove nothing\n", work);
        return 2;
    }

    char socket_path[512], name[64], sibling[512], port_text[16], outside[16], launcher[16];
    snprintf(socket_path, sizeof socket_path, "%s/socket", work);
    snprintf(name, sizeof name, "hostile-vmm-test-%d", (int)getpid());
    snprintf(sibling, sizeof sibling, "%s/sibling/disk", work);
    int port;
    int listeners[LISTENERS] = {listen_loopback(&port), listen_unix(socket_path, 0), listen_unix(name, 1)};
    int golden = make_golden();

    check(dup2(open("/", O_RDONLY | O_DIRECTORY), ROOT_DIRECTORY), "root directory");
    int leaked[2];
    check(pipe(leaked), "pipe");
    check(dup2(leaked[1], ROOT_DIRECTORY + 1), "leaked descriptor");

    pid_t child = check(fork(), "fork");
    if (child == 0) {
        const int inherited[] = {open_in(work, "status", O_WRONLY), open_in(work, "hostile-vmm", O_RDONLY), golden,
                                 open_in(work, "base", O_RDONLY), open_in(work, "setuid", O_RDONLY), open_in(work, "hold", O_RDONLY)};
        check(dup2(open("/dev/null", O_RDONLY), 0), "stdin");
        for (int i = 0; i < 6; i++) {
            check(dup2(inherited[i], 3 + i), "place descriptor");
        }
        snprintf(port_text, sizeof port_text, "%d", port);
        snprintf(outside, sizeof outside, "%d", (int)getppid());
        snprintf(launcher, sizeof launcher, "%d", (int)getpid());
        char *command[64] = {argv[2], "--root", argv[3], "--uid", argv[5], "--gid", argv[5], "--keep", "8", "--status-fd", "3"};
        int length = 11;
        for (int i = 6; i < argc && length < 48; i++) {
            command[length++] = argv[i];
        }
        char *const tail[] = {"--", "/proc/self/fd/4", "probe", "50", outside, launcher, sibling, socket_path, name, port_text, NULL};
        memcpy(command + length, tail, sizeof tail);
        setenv("LD_PRELOAD", "/tmp/planted.so", 1);
        execv(argv[2], command);
        die(argv[2]);
    }

    int status;
    check(waitpid(child, &status, 0), "waitpid");
    int failures = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "fixture: launcher ended with wait status %#x\n", status);
        failures++;
    }
    if (!golden_unchanged(golden)) {
        fprintf(stderr, "fixture: the sealed memory has changed\n");
        failures++;
    }
    for (int i = 0; i < LISTENERS; i++) {
        if (accept(listeners[i], NULL, NULL) >= 0) {
            fprintf(stderr, "fixture: listener %d has been reached\n", i);
            failures++;
        }
    }
    return failures == 0 ? 0 : 1;
}

static int await_end(pid_t pid, int milliseconds) {
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        if (errno == ESRCH) {
            return 0;
        }
        die("pidfd_open");
    }
    struct pollfd end = {.fd = fd, .events = POLLIN};
    return check(poll(&end, 1, milliseconds), "poll") == 1 ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc >= 6 && strcmp(argv[1], "probe") == 0) {
        return run_probes(argc, argv);
    }
    if (argc == 4 && strcmp(argv[1], "await-end") == 0) {
        return await_end(atoi(argv[2]), atoi(argv[3]));
    }
    fprintf(stderr, "usage: fixture probe LAUNCHER ROOT WORK UID [OPTIONS...] | fixture await-end PID MILLISECONDS\n");
    return 2;
}
