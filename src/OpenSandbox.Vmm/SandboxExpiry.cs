using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <summary>When a sandbox's time is up, and what happens then. Immutable; use <c>with</c> for variations. See docs/expiry.md.</summary>
/// <example>
/// <code>
/// var spec = new SandboxSpec
/// {
///     Expiry = new SandboxExpiry { IdleTimeout = TimeSpan.FromMinutes(5), Action = SandboxExpiryAction.Hibernate, AutoWake = true },
/// };
/// </code>
/// </example>
public sealed record SandboxExpiry
{
    /// <summary>The shortest time that can be given.</summary>
    public static readonly TimeSpan MinTime = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest time that can be given: 36,500 days.</summary>
    public static readonly TimeSpan MaxTime = TimeSpan.FromDays(36_500);

    /// <summary>A sandbox whose time is never up and that wakes only when it is told to: the default.</summary>
    public static SandboxExpiry Never { get; } = new();

    /// <summary>
    /// How long it may run without being used, <see cref="MinTime"/> to <see cref="MaxTime"/>; <see langword="null"/>: for ever. Default: null.
    /// </summary>
    public TimeSpan? IdleTimeout { get; init; }

    /// <summary>
    /// How long it may be there, used or not, from when this was set: when the sandbox was made or forked, or by
    /// <see cref="Sandbox.SetExpiryAsync"/>. <see cref="MinTime"/> to <see cref="MaxTime"/>; <see langword="null"/>: for ever. Default: null.
    /// </summary>
    public TimeSpan? Lifetime { get; init; }

    /// <summary>
    /// Until when it may be there, instead of <see cref="Lifetime"/>: a point in the future, at most <see cref="MaxTime"/> away. Default: null.
    /// </summary>
    public DateTimeOffset? Deadline { get; init; }

    /// <summary>What happens when its time is up. Default: <see cref="SandboxExpiryAction.Kill"/>.</summary>
    public SandboxExpiryAction Action { get; init; }

    /// <summary>
    /// Whether a call that uses it (a command, files, a connection) wakes it if it is hibernated, and then goes on. Default: no, such a call
    /// throws <see cref="SandboxStateException"/>.
    /// </summary>
    public bool AutoWake { get; init; }

    /// <summary>The record's form of the action.</summary>
    internal ExpiryAction RecordedAction => Action == SandboxExpiryAction.Hibernate ? ExpiryAction.Hibernate : ExpiryAction.Kill;

    /// <exception cref="ArgumentException">It makes no sense; the message says why.</exception>
    internal void Validate(DateTimeOffset now)
    {
        ThrowIfOutside(IdleTimeout, "an idle timeout", nameof(IdleTimeout));
        ThrowIfOutside(Lifetime, "a lifetime", nameof(Lifetime));
        if (Lifetime is not null && Deadline is not null)
        {
            throw new ArgumentException("a lifetime and a deadline: give one of them", nameof(Deadline));
        }

        if (Deadline is DateTimeOffset deadline && (deadline <= now || deadline - now > MaxTime))
        {
            throw new ArgumentException(
                $"a deadline of {deadline:O}: it must be in the future, and at most {MaxTime.TotalDays:0} days from now ({now:O})", nameof(Deadline));
        }

        if (!Enum.IsDefined(Action))
        {
            throw new ArgumentException($"an expiry action of {Action}: Kill or Hibernate", nameof(Action));
        }
    }

    private static void ThrowIfOutside(TimeSpan? time, string what, string name)
    {
        if (time is TimeSpan given && (given < MinTime || given > MaxTime))
        {
            throw new ArgumentException(
                $"{what} of {given}: it must be from {MinTime.TotalSeconds} s to {MaxTime.TotalDays:0} days, or null for none",
                name);
        }
    }
}
