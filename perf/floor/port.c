#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "floor.h"

// Frames are little-endian, and so is every machine that this is built for.
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "little-endian machines only"
#endif

static const uint8_t magic[16] = {0x8F, 'o', 's', 'b', 'x', 0x0D, 0x0A, 0x1A, 0x0A, 0xC3, 0x28, 0xFE, 0xED, 0x5A, 0xA5, 0x91};

enum { GENERATION = 1, CREDIT_STEP = CREDIT_WINDOW / 4, SILENCE_LIMIT_SECONDS = 60 };

void port_open(struct port *port, int fd, uint64_t epoch) {
    if (port->buffer == NULL && (port->buffer = malloc(RECEIVE_BUFFER)) == NULL) {
        fail("memory for a port");
    }
    // A guest that never answers must fail the run, not hang it. Free while bytes flow.
    struct timeval limit = {.tv_sec = SILENCE_LIMIT_SECONDS};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0) {
        fail("socket time limit");
    }
    port->fd = fd;
    port->epoch = epoch;
    port->next_stream = 1;
    port->start = port->end = 0;
}

void port_close(struct port *port) {
    close(port->fd);
    port->fd = -1;
}

size_t put_preamble(uint8_t *to, uint64_t epoch) {
    uint16_t generation = GENERATION, flags = 0;
    uint32_t check = ~(uint32_t)epoch;
    memcpy(to, magic, sizeof magic);
    memcpy(to + 16, &epoch, 8);
    memcpy(to + 24, &generation, 2);
    memcpy(to + 26, &flags, 2);
    memcpy(to + 28, &check, 4);
    return PREAMBLE_SIZE;
}

size_t put_frame(uint8_t *to, uint64_t epoch, enum frame_type type, uint32_t stream, const void *payload, size_t length) {
    uint32_t tag = (uint32_t)epoch, size = (uint32_t)length, trailer = ~tag;
    to[0] = (uint8_t)type;
    to[1] = to[2] = to[3] = 0;
    memcpy(to + 4, &stream, 4);
    memcpy(to + 8, &tag, 4);
    memcpy(to + 12, &size, 4);
    if (length > 0) {
        memcpy(to + 16, payload, length);
    }
    memcpy(to + 16 + length, &trailer, 4);
    return length + FRAME_OVERHEAD;
}

// The machine is gone or silent: what its launcher and QEMU had to say is the reason.
static _Noreturn void lost(const struct port *port, const char *what) {
    int error = errno;
    char words[2][1024];
    const int fds[] = {port->status, port->output};
    for (int i = 0; i < 2; i++) {
        ssize_t count = recv(fds[i], words[i], sizeof words[i] - 1, MSG_DONTWAIT);
        words[i][count < 0 ? 0 : count] = 0;
    }
    fail_with("%s: %s; launcher: %s; QEMU: %s", what, strerror(error), words[0], words[1]);
}

void port_write(struct port *port, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        ssize_t count = send(port->fd, bytes, length, MSG_NOSIGNAL);
        if (count < 0) {
            lost(port, "send to the guest");
        }
        bytes += count;
        length -= (size_t)count;
    }
}

static void receive(struct port *port) {
    if (port->start == port->end) {
        port->start = port->end = 0;
    } else if (RECEIVE_BUFFER - port->start < MAX_FRAME) {
        memmove(port->buffer, port->buffer + port->start, port->end - port->start);
        port->end -= port->start;
        port->start = 0;
    }
    ssize_t count = recv(port->fd, port->buffer + port->end, RECEIVE_BUFFER - port->end, 0);
    if (count <= 0) {
        lost(port, count < 0 ? "receive from the guest" : "the machine closed a port");
    }
    port->end += (size_t)count;
}

void port_await_preamble(struct port *port) {
    while (port->end - port->start < PREAMBLE_SIZE) {
        receive(port);
    }
    uint64_t epoch;
    memcpy(&epoch, port->buffer + port->start + 16, 8);
    if (memcmp(port->buffer + port->start, magic, sizeof magic) != 0 || epoch != port->epoch) {
        fail_with("the guest's first bytes are no answer to the preamble");
    }
    port->start += PREAMBLE_SIZE;
}

void port_next(struct port *port, struct frame *frame) {
    while (port->end - port->start < FRAME_OVERHEAD) {
        receive(port);
    }
    const uint8_t *at = port->buffer + port->start;
    uint32_t tag;
    memcpy(&frame->length, at + 12, 4);
    memcpy(&tag, at + 8, 4);
    if (frame->length > MAX_PAYLOAD || tag != (uint32_t)port->epoch) {
        fail_with("malformed frame: type %d, length %u", at[0], frame->length);
    }
    while (port->end - port->start < frame->length + FRAME_OVERHEAD) {
        receive(port);
    }
    at = port->buffer + port->start;
    frame->type = at[0];
    memcpy(&frame->stream, at + 4, 4);
    frame->payload = at + 16;
    port->start += frame->length + FRAME_OVERHEAD;
}

static int64_t number(const struct frame *frame, const char *name) {
    const uint8_t *at = memmem(frame->payload, frame->length, name, strlen(name));
    int64_t value = 0;
    if (at != NULL) {
        for (at += strlen(name); at < frame->payload + frame->length && *at >= '0' && *at <= '9'; at++) {
            value = value * 10 + (*at - '0');
        }
    }
    return value;
}

// True when the frame ended the stream.
static bool is_result(const struct frame *frame, uint32_t stream, struct reply *reply) {
    if (frame->stream != stream) {
        return false;
    }
    if (frame->type == FRAME_ERROR) {
        fail_with("the agent refused: %.*s", (int)frame->length, (const char *)frame->payload);
    }
    if (frame->type != FRAME_RESULT) {
        return false;
    }
    reply->wall = number(frame, "\"wallMicroseconds\":");
    reply->file = number(frame, "\"fileMicroseconds\":");
    reply->mount = number(frame, "\"mountMicroseconds\":");
    reply->total = number(frame, "\"totalMicroseconds\":");
    return true;
}

void port_await_result(struct port *port, uint32_t stream, struct reply *reply) {
    struct frame frame;
    do {
        port_next(port, &frame);
    } while (!is_result(&frame, stream, reply));
}

void port_ping(struct port *port) {
    uint8_t bytes[FRAME_OVERHEAD];
    struct frame frame;
    port_write(port, bytes, put_frame(bytes, port->epoch, FRAME_PING, 0, NULL, 0));
    do {
        port_next(port, &frame);
    } while (frame.type != FRAME_PONG);
}

void port_ask(struct port *port, enum frame_type question, const struct text *payload) {
    uint8_t bytes[MAX_FRAME];
    struct frame frame;
    port_write(port, bytes, put_frame(bytes, port->epoch, question, 0, payload->bytes, payload->length));
    do {
        port_next(port, &frame);
    } while (frame.type != question + 1);
    if (memmem(frame.payload, frame.length, "\"ok\":true", strlen("\"ok\":true")) == NULL) {
        fail_with("the agent refused: %.*s", (int)frame.length, (const char *)frame.payload);
    }
}

// Frames of data as they go over the wire, made once and sent again and again.
static const uint8_t *window_of_frames(struct port *port, uint32_t stream, uint8_t *window) {
    static const uint8_t content[MAX_PAYLOAD];
    for (size_t i = 0; i < WINDOW_FRAMES; i++) {
        put_frame(window + i * MAX_FRAME, port->epoch, FRAME_DATA, stream, content, MAX_PAYLOAD);
    }
    return window;
}

// Sends as much as there is credit for; small requests travel as a whole in one write with what is in `first` already.
static void send_data(struct port *port, uint32_t stream, uint8_t *first, size_t *first_length, size_t *up, size_t *credit, bool *ended) {
    static _Thread_local uint8_t window[WINDOW_FRAMES * MAX_FRAME];
    static const uint8_t content[MAX_PAYLOAD];
    size_t whole = *up / MAX_PAYLOAD, room = *credit / MAX_PAYLOAD;
    if (whole > 0 && room > 0) {
        if (*first_length > 0) {
            window_of_frames(port, stream, window);
            port_write(port, first, *first_length);
            *first_length = 0;
        }
        size_t frames = whole < room ? whole : room;
        port_write(port, window, frames * MAX_FRAME);
        *up -= frames * MAX_PAYLOAD;
        *credit -= frames * MAX_PAYLOAD;
    }
    if (*up < MAX_PAYLOAD && *up <= *credit && !*ended) {
        if (*up > 0) {
            *first_length += put_frame(first + *first_length, port->epoch, FRAME_DATA, stream, content, *up);
            *credit -= *up;
            *up = 0;
        }
        *first_length += put_frame(first + *first_length, port->epoch, FRAME_END, stream, NULL, 0);
        *ended = true;
    }
    if (*first_length > 0) {
        port_write(port, first, *first_length);
        *first_length = 0;
    }
}

void port_request(struct port *port, const struct text *open, size_t up, size_t *down, struct reply *reply) {
    uint8_t first[2 * MAX_FRAME + FRAME_OVERHEAD];
    uint32_t stream = port->next_stream++, uncredited = 0;
    size_t first_length = put_frame(first, port->epoch, FRAME_OPEN, stream, open->bytes, open->length), credit = CREDIT_WINDOW;
    bool ended = up == 0;
    struct frame frame;
    *down = 0;
    for (;;) {
        send_data(port, stream, first, &first_length, &up, &credit, &ended);
        port_next(port, &frame);
        if (is_result(&frame, stream, reply)) {
            return;
        }
        if (frame.stream == stream && frame.type == FRAME_CREDIT) {
            uint32_t more;
            memcpy(&more, frame.payload, 4);
            credit += more;
        } else if (frame.stream == stream && frame.type == FRAME_DATA) {
            *down += frame.length;
            uncredited += frame.length;
            if (uncredited >= CREDIT_STEP) {
                uint8_t bytes[FRAME_OVERHEAD + 4];
                port_write(port, bytes, put_frame(bytes, port->epoch, FRAME_CREDIT, stream, &uncredited, 4));
                uncredited = 0;
            }
        }
    }
}
