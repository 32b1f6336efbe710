#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "floor.h"

_Noreturn void fail_with(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("floor: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(1);   // the launchers are attached: they and their machines end with this process
}

_Noreturn void fail(const char *format, ...) {
    int error = errno;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fail_with("%s: %s (%d)", text, strerror(error), error);
}

int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

struct text read_file(const char *directory, const char *name, bool required) {
    char path[4096];
    struct text text = {NULL, 0};
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path) {
        fail_with("path too long: %s", name);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT && !required) {
            return text;
        }
        fail("open %s", path);
    }
    struct stat status;
    if (fstat(fd, &status) < 0) {
        fail("stat %s", path);
    }
    text.length = (size_t)status.st_size;
    text.bytes = malloc(text.length + 1);
    if (text.bytes == NULL) {
        fail("memory for %s", path);
    }
    for (size_t done = 0; done < text.length;) {
        ssize_t count = read(fd, text.bytes + done, text.length - done);
        if (count <= 0) {
            fail("read %s", path);
        }
        done += (size_t)count;
    }
    text.bytes[text.length] = 0;
    close(fd);
    return text;
}
