using System.Text;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Copying;

/// <summary>Files on this machine that are to be copied.</summary>
internal static class LocalFile
{
    private const int CurrentDirectory = -100;
    private const int NoFollow = 0x100;
    private const uint TypeAndMode = 3;
    private const int TypeBits = 0xF000;
    private const int Regular = 0x8000;

    /// <summary>Whether a path is a regular file: opening anything else may wait for ever, or do something.</summary>
    internal static bool IsRegular(string path) =>
        Libc.Statx(CurrentDirectory, [.. Encoding.UTF8.GetBytes(path), 0], NoFollow, TypeAndMode, out StatxBuffer stat) == 0
        && (stat.Mode & TypeBits) == Regular;
}
