using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>clock_settime(2).</summary>
    [LibraryImport("libc", EntryPoint = "clock_settime", SetLastError = true)]
    internal static partial int ClockSetTime(int clock, in TimeSpec time);
}
