namespace OpenSandbox.Interop;

/// <summary>The frame API of the system's liblz4 (1.9 or later).</summary>
internal static partial class Lz4
{
    internal const string Library = "liblz4.so.1";

    /// <summary>LZ4F_VERSION.</summary>
    internal const uint ApiVersion = 100;
}
