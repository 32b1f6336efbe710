namespace OpenSandbox.Qmp;

/// <summary>Deadlines and bounds of a <see cref="QmpClient"/>. Immutable; every value out of its range throws <see cref="ArgumentOutOfRangeException"/> when it is set.</summary>
public sealed record QmpClientOptions
{
    /// <summary>The longest deadline that can be asked for.</summary>
    internal static readonly TimeSpan MaxTimeout = TimeSpan.FromDays(1);

    /// <summary>Limit for greeting and negotiation together. Default 10 s; more than 0, at most one day.</summary>
    public TimeSpan ConnectTimeout { get; init => field = CheckTimeout(value); } = TimeSpan.FromSeconds(10);

    /// <summary>Limit for each command that is not given its own. Default 10 s; more than 0, at most one day.</summary>
    public TimeSpan CommandTimeout { get; init => field = CheckTimeout(value); } = TimeSpan.FromSeconds(10);

    /// <summary>Longest line taken from QEMU, in bytes, line end not counted. Default 1 MiB; 4 KiB to 64 MiB.</summary>
    /// <remarks>
    /// The limit is checked before more is buffered. The result of one command takes up to about 13 times this much memory (the text and
    /// the index of its <see cref="System.Text.Json.JsonElement"/>) if QEMU means harm.
    /// </remarks>
    public int MaxLineBytes { get; init => field = CheckRange(value, 4 * 1024, 64 * 1024 * 1024); } = 1024 * 1024;

    /// <summary>Commands that may be waiting for their replies. Default 128; 1 to 4,096. One more throws <see cref="InvalidOperationException"/>.</summary>
    public int MaxInFlightCommands { get; init => field = CheckRange(value, 1, 4096); } = 128;

    /// <summary>Events that a subscription holds for its reader; the oldest is dropped for the next. Default 256; 1 to 65,536.</summary>
    public int EventQueueCapacity { get; init => field = CheckRange(value, 1, 65536); } = 256;

    /// <summary>Memory that the waiting events of a subscription may take, in bytes. Default 1 MiB; 4 KiB to 1 GiB. The oldest are dropped until the rest fits; a single event is always kept.</summary>
    public int EventQueueBytes { get; init => field = CheckRange(value, 4 * 1024, 1024 * 1024 * 1024); } = 1024 * 1024;

    /// <summary>Clock and timers of all deadlines. Default <see cref="System.TimeProvider.System"/>.</summary>
    public TimeProvider TimeProvider { get; init => field = value ?? throw new ArgumentNullException(nameof(value)); } = TimeProvider.System;

    /// <summary>Returns <paramref name="value"/> when it can serve as a deadline.</summary>
    internal static TimeSpan CheckTimeout(TimeSpan value)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(value, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, MaxTimeout);
        return value;
    }

    private static int CheckRange(int value, int least, int most)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, least);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, most);
        return value;
    }
}
