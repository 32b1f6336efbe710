using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Control;

/// <summary>A sandbox that came back, as <c>wake --json</c> prints it.</summary>
internal sealed record WakeRow
{
    /// <summary>Its id.</summary>
    public required string Id { get; init; }

    /// <summary>Whether it went on with all its memory, and was not booted from its disks.</summary>
    public bool MemoryRestored { get; init; }

    /// <summary>Why not.</summary>
    public string[] Reasons { get; init; } = [];

    /// <summary>How long it took, milliseconds.</summary>
    public double Milliseconds { get; init; }

    internal static WakeRow From(string id, SandboxWake woken) => new()
    {
        Id = id,
        MemoryRestored = woken.MemoryRestored,
        Reasons = [.. woken.Reasons],
        Milliseconds = woken.Duration.TotalMilliseconds,
    };
}
