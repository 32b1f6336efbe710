#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "floor.h"

#define DEVICE "/machine/peripheral/plugmem"

enum { MAX_LINE = 65536, SILENCE_LIMIT_SECONDS = 60, LOOK_AGAIN_NANOSECONDS = 5000000 };

static char line[MAX_LINE];

// One line of the monitor. Nothing of a second one is ever there already, but for events, which are skipped whole.
static const char *next_line(struct machine *machine) {
    size_t length = 0;
    for (;;) {
        char byte;
        if (recv(machine->qmp, &byte, 1, 0) != 1) {
            fail("monitor");
        }
        if (byte == '\n') {
            line[length] = 0;
            return line;
        }
        if (length + 1 == sizeof line) {
            fail_with("the monitor sent a line that is too long");
        }
        line[length++] = byte;
    }
}

static const char *await_return(struct machine *machine) {
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

static void send_command(struct machine *machine, const char *command) {
    size_t length = strlen(command);
    if (send(machine->qmp, command, length, MSG_NOSIGNAL) != (ssize_t)length) {
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
    next_line(machine); // the greeting
    send_command(machine, "{\"execute\":\"qmp_capabilities\"}\n");
    await_return(machine);
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
    send_command(machine, command);
    await_return(machine);
    port_await_result(&machine->bulk, stream, &reply);
}

void monitor_settle(struct machine *machine, int64_t bytes) {
    static const struct timespec pause = {.tv_nsec = LOOK_AGAIN_NANOSECONDS};
    for (;;) {
        send_command(machine, "{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"" DEVICE "\",\"property\":\"size\"}}\n");
        if (strtoll(await_return(machine), NULL, 10) == bytes) {
            return;
        }
        nanosleep(&pause, NULL); // the monitor's event for this comes at most once a second; not while the clock runs
    }
}
