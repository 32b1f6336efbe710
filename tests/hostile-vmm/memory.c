// What is shared between sandboxes: the sealed RAM template and read-only disk images.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe.h"

enum { PAGE = 4096 };

static long map(int fd, int protection, int kind) {
    void *address = mmap(NULL, PAGE, protection, kind, fd, 0);
    if (address == MAP_FAILED) {
        return -1;
    }
    munmap(address, PAGE);
    return 0;
}

static void probe_writes(const char *how, int fd) {
    char name[64], page[PAGE] = {1};
#define NAMED(action) (snprintf(name, sizeof name, "golden-%s%s", how, action), name)
    TRY(NAMED("write"), write(fd, page, 1));
    TRY(NAMED("pwrite"), pwrite(fd, page, sizeof page, 0));
    TRY(NAMED("punch-hole"), fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
    TRY(NAMED("allocate-beyond-end"), fallocate(fd, 0, 1 << 20, PAGE));
    TRY(NAMED("shrink"), ftruncate(fd, 0));
    TRY(NAMED("grow"), ftruncate(fd, 1 << 24));
    TRY(NAMED("map-shared-writable"), map(fd, PROT_READ | PROT_WRITE, MAP_SHARED));
    TRY(NAMED("add-seal"), fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    TRY(NAMED("chmod"), fchmod(fd, 0777));
    TRY(NAMED("chown"), fchown(fd, getuid(), getgid()));
    TRY(NAMED("sendfile-into"), sendfile(fd, 6, &(off_t){0}, 1));
    TRY(NAMED("copy-range-into"), copy_file_range(6, &(off_t){0}, fd, &(off_t){0}, 1, 0));
#undef NAMED
}

static void probe_mappings(int fd) {
    char *shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    TRY("golden-shared-make-writable", mprotect(shared, PAGE, PROT_READ | PROT_WRITE));
    TRY("golden-shared-remove-pages", madvise(shared, PAGE, MADV_REMOVE));
    int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    TRY("golden-shared-write-proc-mem", pwrite(memory, "x", 1, (off_t)shared));
    close(memory);

    char *private = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    TRY("control-golden-private-map", private == MAP_FAILED ? -1 : 0);
    char before[PAGE], after[PAGE];
    bool read_before = pread(fd, before, PAGE, 0) == PAGE;
    memset(private, 0xff, PAGE);
    // Discards: what a balloon does with the pages of a guest.
    TRY("golden-private-remove-pages", madvise(private, PAGE, MADV_REMOVE));
    madvise(private, PAGE, MADV_DONTNEED);
    bool read_after = pread(fd, after, PAGE, 0) == PAGE;
    report_reached("golden-changed", !read_before || !read_after || memcmp(before, after, PAGE) != 0);
}

void probe_shared_memory(const struct targets *targets) {
    int fd = targets->golden_fd;
    report_reached("golden-seals-missing", fcntl(fd, F_GET_SEALS) != (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
    probe_writes("", fd);
    int reopened = open("/proc/self/fd/5", O_RDWR | O_CLOEXEC);
    TRY("control-golden-reopen", reopened);
    probe_writes("reopened-", reopened);
    probe_mappings(fd);

    int base = targets->base_fd;
    TRY("base-write", pwrite(base, "x", 1, 0));
    TRY("base-truncate", ftruncate(base, 0));
    TRY("base-punch-hole", fallocate(base, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
    TRY("base-map-shared-writable", map(base, PROT_READ | PROT_WRITE, MAP_SHARED));
    TRY("base-reopen-writable", open("/proc/self/fd/6", O_RDWR | O_CLOEXEC));
    TRY("base-reopen-readable", open("/proc/self/fd/6", O_RDONLY | O_CLOEXEC));
    TRY("base-chmod", fchmod(base, 0777));
    TRY("base-write-lock", fcntl(base, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1}));
    TRY("base-lease", fcntl(base, F_SETLEASE, F_RDLCK));
    TRY("base-unlink", unlink("/proc/self/fd/6"));
}
