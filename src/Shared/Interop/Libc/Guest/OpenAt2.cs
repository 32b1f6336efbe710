using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    private const long OpenAt2Number = 437;
    private const long OpenHowSize = 24;

    /// <summary>openat2(2), for which the C library has no function. <paramref name="path"/> ends in NUL.</summary>
    internal static int OpenAt2(int directory, ReadOnlySpan<byte> path, in OpenHow how) =>
        (int)OpenAt2Call(OpenAt2Number, directory, path, how, OpenHowSize);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long OpenAt2Call(long number, long directory, ReadOnlySpan<byte> path, in OpenHow how, long size);
}
