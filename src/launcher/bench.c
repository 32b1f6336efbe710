// bench LAUNCHER ROOT ROUNDS [LAUNCHER OPTIONS...]
// What the jail adds to the start of QEMU: spawn to QMP greeting, plain posix_spawn and through the launcher in turn, so that other
// load on the machine meets both alike. Prints p50, p90 and the p50 of the pairwise differences. Needs root.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <poll.h>

enum { MAX_ROUNDS = 2000, DEADLINE_MS = 20000 };

static char *const qemu[] = {
    "/usr/bin/qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "256M", "-nodefaults", "-no-user-config",
    "-display", "none", "-S", "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    "-chardev", "socket,id=q,fd=3", "-mon", "chardev=q,mode=control", NULL,
};

static _Noreturn void die(const char *what) {
    perror(what);
    exit(1);
}

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static double start_once(char *const *command) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        die("socketpair");
    }
    // 3 may be one of the pair: dup2 onto itself clears close-on-exec in posix_spawn.
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pair[1], 3);

    static char *const environment[] = {"PATH=/usr/bin", "HOME=/tmp", "LANG=C", NULL};
    double started = now_ms();
    pid_t pid;
    errno = posix_spawn(&pid, command[0], &actions, NULL, command, environment);
    if (errno != 0) {
        die(command[0]);
    }
    close(pair[1]);
    struct pollfd greeting = {.fd = pair[0], .events = POLLIN};
    if (poll(&greeting, 1, DEADLINE_MS) != 1) {
        kill(pid, SIGTERM);
        fprintf(stderr, "no greeting within %d ms\n", DEADLINE_MS);
        exit(1);
    }
    char text[16];
    double elapsed = now_ms() - started;
    if (read(pair[0], text, sizeof text) <= 0 || memcmp(text, "{\"QMP\"", 6) != 0) {
        fprintf(stderr, "QEMU ended before its greeting\n");
        exit(1);
    }
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    close(pair[0]);
    posix_spawn_file_actions_destroy(&actions);
    return elapsed;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double percentile(double *values, int count, int percent) {
    qsort(values, (size_t)count, sizeof values[0], compare);
    return values[(count - 1) * percent / 100];
}

int main(int argc, char **argv) {
    int rounds = argc > 3 ? atoi(argv[3]) : 0;
    if (rounds < 1 || rounds > MAX_ROUNDS) {
        fprintf(stderr, "usage: bench LAUNCHER ROOT ROUNDS [LAUNCHER OPTIONS...]\n");
        return 2;
    }
    char *jailed[128] = {argv[1], "--root", argv[2], "--uid", "200001", "--gid", "200001", "--keep", "3"};
    int length = 9;
    for (int i = 4; i < argc && length < 64; i++) {
        jailed[length++] = argv[i];
    }
    jailed[length++] = "--";
    memcpy(jailed + length, qemu, sizeof qemu);

    static double plain[MAX_ROUNDS], full[MAX_ROUNDS], difference[MAX_ROUNDS];
    start_once(qemu);
    start_once(jailed);
    for (int i = 0; i < rounds; i++) {
        if (i % 2 == 0) {
            plain[i] = start_once(qemu);
            full[i] = start_once(jailed);
        } else {
            full[i] = start_once(jailed);
            plain[i] = start_once(qemu);
        }
        difference[i] = full[i] - plain[i];
    }
    printf("rounds %d\n", rounds);
    printf("plain  p50 %.2f ms  p90 %.2f ms\n", percentile(plain, rounds, 50), percentile(plain, rounds, 90));
    printf("jailed p50 %.2f ms  p90 %.2f ms\n", percentile(full, rounds, 50), percentile(full, rounds, 90));
    printf("added  p50 %.2f ms  (of the pairs: %.2f ms)\n", percentile(full, rounds, 50) - percentile(plain, rounds, 50),
           percentile(difference, rounds, 50));
    return 0;
}
