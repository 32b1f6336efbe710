using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Keeping;

/// <summary>
/// Where kept sandboxes are found: <c>run</c> below the state directory has a socket for each, and the log of its keeper. Only the user
/// who made it may enter.
/// </summary>
internal sealed class KeeperDirectory(string stateDirectory)
{
    private const string SocketEnding = ".sock";
    private const string LogEnding = ".log";
    private const string IdStart = "sb-";
    private const int ShortestId = 11;
    private const int LongestId = 35;

    private static readonly SearchValues<char> s_idDigits = SearchValues.Create("0123456789abcdef");

    /// <summary>Bytes of sockaddr_un.sun_path without the NUL.</summary>
    private const int MaxSocketPath = 107;

    /// <summary>How long the log of a keeper that is gone is worth keeping.</summary>
    private static readonly TimeSpan s_logLife = TimeSpan.FromDays(1);

    /// <summary>The state directory that it belongs to.</summary>
    internal string StateDirectory { get; } = Path.GetFullPath(stateDirectory);

    /// <summary>The folder.</summary>
    internal string Folder { get; } = Path.Combine(Path.GetFullPath(stateDirectory), "run");

    /// <summary>Whether a text can be the id of a sandbox; anything else must not become part of a path.</summary>
    internal static bool IsId(string text) => text.Length is >= ShortestId and <= LongestId
        && text.StartsWith(IdStart, StringComparison.Ordinal)
        && !text.AsSpan(IdStart.Length).ContainsAnyExcept(s_idDigits);

    /// <summary>The socket of a sandbox.</summary>
    internal string SocketOf(string id) => Path.Combine(Folder, id + SocketEnding);

    /// <summary>The log of a sandbox's keeper.</summary>
    internal string LogOf(string id) => Path.Combine(Folder, id + LogEnding);

    /// <summary>The log of a keeper that has no sandbox yet.</summary>
    internal string LogOfStarting(int pid) => Path.Combine(Folder, string.Create(CultureInfo.InvariantCulture, $"keeper-{pid}{LogEnding}"));

    /// <summary>Makes the folder, and removes logs that nobody will read any more.</summary>
    /// <exception cref="CliException">It is not safe to use.</exception>
    internal void Prepare()
    {
        Directory.CreateDirectory(Folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        Check();
        foreach (string log in Directory.EnumerateFiles(Folder, $"*{LogEnding}"))
        {
            if (!File.Exists(Path.ChangeExtension(log, SocketEnding)) && TimeProvider.System.GetUtcNow().UtcDateTime - File.GetLastWriteTimeUtc(log) > s_logLife)
            {
                File.Delete(log);
            }
        }
    }

    /// <summary>The ids of all sandboxes that have a socket; whether it is alive, only connecting tells.</summary>
    internal IReadOnlyList<string> List()
    {
        if (!Directory.Exists(Folder))
        {
            return [];
        }

        Check();
        return [.. Directory.EnumerateFiles(Folder, $"*{SocketEnding}")
            .Select(static path => Path.GetFileNameWithoutExtension(path))
            .Where(IsId)
            .Order(StringComparer.Ordinal)];
    }

    /// <summary>Removes what a keeper that was killed has left.</summary>
    internal void RemoveStale(string id)
    {
        File.Delete(SocketOf(id));
        File.Delete(LogOf(id));
    }

    /// <summary>Listens on the socket of a sandbox. Nobody sees the socket before it is ready.</summary>
    internal Socket Listen(string id)
    {
        string temporary = $"{id}.{Environment.ProcessId}";
        string path = Path.Combine(Folder, temporary);
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            using (AddressOf(temporary, out UnixDomainSocketEndPoint address))
            {
                socket.Bind(address);
            }

            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            const int backlog = 64;
            socket.Listen(backlog);

            // Not over another's: of two sandboxes with one id the second must not hide the first.
            if (File.Exists(SocketOf(id)))
            {
                throw new IOException($"there is a socket of another sandbox {id}");
            }

            File.Move(path, SocketOf(id));
            return socket;
        }
        catch
        {
            socket.Dispose();
            File.Delete(path);
            throw;
        }
    }

    /// <summary>Connects to a sandbox's socket.</summary>
    /// <param name="id">The sandbox.</param>
    /// <param name="limit">How long it may take: it waits only for a keeper that has far too much to do.</param>
    /// <exception cref="SocketException">There is none, or nobody listens.</exception>
    internal Socket Connect(string id, TimeSpan limit)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            using (AddressOf(id + SocketEnding, out UnixDomainSocketEndPoint address))
            {
                // socket(7): it limits connecting as well. The runtime's own way to set it would start its machinery for asynchronous sockets.
                SetSendTimeout(socket, limit);
                socket.Connect(address);
                SetSendTimeout(socket, TimeSpan.Zero);
            }

            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>The address of a socket in the folder, however long the folder's name is.</summary>
    /// <returns>What has to stay open while the address is used.</returns>
    private SafeFileHandle? AddressOf(string name, out UnixDomainSocketEndPoint address)
    {
        string path = Path.Combine(Folder, name);
        if (Encoding.UTF8.GetByteCount(path) <= MaxSocketPath)
        {
            address = new UnixDomainSocketEndPoint(path);
            return null;
        }

        SafeFileHandle folder = Libc.Open(Folder, Libc.O_PATH | Libc.O_DIRECTORY | Libc.O_CLOEXEC, 0);
        if (folder.IsInvalid)
        {
            throw Errno.LastError($"open {Folder}");
        }

        address = new UnixDomainSocketEndPoint($"/proc/self/fd/{folder.DangerousGetHandle()}/{name}");
        return folder;
    }

    private static void SetSendTimeout(Socket socket, TimeSpan limit)
    {
        const int solSocket = 1, soSndTimeo = 21;

        // struct timeval: seconds and microseconds, eight bytes each; both 0 mean none.
        Span<byte> time = stackalloc byte[16];
        time.Clear();
        BinaryPrimitives.WriteInt64LittleEndian(time, (long)limit.TotalSeconds);
        socket.SetRawSocketOption(solSocket, soSndTimeo, time);
    }

    /// <summary>A folder that others may write could have sockets that are not ours.</summary>
    private void Check()
    {
        const UnixFileMode others = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute
            | UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;
        var folder = new DirectoryInfo(Folder);
        if (folder.LinkTarget is not null || (folder.UnixFileMode & others) != UnixFileMode.None)
        {
            throw new CliException($"{Folder} is open to other users, so that the sandboxes in it cannot be trusted. Close it: chmod 700 {Folder}");
        }
    }
}
