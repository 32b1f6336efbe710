using System.Text.Json.Serialization;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Isolation;

/// <summary>How a VM was confined when it was started: what the next host cannot find out by looking at it.</summary>
/// <param name="Mode">The jail that was asked for.</param>
/// <param name="OwnUser">Whether it got a uid of its own from root.</param>
/// <param name="FileRules">Whether Landlock was asked for.</param>
/// <param name="Missing">What the launcher reported as missing: <c>CONTROL</c> or <c>CONTROL: WHY</c>.</param>
/// <param name="Cgroups">Directory of each controller that a host cgroup limits.</param>
/// <param name="FixedBytes">Memory that its cgroup allows besides what is plugged in.</param>
internal sealed record VmConfinement(
    [property: JsonConverter(typeof(StrictEnumConverter<IsolationLevel>))] IsolationLevel Mode,
    bool OwnUser,
    bool FileRules,
    IReadOnlyList<string> Missing,
    IReadOnlyDictionary<IsolationControl, string> Cgroups,
    long FixedBytes)
{
    private const int MaxMissing = 32;
    private const int MaxTextLength = 4_096;

    /// <summary>What is wrong with one that was read from disk; null if it can be used.</summary>
    internal string? FindFault() =>
        !Enum.IsDefined(Mode) || Missing is null || Cgroups is null ? "its confinement is incomplete"
        : Missing.Count > MaxMissing || Missing.Any(static text => text is null || text.Length > MaxTextLength) ? "what it lacks is no launcher's report"
        : Cgroups.Any(static entry => !CgroupSites.AllControllers.Contains(entry.Key)
            || entry.Value is not { Length: > 1 and <= MaxTextLength } || !Path.IsPathFullyQualified(entry.Value)) ? "its cgroups are none"
        : FixedBytes < 0 ? "its memory is negative"
        : null;

    /// <summary>Whether the other says the same.</summary>
    public bool Equals(VmConfinement? other) =>
        other is not null && Mode == other.Mode && OwnUser == other.OwnUser && FileRules == other.FileRules && FixedBytes == other.FixedBytes
        && Missing.SequenceEqual(other.Missing, StringComparer.Ordinal)
        && Cgroups.Count == other.Cgroups.Count
        && Cgroups.All(entry => other.Cgroups.TryGetValue(entry.Key, out string? directory) && directory == entry.Value);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Mode, OwnUser, FixedBytes, Missing.Count, Cgroups.Count);
}
