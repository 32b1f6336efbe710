namespace OpenSandbox.Agent;

/// <summary>Numbers of the Linux interface (x86-64) that the agent uses, under the kernel's own names.</summary>
internal static class Linux
{
    internal const int O_RDONLY = 0;
    internal const int O_WRONLY = 1;
    internal const int O_RDWR = 2;
    internal const int O_CREAT = 0x40;
    internal const int O_EXCL = 0x80;
    internal const int O_NOCTTY = 0x100;
    internal const int O_TRUNC = 0x200;
    internal const int O_APPEND = 0x400;
    internal const int O_NONBLOCK = 0x800;
    internal const int O_DIRECTORY = 0x10000;
    internal const int O_NOFOLLOW = 0x20000;
    internal const int O_CLOEXEC = 0x80000;
    internal const int O_PATH = 0x200000;

    internal const int F_SETFL = 4;
    internal const int F_DUPFD_CLOEXEC = 1030;

    internal const int AT_FDCWD = -100;
    internal const int AT_SYMLINK_NOFOLLOW = 0x100;
    internal const int AT_REMOVEDIR = 0x200;
    internal const int AT_EMPTY_PATH = 0x1000;

    internal const ulong RESOLVE_NO_XDEV = 1;
    internal const ulong RESOLVE_NO_MAGICLINKS = 2;

    internal const uint S_IFMT = 0xF000;
    internal const uint S_IFSOCK = 0xC000;
    internal const uint S_IFLNK = 0xA000;
    internal const uint S_IFREG = 0x8000;
    internal const uint S_IFBLK = 0x6000;
    internal const uint S_IFDIR = 0x4000;
    internal const uint S_IFCHR = 0x2000;
    internal const uint S_IFIFO = 0x1000;

    internal const int AT_STATX_DONT_SYNC = 0x4000;
    internal const uint STATX_BASIC_STATS = 0x7FF;
    internal const uint STATX_MNT_ID = 0x1000;

    internal const uint STATX_BTIME = 0x800;
    internal const uint RENAME_NOREPLACE = 1;
    internal const byte DT_UNKNOWN = 0;
    internal const byte DT_DIR = 4;
    internal const int SEEK_SET = 0;
    internal const int SEEK_DATA = 3;
    internal const int SEEK_HOLE = 4;

    internal const uint IN_MODIFY = 2;
    internal const uint IN_ATTRIB = 4;
    internal const uint IN_CLOSE_WRITE = 8;
    internal const uint IN_MOVED_FROM = 0x40;
    internal const uint IN_MOVED_TO = 0x80;
    internal const uint IN_CREATE = 0x100;
    internal const uint IN_DELETE = 0x200;
    internal const uint IN_DELETE_SELF = 0x400;
    internal const uint IN_MOVE_SELF = 0x800;
    internal const uint IN_UNMOUNT = 0x2000;
    internal const uint IN_Q_OVERFLOW = 0x4000;
    internal const uint IN_IGNORED = 0x8000;
    internal const uint IN_ONLYDIR = 0x01000000;
    internal const uint IN_DONT_FOLLOW = 0x02000000;
    internal const uint IN_EXCL_UNLINK = 0x04000000;
    internal const uint IN_ISDIR = 0x40000000;
    internal const int IN_CLOEXEC = O_CLOEXEC;
    internal const int IN_NONBLOCK = O_NONBLOCK;

    internal const ulong MS_NOSUID = 2;
    internal const ulong MS_NODEV = 4;
    internal const ulong MS_NOEXEC = 8;
    internal const ulong MS_NOATIME = 0x400;
    internal const ulong MS_BIND = 0x1000;
    internal const ulong MS_MOVE = 0x2000;

    internal const uint EPOLLIN = 1;
    internal const uint EPOLLPRI = 2;
    internal const uint EPOLLOUT = 4;
    internal const uint EPOLLERR = 8;
    internal const uint EPOLLHUP = 0x10;
    internal const uint EPOLLRDHUP = 0x2000;
    internal const uint EPOLLET = 1u << 31;
    internal const int EPOLL_CTL_ADD = 1;
    internal const int EPOLL_CTL_DEL = 2;
    internal const int EPOLL_CTL_MOD = 3;
    internal const int EPOLL_CLOEXEC = O_CLOEXEC;

    internal const int EFD_CLOEXEC = O_CLOEXEC;
    internal const int EFD_NONBLOCK = O_NONBLOCK;
    internal const int SFD_CLOEXEC = O_CLOEXEC;
    internal const int SFD_NONBLOCK = O_NONBLOCK;

    internal const short POLLIN = 1;
    internal const short POLLPRI = 2;
    internal const short POLLOUT = 4;

    internal const int SIGHUP = 1;
    internal const int SIGKILL = 9;
    internal const int SIGCONT = 18;
    internal const int SIGCHLD = 17;

    internal const int P_ALL = 0;
    internal const int P_PID = 1;
    internal const int P_PIDFD = 3;
    internal const int WNOHANG = 1;
    internal const int WEXITED = 4;
    internal const int WNOWAIT = 0x01000000;
    internal const int WALL = 0x40000000;
    internal const int CLD_EXITED = 1;

    internal const int AF_UNIX = 1;
    internal const int AF_INET = 2;
    internal const int AF_INET6 = 10;
    internal const int AF_NETLINK = 16;
    internal const int SOCK_STREAM = 1;
    internal const int SOCK_DGRAM = 2;
    internal const int SOCK_RAW = 3;
    internal const int SOCK_CLOEXEC = O_CLOEXEC;
    internal const int SOCK_NONBLOCK = O_NONBLOCK;
    internal const int SOL_SOCKET = 1;
    internal const int SO_REUSEADDR = 2;
    internal const int MSG_NOSIGNAL = 0x4000;
    internal const int NETLINK_KOBJECT_UEVENT = 15;

    internal const int IPPROTO_IP = 0;
    internal const int IPPROTO_TCP = 6;
    internal const int IPPROTO_IPV6 = 41;
    internal const int SO_ERROR = 4;
    internal const int SO_LINGER = 13;
    internal const int SO_ORIGINAL_DST = 80;
    internal const int IPV6_V6ONLY = 26;
    internal const int TCP_NODELAY = 1;
    internal const int SHUT_WR = 1;
    internal const int EINPROGRESS = 115;

    internal const int PROT_READ_WRITE = 3;
    internal const int MAP_PRIVATE = 2;
    internal const int MAP_ANONYMOUS = 0x20;
    internal const int MAP_POPULATE = 0x8000;

    internal const int RLIMIT_CPU = 0;
    internal const int RLIMIT_FSIZE = 1;
    internal const int RLIMIT_NOFILE = 7;
    internal const int RLIMIT_AS = 9;
    internal const int CLOCK_REALTIME = 0;

    internal const int ENXIO = 6;
    internal const int E2BIG = 7;
    internal const int ECHILD = 10;
    internal const int EFBIG = 27;
    internal const int EROFS = 30;
    internal const int ENAMETOOLONG = 36;
}
