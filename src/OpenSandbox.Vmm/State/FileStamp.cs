using System.Text.Json.Serialization;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.State;

/// <summary>
/// What tells that a file has not been touched since: whoever writes to it, replaces it or copies it changes at least one of these, and the
/// time of change cannot be set by anybody.
/// </summary>
/// <remarks>
/// The device's number is not part of it: on several file systems it is another one after each start of the machine, and files would count
/// as changed that nobody touched.
/// </remarks>
internal sealed record FileStamp
{
    /// <summary>Number of the inode.</summary>
    [JsonRequired]
    public ulong Inode { get; init; }

    /// <summary>Length, bytes.</summary>
    [JsonRequired]
    public long Bytes { get; init; }

    /// <summary>When its content was last changed, nanoseconds since 1970.</summary>
    [JsonRequired]
    public long ModifiedNs { get; init; }

    /// <summary>When its content, mode, owner or names were last changed, nanoseconds since 1970.</summary>
    [JsonRequired]
    public long ChangedNs { get; init; }

    internal static FileStamp Of(in StatxBuffer status) => new()
    {
        Inode = status.Inode,
        Bytes = (long)status.Size,
        ModifiedNs = Nanoseconds(status.ModifiedSeconds, status.ModifiedNanoseconds),
        ChangedNs = Nanoseconds(status.ChangedSeconds, status.ChangedNanoseconds),
    };

    internal void Validate(string field) => ManifestRules.Range(Bytes, 0, SavedFile.MaxBytes, $"{field}.bytes");

    private static long Nanoseconds(long seconds, uint nanoseconds) => unchecked((seconds * 1_000_000_000) + nanoseconds);
}
