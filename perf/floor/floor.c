// floor: what the harness compares the library with. Starts the same launcher with the same arguments and files, and talks to the same
// agent, with posix_spawn, blocking sockets and constant messages: no framework, nothing deferred, nothing slowed down.
//
//   floor DIR DISK_DIR FIRST_UID
//
// DIR holds what the harness took from the library (docs/benchmarking.md): argv, roles, the requests as NAME.json, empty overlays.
// Descriptors: 0 commands, 1 answers, 3 the golden RAM, 4 the device state, 5 and 6 the disks' bases.
// Commands, one a line; each is answered with one line "ok NUMBERS...", times in nanoseconds. An error ends the program.
//
//   create SLOT EXEC            -> total spawned hello resumed agent-mount-us agent-resume-us agent-exec-us launcher-pid
//   park SLOT HOT               -> (nothing): a machine that does not run, or, hot, no longer runs
//   claim SLOT                  -> time: until a parked machine has resumed
//   parallel K N EXEC           -> wall, then N totals: N machines made and ended, K at a time, in slots 0..K-1
//   ping SLOT N                 -> N round trips
//   request SLOT NAME UP N      -> N times: time agent-us bytes-from-agent
//   load SLOT NAME UP           -> time of the request, then the round trips of pings meanwhile
//   pids SLOT                   -> launcher qemu
//   plug SLOT NAME BYTES        -> time: so much hot-plugged memory, with request NAME waiting for it in the guest
//   cut SLOT GO-ON              -> quiesce stopped stop scan copy devices thaw pages device-bytes: its state is kept in memory, in place of an
//                                  earlier one's; with GO-ON 0 the machine stands still for ever
//   revive SLOT K PREFIX        -> wall, then K totals: K machines side by side, from the state that was kept, in slots from SLOT on; by
//                                  the files PREFIXargv, PREFIXroles and PREFIXresume.json
//   read FILE                   -> time bytes: of reading a whole file into memory
//   forget FILE                 -> pages of the file that the page cache still holds after it was asked to drop them
//   kill SLOT                   -> (nothing)
//   cpu                         -> CPU time of this process
//
// Threads exist for `parallel`, `revive` and `load` alone.
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "floor.h"

enum { SLOTS = 512, MAX_PINGS = 1000000 };

static struct setup setup;
static struct machine machines[SLOTS];
static struct cut kept;

static unsigned slot_of(const char *text) {
    unsigned long slot = text == NULL ? SLOTS : strtoul(text, NULL, 10);
    if (slot >= SLOTS) {
        fail_with("slot %s", text == NULL ? "missing" : text);
    }
    return (unsigned)slot;
}

static struct machine *running(const char *text) {
    struct machine *machine = &machines[slot_of(text)];
    if (!machine->running) {
        fail_with("slot %s is empty", text);
    }
    return machine;
}

static size_t count_of(const char *text) {
    if (text == NULL) {
        fail_with("argument missing");
    }
    return strtoull(text, NULL, 10);
}

static int64_t *numbers(size_t count) {
    int64_t *memory = calloc(count > 0 ? count : 1, sizeof *memory);
    if (memory == NULL) {
        fail("memory for %zu numbers", count);
    }
    return memory;
}

static struct text request_named(const char *directory, const char *name) {
    char file[256];
    if (name == NULL || (size_t)snprintf(file, sizeof file, "%s.json", name) >= sizeof file) {
        fail_with("request %s", name == NULL ? "missing" : name);
    }
    struct text text = read_file(directory, file, true);
    if (text.length > MAX_PAYLOAD) {
        fail_with("request %s is too long", name);
    }
    return text;
}

static void create(unsigned slot, bool exec) {
    struct creation done;
    machine_create(&setup, NULL, &machines[slot], slot, exec, &done);
    printf("ok %lld %lld %lld %lld %lld %lld %lld %d\n", (long long)done.executed, (long long)done.spawned, (long long)done.hello,
           (long long)done.resumed, (long long)done.resume.mount, (long long)done.resume.total, (long long)done.exec.wall,
           (int)machines[slot].launcher);
}

static void claim(struct machine *machine) {
    struct creation done;
    machine_claim(&setup, machine, &done);
    printf("ok %lld\n", (long long)done.executed);
}

struct batch {
    size_t total, next;
    bool exec;
    int64_t *times;
};

struct worker {
    struct batch *batch;
    unsigned slot;
    pthread_t thread;
};

static void *work(void *argument) {
    struct worker *worker = argument;
    for (;;) {
        size_t index = __atomic_fetch_add(&worker->batch->next, 1, __ATOMIC_RELAXED);
        if (index >= worker->batch->total) {
            return NULL;
        }
        struct creation done;
        machine_create(&setup, NULL, &machines[worker->slot], worker->slot, worker->batch->exec, &done);
        worker->batch->times[index] = done.executed;
        machine_kill(&machines[worker->slot]);
    }
}

static void parallel(unsigned concurrency, size_t total, bool exec) {
    struct batch batch = {.total = total, .exec = exec, .times = numbers(total)};
    struct worker workers[SLOTS];
    int64_t start = now();
    for (unsigned i = 0; i < concurrency; i++) {
        workers[i].batch = &batch;
        workers[i].slot = i;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            fail_with("thread");
        }
    }
    for (unsigned i = 0; i < concurrency; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    printf("ok %lld", (long long)(now() - start));
    for (size_t i = 0; i < total; i++) {
        printf(" %lld", (long long)batch.times[i]);
    }
    printf("\n");
    free(batch.times);
}

static void ping(struct machine *machine, size_t count) {
    int64_t *times = numbers(count);
    for (size_t i = 0; i < count; i++) {
        int64_t start = now();
        port_ping(&machine->control);
        times[i] = now() - start;
    }
    printf("ok");
    for (size_t i = 0; i < count; i++) {
        printf(" %lld", (long long)times[i]);
    }
    printf("\n");
    free(times);
}

static void request(struct machine *machine, struct text open, size_t up, size_t count) {
    int64_t *results = numbers(3 * count);
    for (size_t i = 0; i < count; i++) {
        struct reply reply;
        size_t down;
        int64_t start = now();
        port_request(&machine->bulk, &open, up, &down, &reply);
        results[3 * i] = now() - start;
        results[3 * i + 1] = reply.wall + reply.file;
        results[3 * i + 2] = (int64_t)down;
    }
    printf("ok");
    for (size_t i = 0; i < 3 * count; i++) {
        printf(" %lld", (long long)results[i]);
    }
    printf("\n");
    free(results);
    free(open.bytes);
}

struct transfer {
    struct machine *machine;
    struct text open;
    size_t up;
    int64_t time;
    int done;
};

static void *move_bytes(void *argument) {
    struct transfer *transfer = argument;
    struct reply reply;
    size_t down;
    int64_t start = now();
    port_request(&transfer->machine->bulk, &transfer->open, transfer->up, &down, &reply);
    transfer->time = now() - start;
    __atomic_store_n(&transfer->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void load(struct machine *machine, struct text open, size_t up) {
    struct transfer transfer = {.machine = machine, .open = open, .up = up};
    int64_t *times = numbers(MAX_PINGS);
    size_t count = 0;
    pthread_t thread;
    if (pthread_create(&thread, NULL, move_bytes, &transfer) != 0) {
        fail_with("thread");
    }
    while (!__atomic_load_n(&transfer.done, __ATOMIC_ACQUIRE) && count < MAX_PINGS) {
        int64_t start = now();
        port_ping(&machine->control);
        times[count++] = now() - start;
    }
    pthread_join(thread, NULL);
    printf("ok %lld", (long long)transfer.time);
    for (size_t i = 0; i < count; i++) {
        printf(" %lld", (long long)times[i]);
    }
    printf("\n");
    free(times);
    free(open.bytes);
}

static void plug(struct machine *machine, struct text open, int64_t bytes) {
    monitor_open(machine);
    int64_t start = now();
    monitor_plug(machine, &open, bytes);
    int64_t time = now() - start;
    monitor_settle(machine, bytes);
    printf("ok %lld\n", (long long)time);
    free(open.bytes);
}

static void take_cut(const char *directory, struct machine *machine, bool go_on) {
    struct text quiesce = request_named(directory, "quiesce"), thaw = request_named(directory, "thaw");
    struct standstill times;
    cut_take(&kept, machine, &quiesce, &thaw, go_on, &times);
    printf("ok %lld %lld %lld %lld %lld %lld %lld %zu %zu\n", (long long)times.quiesce, (long long)times.stopped, (long long)times.stop,
           (long long)times.scan, (long long)times.copy, (long long)times.devices, (long long)times.thaw, kept.page_count, kept.devices.length);
    free(quiesce.bytes);
    free(thaw.bytes);
}

struct revival {
    const struct setup *setup;
    unsigned slot;
    int64_t time;
    pthread_t thread;
};

static void *revive_one(void *argument) {
    struct revival *revival = argument;
    struct creation done;
    machine_create(revival->setup, &kept, &machines[revival->slot], revival->slot, false, &done);
    revival->time = done.executed;
    return NULL;
}

static void revive(const struct setup *from, unsigned slot, unsigned count) {
    struct revival revivals[SLOTS];
    if (kept.of == NULL || slot + count > SLOTS) {
        fail_with("nothing to revive, or too many");
    }
    int64_t start = now();
    for (unsigned i = 0; i < count; i++) {
        revivals[i].setup = from;
        revivals[i].slot = slot + i;
        if (pthread_create(&revivals[i].thread, NULL, revive_one, &revivals[i]) != 0) {
            fail_with("thread");
        }
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(revivals[i].thread, NULL);
    }
    printf("ok %lld", (long long)(now() - start));
    for (unsigned i = 0; i < count; i++) {
        printf(" %lld", (long long)revivals[i].time);
    }
    printf("\n");
}

static void read_whole(const char *path) {
    int64_t start = now();
    struct text text = read_file("", path, true);
    int64_t time = now() - start;
    printf("ok %lld %zu\n", (long long)time, text.length);
    free(text.bytes);
}

static void forget(const char *path) {
    enum { PAGE = 4096 };
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || fdatasync(fd) < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0) {
        fail("drop %s from the page cache", path);
    }
    size_t pages = ((size_t)status.st_size + PAGE - 1) / PAGE, left = 0;
    void *mapping = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    unsigned char *resident = malloc(pages);
    if (mapping == MAP_FAILED || resident == NULL || mincore(mapping, (size_t)status.st_size, resident) < 0) {
        fail("look at the page cache of %s", path);
    }
    for (size_t i = 0; i < pages; i++) {
        left += resident[i] & 1;
    }
    munmap(mapping, (size_t)status.st_size);
    free(resident);
    close(fd);
    printf("ok %zu\n", left);
}

static void cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("ok %lld\n", (long long)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
                            (long long)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000);
}

int main(int argc, char **argv) {
    char line[512];
    if (argc != 4) {
        fail_with("usage: floor DIR DISK_DIR FIRST_UID");
    }
    // What the children must not inherit, and must not be in the way of their descriptors.
    for (int fd = 0; fd < MAX_ROLES; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0) {
            fail("close-on-exec");
        }
    }
    // Fill the low numbers, so that every descriptor made later lies above them and needs no copy.
    for (int filler = 0; filler < MAX_ROLES; filler = open("/dev/null", O_RDONLY | O_CLOEXEC)) {
        if (filler < 0) {
            fail("open /dev/null");
        }
    }
    setup_load(&setup, argv[1], "", argv[2], (unsigned)count_of(argv[3]));
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *rest = NULL, *words[5] = {NULL};
        size_t count = 0;
        for (char *word = strtok_r(line, " \n", &rest); word != NULL && count < 5; word = strtok_r(NULL, " \n", &rest)) {
            words[count++] = word;
        }
        const char *command = words[0] == NULL ? "" : words[0];
        if (strcmp(command, "create") == 0) {
            create(slot_of(words[1]), count_of(words[2]) != 0);
        } else if (strcmp(command, "park") == 0) {
            machine_park(&setup, &machines[slot_of(words[1])], slot_of(words[1]), count_of(words[2]) != 0);
            printf("ok\n");
        } else if (strcmp(command, "claim") == 0) {
            claim(running(words[1]));
        } else if (strcmp(command, "parallel") == 0) {
            parallel(slot_of(words[1]), count_of(words[2]), count_of(words[3]) != 0);
        } else if (strcmp(command, "ping") == 0) {
            ping(running(words[1]), count_of(words[2]));
        } else if (strcmp(command, "request") == 0) {
            request(running(words[1]), request_named(argv[1], words[2]), count_of(words[3]), count_of(words[4]));
        } else if (strcmp(command, "load") == 0) {
            load(running(words[1]), request_named(argv[1], words[2]), count_of(words[3]));
        } else if (strcmp(command, "plug") == 0) {
            plug(running(words[1]), request_named(argv[1], words[2]), (int64_t)count_of(words[3]));
        } else if (strcmp(command, "cut") == 0) {
            take_cut(argv[1], running(words[1]), count_of(words[2]) != 0);
        } else if (strcmp(command, "revive") == 0) {
            struct setup from;
            setup_load(&from, argv[1], words[3] == NULL ? "" : words[3], argv[2], (unsigned)count_of(argv[3]));
            revive(&from, slot_of(words[1]), slot_of(words[2]));
        } else if (strcmp(command, "read") == 0 && words[1] != NULL) {
            read_whole(words[1]);
        } else if (strcmp(command, "forget") == 0 && words[1] != NULL) {
            forget(words[1]);
        } else if (strcmp(command, "pids") == 0) {
            struct machine *machine = running(words[1]);
            printf("ok %d %d\n", (int)machine->launcher, (int)machine_qemu_pid(machine));
        } else if (strcmp(command, "kill") == 0) {
            machine_kill(running(words[1]));
            printf("ok\n");
        } else if (strcmp(command, "cpu") == 0) {
            cpu();
        } else {
            fail_with("unknown command '%s'", command);
        }
        if (fflush(stdout) != 0) {
            fail("answer");
        }
    }
    return 0;
}
