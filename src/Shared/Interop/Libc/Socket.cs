using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>socket(2). The runtime's own sockets remove the name that they were bound to when they are closed here.</summary>
    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    internal static partial SafeFileHandle Socket(int domain, int type, int protocol);
}
