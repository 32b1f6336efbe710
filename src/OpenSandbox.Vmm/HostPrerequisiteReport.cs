namespace OpenSandbox.Vmm;

/// <summary>What <see cref="HostPrerequisites.CheckAsync"/> found.</summary>
public sealed class HostPrerequisiteReport
{
    internal HostPrerequisiteReport(IReadOnlyList<HostPrerequisite> items) => Items = items;

    /// <summary>Everything that was looked at, in the order in which it is needed.</summary>
    public IReadOnlyList<HostPrerequisite> Items { get; }

    /// <summary>Whether sandboxes can be made here.</summary>
    public bool IsSatisfied => Items.All(static item => item.Status != HostPrerequisiteStatus.Missing);

    /// <summary>Why no sandbox can be made, with what to do, as one line; <see langword="null"/> if they can. For tests that skip.</summary>
    public string? Reason => IsSatisfied
        ? null
        : string.Join("; ", Items
            .Where(static item => item.Status == HostPrerequisiteStatus.Missing)
            .Select(static item => item.Remedy is null ? $"{item.Name}: {item.Detail}" : $"{item.Name}: {item.Detail} ({item.Remedy})"));
}
