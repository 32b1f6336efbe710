using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

/// <summary>struct timespec.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct TimeSpec
{
    /// <summary>Whole seconds.</summary>
    internal long Seconds;

    /// <summary>0 to 999,999,999.</summary>
    internal long Nanoseconds;
}
