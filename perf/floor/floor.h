// The floor: what one C program with blocking sockets needs for the same work as the library. See docs/benchmarking.md.
#ifndef FLOOR_H
#define FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// ---- report.c: ends the program. A floor with an error in it is no floor, so nothing is ever retried or skipped.

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));       // appends errno's text
_Noreturn void fail_with(const char *format, ...) __attribute__((format(printf, 1, 2)));
int64_t now(void);   // CLOCK_MONOTONIC, nanoseconds

struct text {
    char *bytes;
    size_t length;
};

struct text read_file(const char *directory, const char *name, bool required);

// ---- port.c: frames on one virtio-serial port (docs/protocol.md)

enum {
    PREAMBLE_SIZE = 32,
    FRAME_OVERHEAD = 20,
    MAX_PAYLOAD = 32748,
    MAX_FRAME = MAX_PAYLOAD + FRAME_OVERHEAD,
    CREDIT_WINDOW = 262144,
    WINDOW_FRAMES = CREDIT_WINDOW / MAX_PAYLOAD,
    RECEIVE_BUFFER = 8 * MAX_FRAME,
};

enum frame_type {
    FRAME_HELLO = 1, FRAME_WELCOME, FRAME_PING, FRAME_PONG, FRAME_OPEN, FRAME_STARTED, FRAME_DATA, FRAME_CREDIT, FRAME_END, FRAME_RESULT, FRAME_ERROR,
    FRAME_QUIESCE = 14, FRAME_QUIESCED, FRAME_THAW, FRAME_THAWED,
};

struct port {
    int fd;
    uint32_t next_stream;
    uint64_t epoch;
    size_t start, end;
    uint8_t *buffer;    // RECEIVE_BUFFER bytes, kept when the port is closed
    int output, status; // the machine's last words, for the message when the port fails
};

struct frame {
    uint8_t type;
    uint32_t stream;
    uint32_t length;
    const uint8_t *payload;
};

// What the agent said about the time it took itself, microseconds; 0 where it said nothing.
struct reply {
    int64_t wall, file, mount, total;
};

void port_open(struct port *port, int fd, uint64_t epoch);
void port_close(struct port *port);
size_t put_preamble(uint8_t *to, uint64_t epoch);
size_t put_frame(uint8_t *to, uint64_t epoch, enum frame_type type, uint32_t stream, const void *payload, size_t length);
void port_write(struct port *port, const uint8_t *bytes, size_t length);
void port_await_preamble(struct port *port);
void port_next(struct port *port, struct frame *frame);
void port_await_result(struct port *port, uint32_t stream, struct reply *reply);
void port_ping(struct port *port);
// A question of the control port, until its answer is there: Quiesce or Thaw.
void port_ask(struct port *port, enum frame_type question, const struct text *payload);
// One request with so many bytes of data from this side; what the agent sends is counted, credited and dropped.
void port_request(struct port *port, const struct text *open, size_t up, size_t *down, struct reply *reply);

// ---- machine.c: the virtual machine behind the launcher

enum { MAX_ROLES = 32, MAX_DISKS = 2 };

// Everything that one kind of sandbox is started from; read once, so that no file is read while the clock runs.
struct setup {
    char *argv[256];
    size_t argv_count;
    size_t uid_at[2];       // places of the uid and gid in argv
    size_t uid_count;
    char roles[MAX_ROLES][32];   // what becomes descriptor N of the launcher
    size_t role_count;
    off_t plug_bytes;
    struct text welcome, resume, exec;
    struct text devices;    // of the golden snapshot
    struct text overlays[MAX_DISKS];
    const char *disk_directory;
    unsigned first_uid;
};

enum { MONITOR_BUFFER = 65536 };

struct machine {
    bool running;
    pid_t launcher, qemu;        // qemu: 0 until somebody has asked
    int output, status, qmp, network, console;
    int feed;                    // where QEMU takes the devices' state from, or -1: from a file
    int overlays[MAX_DISKS];     // -1 where there is none
    bool qmp_ready;
    char *heard;                 // MONITOR_BUFFER bytes, kept when the machine is ended
    size_t heard_start, heard_end;
    struct port control, bulk;
};

// A machine's state at one instant, in this program's memory.
struct cut {
    const struct machine *of;
    uint64_t *first, *count;     // runs of pages
    size_t runs, room_runs;
    uint8_t *pages;
    size_t page_count, room_pages;
    struct text devices;
};

// Nanoseconds.
struct standstill {
    int64_t quiesce;             // until the agent had answered
    int64_t stopped;             // from before QEMU was told to stop until it said that the machine ran again
    int64_t stop, scan, copy, devices;   // of `stopped`; devices: what was still to be waited for after the copying
    int64_t thaw;                // until the agent had answered
};

struct creation {
    int64_t spawned, hello, resumed, executed;   // nanoseconds since the start
    struct reply resume, exec;
};

// The files whose names begin with the prefix say how.
void setup_load(struct setup *setup, const char *directory, const char *prefix, const char *disk_directory, unsigned first_uid);
// From the golden snapshot, or, with a cut, from that.
void machine_create(const struct setup *setup, const struct cut *cut, struct machine *machine, unsigned slot, bool exec, struct creation *creation);
// Brings a machine of the golden snapshot up as far as it gets without a guest that runs: to the last byte of its devices' state, or, hot, to
// a guest that has answered and was stopped.
void machine_park(const struct setup *setup, struct machine *machine, unsigned slot, bool hot);
// Lets it run and makes a sandbox of it.
void machine_claim(const struct setup *setup, struct machine *machine, struct creation *creation);
// Hands QEMU bytes of its devices' state; the end of them, where it is to run.
void machine_feed(struct machine *machine, const struct text *devices, size_t from, size_t to);
void machine_kill(struct machine *machine);
pid_t machine_qemu_pid(struct machine *machine);

// ---- cut.c: a machine's state, out of one machine and into others

// Quiesces the guest, stops it and takes its state; then lets it go on, unless it is to stand still for ever.
void cut_take(struct cut *cut, struct machine *machine, const struct text *quiesce, const struct text *thaw, bool go_on, struct standstill *times);
// Into a machine that waits for its state.
void cut_load(const struct cut *cut, struct machine *machine);

// ---- monitor.c: QEMU's monitor

// Connects on first use.
void monitor_open(struct machine *machine);
// Sends a command, with a descriptor or -1.
void monitor_send(struct machine *machine, const char *command, int fd);
// The command's result, which is valid until the next call.
const char *monitor_await(struct machine *machine);
// Asks for so much plugged memory while the agent's request that waits for it is under way; returns when both have answered.
void monitor_plug(struct machine *machine, const struct text *open, int64_t bytes);
// Waits until the device has so many bytes plugged: the guest stops using memory a moment before it says so.
void monitor_settle(struct machine *machine, int64_t bytes);

#endif
