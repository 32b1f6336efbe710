using System.Buffers.Binary;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>System calls of one pseudo-terminal. Paths are not involved, which the sandbox could change.</summary>
internal static class PseudoTerminal
{
    /// <summary>Group of terminals, as devpts is mounted.</summary>
    private const uint TerminalGroup = 5;

    private const nuint TCGETS = 0x5401;
    private const nuint TIOCGPGRP = 0x540F;
    private const nuint TIOCSWINSZ = 0x5414;
    private const nuint TIOCGPTPEER = 0x5441;
    private const nuint TIOCSPTLCK = 0x40045431;
    private const int ControlCharacters = 17; // struct termios of the kernel: four u32, the line discipline, then c_cc
    private const int EndOfFile = 4;
    private const byte ControlD = 4;

    /// <summary>Makes a terminal.</summary>
    /// <param name="devPts">Descriptor of the devpts file system's root.</param>
    /// <param name="request">Its size.</param>
    /// <param name="owner">Who it belongs to.</param>
    /// <returns>The agent's end, nonblocking, and the process's.</returns>
    internal static (int Master, int Slave) Open(int devPts, TerminalRequest request, uint owner)
    {
        int master = GuestException.Check(
            Libc.OpenAt(devPts, "ptmx"u8, Linux.O_RDWR | Linux.O_NOCTTY | Linux.O_CLOEXEC | Linux.O_NONBLOCK | Linux.O_NOFOLLOW, 0), "open ptmx");
        int slave = -1;
        try
        {
            int unlocked = 0;
            _ = GuestException.Check(Libc.IoCtlInt(master, TIOCSPTLCK, ref unlocked), "TIOCSPTLCK");
            Resize(master, request.Columns, request.Rows);
            slave = GuestException.Check(Libc.IoCtlValue(master, TIOCGPTPEER, Linux.O_RDWR | Linux.O_NOCTTY | Linux.O_CLOEXEC), "TIOCGPTPEER");
            _ = GuestException.Check(Libc.FChOwn(slave, owner, TerminalGroup), "chown of the terminal");
            return (master, slave);
        }
        catch
        {
            _ = Libc.Close(master);
            if (slave >= 0)
            {
                _ = Libc.Close(slave);
            }

            throw;
        }
    }

    /// <summary>Sets the size; the foreground processes get SIGWINCH if it is another one.</summary>
    internal static void Resize(int master, int columns, int rows)
    {
        if (columns is < 1 or > ushort.MaxValue || rows is < 1 or > ushort.MaxValue)
        {
            GuestException.ThrowInvalid("terminal: 1 to 65535 columns and rows");
        }

        Span<byte> size = stackalloc byte[8]; // struct winsize: rows, columns, and pixels that nobody counts
        size.Clear();
        BinaryPrimitives.WriteUInt16LittleEndian(size, (ushort)rows);
        BinaryPrimitives.WriteUInt16LittleEndian(size[2..], (ushort)columns);
        _ = GuestException.Check(Libc.IoCtl(master, TIOCSWINSZ, size), "TIOCSWINSZ");
    }

    /// <summary>The character that means end of file at the beginning of a line.</summary>
    internal static byte EndOfFileCharacter(int master)
    {
        Span<byte> settings = stackalloc byte[64];
        settings.Clear();
        return Libc.IoCtl(master, TCGETS, settings) < 0 || settings[ControlCharacters + EndOfFile] == 0
            ? ControlD
            : settings[ControlCharacters + EndOfFile];
    }

    /// <summary>Sends SIGHUP to the foreground processes and to the process that leads the session.</summary>
    internal static void HangUp(int master, int leader)
    {
        int foreground = 0;
        if (Libc.IoCtlInt(master, TIOCGPGRP, ref foreground) == 0 && foreground > 1 && foreground != leader)
        {
            _ = Libc.KillProcess(-foreground, Linux.SIGHUP);
            _ = Libc.KillProcess(-foreground, Linux.SIGCONT);
        }

        _ = Libc.KillProcess(-leader, Linux.SIGHUP);
        _ = Libc.KillProcess(-leader, Linux.SIGCONT);
    }
}
