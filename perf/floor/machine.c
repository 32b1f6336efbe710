#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "floor.h"

// Descriptors that the harness hands over: standard input and output for commands, standard error, and these.
enum { FD_RAM = 3, FD_STATE = 4, FD_BASE = 5 };

enum { UID_DIGITS = 12, OVERLAY_BLOCK = 4096 };

static int dev_null = -1;

static struct text read_prefixed(const char *directory, const char *prefix, const char *name) {
    char file[64];
    snprintf(file, sizeof file, "%s%s", prefix, name);
    return read_file(directory, file, true);
}

void setup_load(struct setup *setup, const char *directory, const char *prefix, const char *disk_directory, unsigned first_uid) {
    memset(setup, 0, sizeof *setup);
    struct text argv = read_prefixed(directory, prefix, "argv");
    for (char *at = argv.bytes; at < argv.bytes + argv.length; at += strlen(at) + 1) {
        if (setup->argv_count + 1 == sizeof setup->argv / sizeof setup->argv[0]) {
            fail_with("too many arguments");
        }
        if (strcmp(at, "@UID@") == 0) {
            if (setup->uid_count == 2) {
                fail_with("more than one uid and gid");
            }
            setup->uid_at[setup->uid_count++] = setup->argv_count;
        } else if (strcmp(at, "@PID@") == 0) {
            static char pid[UID_DIGITS];
            snprintf(pid, sizeof pid, "%d", (int)getpid());
            setup->argv[setup->argv_count++] = pid;
            continue;
        }
        setup->argv[setup->argv_count++] = at;
    }

    struct text roles = read_prefixed(directory, prefix, "roles");
    char *rest = NULL;
    for (char *role = strtok_r(roles.bytes, "\n", &rest); role != NULL; role = strtok_r(NULL, "\n", &rest)) {
        if (setup->role_count == MAX_ROLES || strlen(role) >= sizeof setup->roles[0]) {
            fail_with("role %s", role);
        }
        if (strncmp(role, "plug:", 5) == 0) {
            setup->plug_bytes = (off_t)strtoll(role + 5, NULL, 10);
        }
        strcpy(setup->roles[setup->role_count++], role);
    }
    free(roles.bytes);

    setup->devices = read_file("/proc/self/fd", "4", true);
    setup->welcome = read_file(directory, "welcome.json", true);
    setup->resume = read_prefixed(directory, prefix, "resume.json");
    setup->exec = read_file(directory, "exec.json", true);
    setup->overlays[0] = read_file(directory, "overlay0", false);
    setup->overlays[1] = read_file(directory, "overlay1", false);
    setup->disk_directory = disk_directory;
    setup->first_uid = first_uid;
    if (dev_null < 0 && (dev_null = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0) {
        fail("open /dev/null");
    }
}

static int reopen_state(void) {
    // A file position of its own: QEMU reads the state from wherever the descriptor stands.
    int fd = open("/proc/self/fd/4", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail("open the device state");
    }
    return fd;
}

// What the machine of the cut wrote to its disk: it never runs again, and QEMU wants a descriptor of its own.
static int reopen_layer(const struct cut *cut, int disk) {
    char path[32];
    if (cut == NULL) {
        fail_with("a layer, and nothing that it could be of");
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", cut->of->overlays[disk]);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail("open a layer");
    }
    return fd;
}

static int make_overlay(const struct setup *setup, int disk) {
    const struct text *content = &setup->overlays[disk];
    int fd = open(setup->disk_directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)content->length) < 0) {
        fail("overlay in %s", setup->disk_directory);
    }
    static const char zeroes[OVERLAY_BLOCK];
    for (size_t at = 0; at < content->length; at += OVERLAY_BLOCK) {
        size_t length = content->length - at < OVERLAY_BLOCK ? content->length - at : OVERLAY_BLOCK;
        if (memcmp(content->bytes + at, zeroes, length) != 0 && pwrite(fd, content->bytes + at, length, (off_t)at) != (ssize_t)length) {
            fail("write overlay");
        }
    }
    return fd;
}

static int make_plug(const struct setup *setup) {
    int fd = memfd_create("floor-plugged", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, setup->plug_bytes) < 0) {
        fail("memory file for hot-plugged RAM");
    }
    return fd;
}

static int make_pair(int *theirs) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        fail("socketpair");
    }
    *theirs = fds[1];
    return fds[0];
}

// What becomes descriptor N of the child, and whether it is closed here afterwards.
static int descriptor_for(
    const struct setup *setup, const struct cut *cut, bool fed, struct machine *machine, const char *role, int output, bool *ours) {
    int theirs;
    *ours = true;
    if (strcmp(role, "null") == 0) { *ours = false; return dev_null; }
    if (strcmp(role, "output") == 0) { *ours = false; return output; }
    if (strcmp(role, "ram") == 0) { *ours = false; return FD_RAM; }
    if (strcmp(role, "status") == 0) { machine->status = make_pair(&theirs); return theirs; }
    if (strcmp(role, "qmp") == 0) { machine->qmp = make_pair(&theirs); return theirs; }
    if (strcmp(role, "console") == 0) { machine->console = make_pair(&theirs); return theirs; }
    if (strcmp(role, "control") == 0) { machine->control.fd = make_pair(&theirs); return theirs; }
    if (strcmp(role, "bulk") == 0) { machine->bulk.fd = make_pair(&theirs); return theirs; }
    if (strcmp(role, "network") == 0) { machine->network = make_pair(&theirs); return theirs; }
    if (strcmp(role, "state") == 0 && !fed) { return reopen_state(); }
    if (strcmp(role, "state") == 0) { machine->feed = make_pair(&theirs); return theirs; }
    if (strncmp(role, "plug:", 5) == 0) { return make_plug(setup); }
    if (strcmp(role, "overlay0") == 0) { *ours = false; return machine->overlays[0] = make_overlay(setup, 0); }
    if (strcmp(role, "overlay1") == 0) { *ours = false; return machine->overlays[1] = make_overlay(setup, 1); }
    if (strcmp(role, "layer0") == 0) { return reopen_layer(cut, 0); }
    if (strcmp(role, "layer1") == 0) { return reopen_layer(cut, 1); }
    if (strcmp(role, "base0") == 0) { *ours = false; return FD_BASE; }
    if (strcmp(role, "base1") == 0) { *ours = false; return FD_BASE + 1; }
    fail_with("unknown role %s", role);
}

static void check(int error, const char *call) {
    if (error != 0) {
        errno = error;
        fail("%s", call);
    }
}

// Fed: QEMU takes its devices' state from a socket, and waits for it.
static void spawn(const struct setup *setup, const struct cut *cut, bool fed, struct machine *machine, unsigned slot) {
    char uid[UID_DIGITS];
    char *argv[sizeof setup->argv / sizeof setup->argv[0]];
    char *environment[] = {NULL};
    memcpy(argv, setup->argv, sizeof argv);
    snprintf(uid, sizeof uid, "%u", setup->first_uid + slot);
    for (size_t i = 0; i < setup->uid_count; i++) {
        argv[setup->uid_at[i]] = uid;
    }

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t signals;
    check(posix_spawn_file_actions_init(&actions), "posix_spawn_file_actions_init");
    check(posix_spawnattr_init(&attributes), "posix_spawnattr_init");
    sigfillset(&signals);
    check(posix_spawnattr_setsigdefault(&attributes, &signals), "posix_spawnattr_setsigdefault");
    sigemptyset(&signals);
    check(posix_spawnattr_setsigmask(&attributes, &signals), "posix_spawnattr_setsigmask");
    check(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK), "posix_spawnattr_setflags");

    int closing[MAX_ROLES], count = 0, output;
    machine->output = make_pair(&output);
    closing[count++] = output;
    // Sources 3 and up that are handed over stand where targets go: they come as copies from above (main() sees to that).
    for (size_t target = 0; target < setup->role_count; target++) {
        bool ours;
        int source = descriptor_for(setup, cut, fed, machine, setup->roles[target], output, &ours);
        if (source < MAX_ROLES) {
            source = fcntl(source, F_DUPFD_CLOEXEC, MAX_ROLES);
            if (source < 0) {
                fail("duplicate a descriptor");
            }
            ours = true;
        }
        if (ours) {
            closing[count++] = source;
        }
        check(posix_spawn_file_actions_adddup2(&actions, source, (int)target), "posix_spawn_file_actions_adddup2");
    }
    check(posix_spawn(&machine->launcher, argv[0], &actions, &attributes, argv, environment), argv[0]);
    for (int i = 0; i < count; i++) {
        close(closing[i]);
    }
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
}

// Starts a machine and writes what its guest will read first; it waits in the sockets.
static void begin(
    const struct setup *setup, const struct cut *cut, bool fed, struct machine *machine, unsigned slot, const struct text *resume,
    const struct text *exec, int64_t *spawned) {
    static uint64_t sessions;
    uint64_t epoch = 0x6F73627800000000u | (__atomic_add_fetch(&sessions, 1, __ATOMIC_RELAXED) & 0x7FFFFFFF);
    uint8_t control[PREAMBLE_SIZE + 3 * MAX_FRAME], bulk[PREAMBLE_SIZE + MAX_FRAME];
    if (machine->running) {
        fail_with("slot %u is in use", slot);
    }

    machine->qemu = 0;
    machine->feed = machine->overlays[0] = machine->overlays[1] = -1;
    spawn(setup, cut, fed, machine, slot);
    *spawned = now();
    port_open(&machine->control, machine->control.fd, epoch);
    port_open(&machine->bulk, machine->bulk.fd, epoch);
    machine->control.output = machine->bulk.output = machine->output;
    machine->control.status = machine->bulk.status = machine->status;
    machine->running = true;

    size_t length = put_preamble(control, epoch);
    length += put_frame(control + length, epoch, FRAME_WELCOME, 0, setup->welcome.bytes, setup->welcome.length);
    if (resume != NULL) {
        length += put_frame(control + length, epoch, FRAME_OPEN, machine->control.next_stream++, resume->bytes, resume->length);
    }
    port_write(&machine->control, control, length);
    length = put_preamble(bulk, epoch);
    if (exec != NULL) {
        length += put_frame(bulk + length, epoch, FRAME_OPEN, machine->bulk.next_stream++, exec->bytes, exec->length);
    }
    port_write(&machine->bulk, bulk, length);

    // The session has three ports, and the agent's work for the third belongs to every sandbox; its answer is left unread.
    uint8_t network[PREAMBLE_SIZE];
    length = put_preamble(network, epoch);
    if (write(machine->network, network, length) != (ssize_t)length) {
        fail("write to the network port");
    }
}

static void await_hello(struct machine *machine) {
    struct frame frame;
    port_await_preamble(&machine->control);
    do {
        port_next(&machine->control, &frame);
    } while (frame.type != FRAME_HELLO);
}

void machine_create(
    const struct setup *setup, const struct cut *cut, struct machine *machine, unsigned slot, bool exec, struct creation *creation) {
    int64_t start = now();
    begin(setup, cut, cut != NULL, machine, slot, &setup->resume, exec ? &setup->exec : NULL, &creation->spawned);
    creation->spawned -= start;
    if (cut != NULL) {
        cut_load(cut, machine);
    }
    await_hello(machine);
    creation->hello = now() - start;
    port_await_result(&machine->control, 1, &creation->resume);
    creation->resumed = now() - start;
    port_await_preamble(&machine->bulk);
    memset(&creation->exec, 0, sizeof creation->exec);
    if (exec) {
        port_await_result(&machine->bulk, 1, &creation->exec);
    }
    creation->executed = now() - start;
}

void machine_feed(struct machine *machine, const struct text *devices, size_t from, size_t to) {
    while (from < to) {
        ssize_t count = write(machine->feed, devices->bytes + from, to - from);
        if (count <= 0) {
            fail("feed the devices' state");
        }
        from += (size_t)count;
    }
    if (to == devices->length) {
        close(machine->feed);
        machine->feed = -1;
    }
}

// What was fed must be in the devices, and not in the socket, when the clock starts.
static void await_loaded(struct machine *machine) {
    static const struct timespec pause = {.tv_nsec = 1000000};
    int unread;
    while (ioctl(machine->feed, SIOCOUTQ, &unread) == 0 && unread > 0) {
        nanosleep(&pause, NULL);
    }
    monitor_send(machine, "{\"execute\":\"query-status\"}\n", -1); // answered by the thread that loads, when it waits for more
    monitor_await(machine);
}

void machine_park(const struct setup *setup, struct machine *machine, unsigned slot, bool hot) {
    int64_t spawned;
    begin(setup, NULL, true, machine, slot, NULL, NULL, &spawned);
    monitor_open(machine);
    machine_feed(machine, &setup->devices, 0, setup->devices.length - (hot ? 0 : 1));
    if (!hot) {
        await_loaded(machine);
    } else {
        await_hello(machine);
        port_ping(&machine->control);
        monitor_send(machine, "{\"execute\":\"stop\"}\n", -1);
        monitor_await(machine);
    }
}

void machine_claim(const struct setup *setup, struct machine *machine, struct creation *creation) {
    uint8_t frame[MAX_FRAME];
    bool hot = machine->feed < 0;
    size_t length = put_frame(frame, machine->control.epoch, FRAME_OPEN, machine->control.next_stream++, setup->resume.bytes, setup->resume.length);
    int64_t start = now();
    if (hot) {
        monitor_send(machine, "{\"execute\":\"cont\"}\n", -1);
    } else {
        machine_feed(machine, &setup->devices, setup->devices.length - 1, setup->devices.length);
    }
    port_write(&machine->control, frame, length);
    if (!hot) {
        await_hello(machine);
    }
    port_await_result(&machine->control, 1, &creation->resume);
    port_await_preamble(&machine->bulk);
    creation->executed = now() - start;
    if (hot) {
        monitor_await(machine);
    }
}

void machine_kill(struct machine *machine) {
    int status;
    if (kill(machine->launcher, SIGTERM) < 0 || waitpid(machine->launcher, &status, 0) != machine->launcher) {
        fail("end launcher %d", (int)machine->launcher);
    }
    port_close(&machine->control);
    port_close(&machine->bulk);
    close(machine->output);
    close(machine->status);
    close(machine->qmp);
    close(machine->network);
    close(machine->console);
    for (int disk = 0; disk < MAX_DISKS; disk++) {
        if (machine->overlays[disk] >= 0) {
            close(machine->overlays[disk]);
        }
    }
    machine->running = machine->qmp_ready = false;
}

pid_t machine_qemu_pid(struct machine *machine) {
    char text[4096];
    size_t length = 0;
    while (machine->qemu == 0) {
        ssize_t count = recv(machine->status, text + length, sizeof text - 1 - length, 0);
        if (count < 0) {
            fail("launcher's report");
        }
        length += (size_t)count;
        text[length] = 0;
        if (count == 0) {
            char *line = strstr(text, "pid ");
            if (line == NULL) {
                fail_with("the launcher reported no process: %s", text);
            }
            machine->qemu = (pid_t)atoi(line + 4);
        }
    }
    return machine->qemu;
}
