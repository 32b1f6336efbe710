#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "floor.h"

#define DEVICE "/machine/peripheral/plugmem"

enum { SILENCE_LIMIT_SECONDS = 60, LOOK_AGAIN_NANOSECONDS = 5000000 };

// One line of the monitor, valid until the next one.
static const char *next_line(struct machine *machine) {
    for (;;) {
        char *start = machine->heard + machine->heard_start;
        char *end = memchr(start, '\n', machine->heard_end - machine->heard_start);
        if (end != NULL) {
            *end = 0;
            machine->heard_start = (size_t)(end + 1 - machine->heard);
            return start;
        }
        if (machine->heard_start > 0) {
            machine->heard_end -= machine->heard_start;
            memmove(machine->heard, start, machine->heard_end);
            machine->heard_start = 0;
        }
        if (machine->heard_end == MONITOR_BUFFER) {
            fail_with("the monitor sent a line that is too long");
        }
        ssize_t count = recv(machine->qmp, machine->heard + machine->heard_end, MONITOR_BUFFER - machine->heard_end, 0);
        if (count <= 0) {
            fail("monitor");
        }
        machine->heard_end += (size_t)count;
    }
}

// Events are skipped.
const char *monitor_await(struct machine *machine) {
    for (;;) {
        const char *answer = next_line(machine);
        if (strstr(answer, "\"error\"") != NULL) {
            fail_with("the monitor refused: %s", answer);
        }
        const char *result = strstr(answer, "\"return\": ");
        if (result != NULL) {
            return result + strlen("\"return\": ");
        }
    }
}

void monitor_send(struct machine *machine, const char *command, int fd) {
    size_t length = strlen(command);
    struct iovec content = {.iov_base = (char *)command, .iov_len = length};
    struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof fd)];
    } control;
    if (fd >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    if (sendmsg(machine->qmp, &message, MSG_NOSIGNAL) != (ssize_t)length) {
        fail("monitor");
    }
}

void monitor_open(struct machine *machine) {
    if (machine->qmp_ready) {
        return;
    }
    struct timeval limit = {.tv_sec = SILENCE_LIMIT_SECONDS};
    if (setsockopt(machine->qmp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0) {
        fail("socket time limit");
    }
    if (machine->heard == NULL && (machine->heard = malloc(MONITOR_BUFFER)) == NULL) {
        fail("memory for the monitor");
    }
    machine->heard_start = machine->heard_end = 0;
    // QEMU reads it when it has written its greeting, whose "QMP" has no "return" and is skipped like an event.
    monitor_send(machine, "{\"execute\":\"qmp_capabilities\"}\n", -1);
    monitor_await(machine);
    machine->qmp_ready = true;
}

void monitor_plug(struct machine *machine, const struct text *open, int64_t bytes) {
    uint8_t frame[MAX_FRAME];
    char command[256];
    struct reply reply;
    uint32_t stream = machine->bulk.next_stream++;
    snprintf(command, sizeof command,
             "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"" DEVICE "\",\"property\":\"requested-size\",\"value\":%lld}}\n", (long long)bytes);
    port_write(&machine->bulk, frame, put_frame(frame, machine->bulk.epoch, FRAME_OPEN, stream, open->bytes, open->length));
    monitor_send(machine, command, -1);
    monitor_await(machine);
    port_await_result(&machine->bulk, stream, &reply);
}

void monitor_settle(struct machine *machine, int64_t bytes) {
    static const struct timespec pause = {.tv_nsec = LOOK_AGAIN_NANOSECONDS};
    for (;;) {
        monitor_send(machine, "{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"" DEVICE "\",\"property\":\"size\"}}\n", -1);
        if (strtoll(monitor_await(machine), NULL, 10) == bytes) {
            return;
        }
        nanosleep(&pause, NULL); // the monitor's event for this comes at most once a second; not while the clock runs
    }
}
