using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>When a sandbox's time is up, and what happens then.</summary>
internal sealed record ExpiryRecord
{
    /// <summary>How long it may be idle, milliseconds; <see langword="null"/>: for ever.</summary>
    public long? IdleTimeoutMs { get; init; }

    /// <summary>Its lifetime, milliseconds, if that is what the deadline comes from: renewed, and for forks, it counts anew.</summary>
    public long? LifetimeMs { get; init; }

    /// <summary>When its time is up at the latest, UTC; <see langword="null"/>: never.</summary>
    public DateTimeOffset? DeadlineUtc { get; init; }

    /// <summary>What happens then.</summary>
    [JsonRequired]
    public ExpiryAction Action { get; init; }

    /// <summary>When it was last used, UTC, as far as that was written down.</summary>
    [JsonRequired]
    public DateTimeOffset LastActivityUtc { get; init; }

    /// <summary>Whether the next use of it wakes it up.</summary>
    [JsonRequired]
    public bool AutoWake { get; init; }

    /// <summary>The same as its owner set it.</summary>
    internal static SandboxExpiry ToExpiry(ExpiryRecord? record) => record is null
        ? SandboxExpiry.Never
        : new SandboxExpiry
        {
            IdleTimeout = record.IdleTimeoutMs is long idleMs ? TimeSpan.FromMilliseconds(idleMs) : null,
            Lifetime = record.LifetimeMs is long lifetimeMs ? TimeSpan.FromMilliseconds(lifetimeMs) : null,
            Deadline = record.LifetimeMs is null ? record.DeadlineUtc : null,
            Action = record.Action == ExpiryAction.Hibernate ? SandboxExpiryAction.Hibernate : SandboxExpiryAction.Kill,
            AutoWake = record.AutoWake,
        };

    internal void Validate(string field)
    {
        ManifestRules.Require(Enum.IsDefined(Action), $"{field}.action", $"{Action} is none");
        ManifestRules.Range(IdleTimeoutMs ?? 1, 1, (long)TimeSpan.FromDays(36_500).TotalMilliseconds, $"{field}.idleTimeoutMs");
        ManifestRules.Range(LifetimeMs ?? 1, 1, (long)TimeSpan.FromDays(36_500).TotalMilliseconds, $"{field}.lifetimeMs");
        if (DeadlineUtc is DateTimeOffset deadline)
        {
            ManifestRules.Utc(deadline, $"{field}.deadlineUtc");
        }

        ManifestRules.Utc(LastActivityUtc, $"{field}.lastActivityUtc");
    }
}
