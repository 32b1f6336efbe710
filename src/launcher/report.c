// Failure and status lines. Lines are short and go out in one write, so they are never interleaved.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher.h"

enum { MAX_LINE = 512 };

static int status = -1;
static int supervisor = -1;
static const char *required;

void report_to_status(int status_fd) { status = status_fd; }

void report_to_supervisor(int pipe_fd) { supervisor = pipe_fd; }

// A failed write has no one left to be told: the reader is gone, and then PDEATHSIG or the missing `pid` line tells the story.
static void write_line(int fd, const char *line, size_t length) {
    while (write(fd, line, length) < 0 && errno == EINTR) {
    }
}

static void send_line(int fd, const char *prefix, const char *text) {
    char line[MAX_LINE];
    int length = snprintf(line, sizeof line - 1, "%s%s", prefix, text);
    if (length < 0) {
        return;
    }
    if ((size_t)length > sizeof line - 2) {
        length = sizeof line - 2;
    }
    // Parts of a step's name come from the command line: one message stays one line.
    for (int i = 0; i < length; i++) {
        if ((unsigned char)line[i] < ' ' || line[i] == 127) {
            line[i] = '?';
        }
    }
    line[length++] = '\n';
    write_line(fd, line, (size_t)length);
}

void report_pid(pid_t pid) {
    char text[32];
    snprintf(text, sizeof text, "%d", (int)pid);
    if (status >= 0) {
        send_line(status, "pid ", text);
    }
}

void report_relay(enum message kind, const char *text) {
    if (status >= 0) {
        send_line(status, kind == MESSAGE_ERROR ? "error " : "missing ", text);
    }
    if (kind == MESSAGE_ERROR) {
        send_line(STDERR_FILENO, "launcher: ", text);
    }
}

static _Noreturn void end_with(const char *text) {
    if (supervisor >= 0) {
        send_line(supervisor, (const char[]){MESSAGE_ERROR, 0}, text);
    } else {
        report_relay(MESSAGE_ERROR, text);
    }
    _exit(EXIT_LAUNCHER_FAILED);
}

void report_required(const char *names) { required = names; }

bool report_is_required(const char *control) {
    size_t length = strcspn(control, ":");
    for (const char *name = required; name != NULL && *name != 0; name += strcspn(name, ","), name += *name == ',') {
        if (strcspn(name, ",") == length && strncmp(name, control, length) == 0) {
            return true;
        }
    }
    return false;
}

void report_missing(const char *control) {
    if (report_is_required(control)) {
        char text[MAX_LINE];
        snprintf(text, sizeof text, "required %s", control);
        end_with(text);
    }
    if (supervisor >= 0) {
        send_line(supervisor, (const char[]){MESSAGE_MISSING, 0}, control);
    } else {
        report_relay(MESSAGE_MISSING, control);
    }
}

// The one message that is not a line: the supervisor waits for exactly one byte.
void report_mapped(void) { write_line(supervisor, "\n", 1); }

void report_exec(void) { send_line(supervisor, (const char[]){MESSAGE_EXEC, 0}, ""); }

_Noreturn void fail_with(int error, const char *format, ...) {
    char step[MAX_LINE / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(step, sizeof step, format, arguments);
    va_end(arguments);

    char text[MAX_LINE];
    snprintf(text, sizeof text, "%s: %s (%d)", step, strerror(error), error);
    end_with(text);
}
