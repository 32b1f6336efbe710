namespace OpenSandbox.Host.Usage;

/// <summary>What a sandbox has used in the hour that begins at <paramref name="At"/>.</summary>
internal readonly record struct UsagePoint(DateTimeOffset At, UsageHour Used);
