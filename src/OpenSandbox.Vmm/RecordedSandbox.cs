using System.Collections.ObjectModel;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <summary>A sandbox as its state directory has it, seen from outside of the host that it belongs to.</summary>
public sealed record RecordedSandbox
{
    internal RecordedSandbox(SandboxManifest manifest, SandboxState state)
    {
        Id = manifest.Id;
        State = state;
        CreatedAt = manifest.CreatedAt;
        Image = manifest.Sandbox.Image;
        MemoryMib = manifest.Sandbox.Limits.MemoryMib;
        Lifetime = manifest.Lifetime == RecordedLifetime.Detached ? SandboxLifetime.Detached : SandboxLifetime.Attached;
        Labels = new ReadOnlyDictionary<string, string>(new Dictionary<string, string>(manifest.Sandbox.Labels, StringComparer.Ordinal));
    }

    /// <summary>Its id.</summary>
    public string Id { get; }

    /// <summary>
    /// What it is, if it is left alone: <see cref="SandboxState.Running"/>, <see cref="SandboxState.Hibernated"/>,
    /// <see cref="SandboxState.Crashed"/>, or <see cref="SandboxState.Stopping"/> if its deletion was interrupted. Its owner may be changing it.
    /// </summary>
    public SandboxState State { get; }

    /// <summary>When it was made, UTC.</summary>
    public DateTimeOffset CreatedAt { get; }

    /// <summary>Name or digest of its image.</summary>
    public string? Image { get; }

    /// <summary>Its memory, MiB.</summary>
    public int MemoryMib { get; }

    /// <summary>What its VM lives as long as.</summary>
    public SandboxLifetime Lifetime { get; }

    /// <summary>Its labels.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; }
}
