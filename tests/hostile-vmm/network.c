// Sockets: every family but the local one is refused; the local ones reach nobody.
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "probe.h"

static long connect_inet(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? fd : connect(fd, (struct sockaddr *)&address, sizeof address);
}

static long connect_unix(const char *path, bool abstract) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t offset = abstract ? 1 : 0;
    snprintf(address.sun_path + offset, sizeof address.sun_path - offset, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    long result = connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + offset + strlen(path) + !abstract));
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static long bind_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    long result = bind(fd, (struct sockaddr *)&address, sizeof address);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

void probe_network(const struct targets *targets) {
    TRY("connect-host-loopback", connect_inet(targets->port));
    TRY("connect-host-unix-path", connect_unix(targets->socket_path, false));
    TRY("connect-host-unix-abstract", connect_unix(targets->socket_name, true));
    TRY("bind-unix-path", bind_unix("/tmp/planted"));
    TRY("socket-inet-udp", socket(AF_INET, SOCK_DGRAM, 0));
    TRY("socket-inet6", socket(AF_INET6, SOCK_STREAM, 0));
    TRY("socket-inet-raw", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    TRY("socket-packet", socket(AF_PACKET, SOCK_RAW, 0));
    TRY("socket-netlink", socket(AF_NETLINK, SOCK_RAW, 0));
    TRY("socket-netlink-audit", socket(AF_NETLINK, SOCK_RAW, 9));
    TRY("socket-vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
    TRY("socket-alg", socket(AF_ALG, SOCK_SEQPACKET, 0));
    TRY("socket-bluetooth", socket(AF_BLUETOOTH, SOCK_RAW, 1));
    TRY("socket-can", socket(AF_CAN, SOCK_RAW, 1));
    TRY("socket-tipc", socket(AF_TIPC, SOCK_STREAM, 0));
    TRY("socket-xdp", socket(44, SOCK_RAW, 0));
    TRY("type-into-terminal", ioctl(2, TIOCSTI, "x"));
}
