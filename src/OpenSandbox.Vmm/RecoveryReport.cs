namespace OpenSandbox.Vmm;

/// <summary>What a host found when it looked for the sandboxes of earlier ones.</summary>
public sealed record RecoveryReport
{
    /// <summary>Sandboxes whose VMs were running: they are this host's now and can be used.</summary>
    public required IReadOnlyList<Sandbox> Adopted { get; init; }

    /// <summary>Sandboxes that are hibernated.</summary>
    public required IReadOnlyList<Sandbox> Hibernated { get; init; }

    /// <summary>Detached sandboxes whose VMs are gone: they can be booted from their disks.</summary>
    public required IReadOnlyList<Sandbox> Crashed { get; init; }

    /// <summary>Ids of sandboxes that another host has.</summary>
    public required IReadOnlyList<string> Elsewhere { get; init; }

    /// <summary>What could not be recovered, each with the reason. It is left as it is.</summary>
    public required IReadOnlyList<string> Problems { get; init; }

    /// <summary>What was removed: unfinished and unwanted files, and VMs that no sandbox owns.</summary>
    public required IReadOnlyList<string> Swept { get; init; }

    /// <summary>How long it took until the sandboxes could be used.</summary>
    public required TimeSpan Duration { get; init; }
}
