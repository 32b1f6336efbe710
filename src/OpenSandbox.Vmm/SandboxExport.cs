namespace OpenSandbox.Vmm;

/// <summary>An archive that was written.</summary>
public sealed record SandboxExport
{
    internal SandboxExport(long bytes, string sha256, bool hasMemory, TimeSpan duration)
    {
        Bytes = bytes;
        Sha256 = sha256;
        HasMemory = hasMemory;
        Duration = duration;
    }

    /// <summary>Its length, bytes.</summary>
    public long Bytes { get; }

    /// <summary>The SHA-256 that it ends with, over everything before: lower-case hexadecimal.</summary>
    public string Sha256 { get; }

    /// <summary>Whether memory is in it.</summary>
    public bool HasMemory { get; }

    /// <summary>From the call until it was complete, and durable if it is a file.</summary>
    public TimeSpan Duration { get; }
}
