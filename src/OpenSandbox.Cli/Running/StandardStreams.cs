using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Running;

/// <summary>
/// Descriptors 0, 1 and 2 as they are. The runtime's own console streams take a broken pipe for success and read a terminal through a
/// line editor; a command in a sandbox needs to know of the first and must not meet the second.
/// </summary>
internal static class StandardStreams
{
    internal const int Input = 0;
    internal const int Output = 1;
    internal const int Error = 2;

    private const short PollIn = 1;
    private const short PollOut = 4;
    private const int GetDescriptorFlags = 1;
    private const int CloseOnExec = 1;

    private static readonly bool[] s_inherited = [IsInherited(Input), IsInherited(Output), IsInherited(Error)];

    /// <summary>
    /// Whether the program was started with this descriptor. A closed one is soon reused for a file of the runtime's; such a file, unlike
    /// everything inherited, is marked to be closed on exec.
    /// </summary>
    internal static bool WasInherited(int descriptor) => s_inherited[descriptor];

    private static bool IsInherited(int descriptor)
    {
        using var handle = new SafeFileHandle(descriptor, ownsHandle: false);
        int flags = Libc.Fcntl(handle, GetDescriptorFlags, 0);
        return flags >= 0 && (flags & CloseOnExec) == 0;
    }

    /// <summary>Reads what there is, waiting for something. 0 is the end.</summary>
    /// <exception cref="IOException">It cannot be read, a directory for example.</exception>
    internal static int Read(Span<byte> buffer)
    {
        while (true)
        {
            nint count = Libc.Read(Input, buffer, (nuint)buffer.Length);
            if (count >= 0)
            {
                return (int)count;
            }

            WaitOrThrow(Input, PollIn, "standard input cannot be read");
        }
    }

    /// <summary>Writes everything, waiting for room.</summary>
    /// <exception cref="BrokenPipeException">Nobody reads it any more.</exception>
    /// <exception cref="IOException">It cannot be written.</exception>
    internal static void Write(int descriptor, ReadOnlySpan<byte> bytes)
    {
        if (!s_inherited[descriptor])
        {
            throw new IOException($"{NameOf(descriptor)} is closed");
        }

        while (!bytes.IsEmpty)
        {
            nint count = Libc.Write(descriptor, bytes, (nuint)bytes.Length);
            if (count >= 0)
            {
                bytes = bytes[(int)count..];
            }
            else
            {
                WaitOrThrow(descriptor, PollOut, $"{NameOf(descriptor)} cannot be written");
            }
        }
    }

    private static string NameOf(int descriptor) => descriptor == Output ? "standard output" : "standard error";

    /// <summary>After a failed call: returns when it is worth another try.</summary>
    private static void WaitOrThrow(int descriptor, short events, string what)
    {
        int errno = Marshal.GetLastPInvokeError();
        switch (errno)
        {
            case Errno.EINTR:
                return;
            case Errno.EPIPE:
                throw new BrokenPipeException();
            case Errno.EAGAIN:
                // Another holder of the same terminal or pipe has made it non-blocking. A failure here shows again in the next try.
                var interest = new PollFd { Fd = descriptor, Events = events };
                _ = Libc.Poll(ref interest, 1, -1);
                return;
            default:
                throw new IOException($"{what}: {Marshal.GetPInvokeErrorMessage(errno)}", errno);
        }
    }
}
