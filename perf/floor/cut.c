#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "floor.h"

#define RAM_NAME "/memfd:opensandbox-golden"

enum { PAGE = 4096, MAX_VECTORS = 1024, SCAN_ENTRIES = 65536 };

static const uint64_t PRESENT_OR_SWAPPED = 3ull << 62, FILE_PAGE = 1ull << 61;

struct mapping {
    uint64_t start, end;
};

// Where the guest's RAM is in QEMU: a private mapping of the template, perhaps in pieces.
static struct mapping find_ram(pid_t pid) {
    struct mapping ram = {0, 0};
    char path[64], *line = NULL;
    size_t room = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    if (maps == NULL) {
        fail("open %s", path);
    }
    while (getline(&line, &room, maps) > 0) {
        uint64_t low, high, offset;
        char rights[5];
        if (strstr(line, RAM_NAME) == NULL || sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64, &low, &high, rights, &offset) != 4
            || strcmp(rights, "rw-p") != 0) {
            continue;
        }
        if (offset == 0) {
            ram.start = low;
            ram.end = high;
        } else if (low == ram.end && offset == low - ram.start) {
            ram.end = high;
        }
    }
    free(line);
    fclose(maps);
    if (ram.end == ram.start) {
        fail_with("process %d has not mapped the guest's RAM", (int)pid);
    }
    return ram;
}

static void add_page(struct cut *cut, uint64_t page) {
    if (cut->runs > 0 && cut->first[cut->runs - 1] + cut->count[cut->runs - 1] == page) {
        cut->count[cut->runs - 1]++;
    } else {
        cut->first[cut->runs] = page;
        cut->count[cut->runs++] = 1;
    }
    cut->page_count++;
}

// The pages that are the machine's own.
static void scan(struct cut *cut, int pagemap, const struct mapping *ram) {
    static uint64_t entries[SCAN_ENTRIES];
    uint64_t pages = (ram->end - ram->start) / PAGE;
    cut->runs = cut->page_count = 0;
    for (uint64_t at = 0; at < pages;) {
        size_t wanted = pages - at < SCAN_ENTRIES ? pages - at : SCAN_ENTRIES;
        ssize_t count = pread(pagemap, entries, wanted * sizeof *entries, (off_t)((ram->start / PAGE + at) * sizeof *entries));
        if (count <= 0) {
            fail("read the page map");
        }
        size_t read = (size_t)count / sizeof *entries;
        for (size_t i = 0; i < read; i++) {
            if ((entries[i] & PRESENT_OR_SWAPPED) != 0 && (entries[i] & FILE_PAGE) == 0) {
                add_page(cut, at + i);
            }
        }
        at += read;
    }
}

// Between the cut and a process, one way or the other.
static void transfer(const struct cut *cut, pid_t pid, const struct mapping *ram, bool write) {
    struct iovec remote[MAX_VECTORS];
    uint8_t *local = cut->pages;
    for (size_t first = 0; first < cut->runs;) {
        size_t vectors = 0, length = 0;
        for (; vectors < MAX_VECTORS && first + vectors < cut->runs; vectors++) {
            remote[vectors].iov_base = (void *)(uintptr_t)(ram->start + cut->first[first + vectors] * PAGE);
            remote[vectors].iov_len = cut->count[first + vectors] * PAGE;
            length += remote[vectors].iov_len;
        }
        struct iovec here = {.iov_base = local, .iov_len = length};
        ssize_t moved = write ? process_vm_writev(pid, &here, 1, remote, vectors, 0) : process_vm_readv(pid, &here, 1, remote, vectors, 0);
        if (moved != (ssize_t)length) {
            fail("move %zu bytes of the guest's RAM", length);
        }
        local += length;
        first += vectors;
    }
}

// Room for every page of the RAM; memory comes for as many as there are now, and some, before the guest has to wait for it.
static void make_room(struct cut *cut, const struct mapping *ram, int pagemap) {
    enum { MORE = 1 << 20 };
    size_t bytes = ram->end - ram->start;
    if (cut->room_pages < bytes / PAGE) {
        cut->room_pages = bytes / PAGE;
        cut->first = malloc(cut->room_pages * sizeof *cut->first);
        cut->count = malloc(cut->room_pages * sizeof *cut->count);
        cut->pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (cut->first == NULL || cut->count == NULL || cut->pages == MAP_FAILED) {
            fail("memory for %zu bytes of pages", bytes);
        }
    }
    scan(cut, pagemap, ram);
    size_t wanted = cut->page_count * PAGE + MORE;
    if (madvise(cut->pages, wanted < bytes ? wanted : bytes, MADV_POPULATE_WRITE) < 0) {
        fail("populate");
    }
}

static void take_devices(struct cut *cut, int file) {
    struct stat status;
    if (fstat(file, &status) < 0) {
        fail("stat the devices' state");
    }
    cut->devices.length = (size_t)status.st_size;
    cut->devices.bytes = realloc(cut->devices.bytes, cut->devices.length);
    if (cut->devices.bytes == NULL || pread(file, cut->devices.bytes, cut->devices.length, 0) != status.st_size) {
        fail("read the devices' state");
    }
}

void cut_take(struct cut *cut, struct machine *machine, const struct text *quiesce, const struct text *thaw, bool go_on, struct standstill *times) {
    static unsigned sets = 1000;
    char path[64], command[128];
    monitor_open(machine);
    pid_t pid = machine_qemu_pid(machine);
    struct mapping ram = find_ram(pid);
    snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
    int pagemap = open(path, O_RDONLY | O_CLOEXEC), file = memfd_create("floor-devices", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int writable = open(path, O_WRONLY | O_CLOEXEC);
    if (pagemap < 0 || file < 0 || writable < 0) {
        fail("prepare a cut");
    }
    snprintf(command, sizeof command, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":%u}}\n", ++sets);
    monitor_send(machine, command, writable);
    monitor_await(machine);
    close(writable);
    make_room(cut, &ram, pagemap);
    snprintf(
        command, sizeof command, "{\"execute\":\"xen-save-devices-state\",\"arguments\":{\"filename\":\"/dev/fdset/%u\",\"live\":false}}\n", sets);

    int64_t start = now();
    port_ask(&machine->control, FRAME_QUIESCE, quiesce);
    times->quiesce = now() - start;

    start = now();
    monitor_send(machine, "{\"execute\":\"stop\"}\n", -1);
    monitor_await(machine);
    int64_t stopped = now();
    monitor_send(machine, command, -1); // QEMU saves its devices while the pages are copied here
    scan(cut, pagemap, &ram);
    int64_t scanned = now();
    transfer(cut, pid, &ram, false);
    int64_t copied = now();
    monitor_await(machine);
    take_devices(cut, file);
    int64_t saved = now();
    times->stop = stopped - start;
    times->scan = scanned - stopped;
    times->copy = copied - scanned;
    times->devices = saved - copied;
    times->stopped = times->thaw = 0;
    cut->of = machine;
    if (go_on) {
        monitor_send(machine, "{\"execute\":\"cont\"}\n", -1);
        monitor_await(machine);
        times->stopped = now() - start;
        start = now();
        port_ask(&machine->control, FRAME_THAW, thaw);
        times->thaw = now() - start;
    }
    snprintf(command, sizeof command, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":%u}}\n", sets);
    monitor_send(machine, command, -1);
    monitor_await(machine);
    close(pagemap);
    close(file);
}

void cut_load(const struct cut *cut, struct machine *machine) {
    // QEMU answers its monitor from its main loop, which it enters when the machine is set up: its RAM is mapped by then.
    monitor_open(machine);
    pid_t pid = machine_qemu_pid(machine);
    struct mapping ram = find_ram(pid);
    transfer(cut, pid, &ram, true);
    machine_feed(machine, &cut->devices, 0, cut->devices.length);
}
