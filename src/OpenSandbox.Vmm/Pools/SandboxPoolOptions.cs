namespace OpenSandbox.Vmm;

/// <summary>
/// A pool of machines that are started before they are asked for, for one kind of sandbox. <see cref="SandboxHost.CreateAsync"/> and
/// <see cref="SandboxHost.CreateAndExecAsync"/> take from it by themselves where image and workspace match, whatever else the spec says;
/// what comes of it is the same sandbox, sooner. Immutable.
/// </summary>
/// <remarks>
/// <para>A <em>hot</em> machine has been restored and is stopped: it takes what its guest has written since (a few MiB) and QEMU's own
/// memory. A <em>parked</em> one has started and waits for the rest of its state: it takes QEMU's own memory. Neither uses the CPU.</para>
/// <para>Hot machines are taken first, then parked ones; where there are none, the sandbox starts as if there were no pool.</para>
/// </remarks>
public sealed record SandboxPoolOptions
{
    /// <summary>The most machines of a kind that a pool keeps.</summary>
    internal const int MaxTarget = 256;

    /// <summary>As in <see cref="SandboxSpec.Image"/>. Default: <c>default</c>.</summary>
    public string? Image { get; init; } = "default";

    /// <summary>As in <see cref="SandboxSpec.Workspace"/>; without an image it says nothing. Default: yes.</summary>
    public bool Workspace { get; init; } = true;

    /// <summary>How many hot machines are kept; with <see cref="Adaptive"/>: at most. 0 to 256. Default: 0.</summary>
    public int HotTarget { get; init; }

    /// <summary>How many parked machines are kept; with <see cref="Adaptive"/>: at most. 0 to 256. Default: 0.</summary>
    public int ParkedTarget { get; init; }

    /// <summary>
    /// Makes the sizes follow demand: as many machines are kept as were lately asked for at once (within a second, or the time to start
    /// one where that is longer), hot ones first. Without new demand that number halves every minute. Default: no.
    /// </summary>
    public bool Adaptive { get; init; }

    /// <summary>How many hot machines are kept without any demand, with <see cref="Adaptive"/>. 0 to <see cref="HotTarget"/>. Default: 0.</summary>
    public int HotMinimum { get; init; }

    /// <summary>How many parked machines are kept without any demand, with <see cref="Adaptive"/>. 0 to <see cref="ParkedTarget"/>. Default: 0.</summary>
    public int ParkedMinimum { get; init; }

    /// <summary>Machines older than this are replaced, one after the other. 1 second to 1 day. Default: 1 hour.</summary>
    public TimeSpan MaxAge { get; init; } = TimeSpan.FromHours(1);

    /// <summary>
    /// In which a machine from the pool must have become the sandbox; one that has not is dropped, and the sandbox starts as if there were no
    /// pool, with <see cref="SandboxHostOptions.StartTimeout"/> from then on. 10 ms to 1 minute. Default: 10 s, because a host that is
    /// overloaded is slow with all machines; one that is dead is found out at once.
    /// </summary>
    public TimeSpan ClaimTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// The pool starts machines only while the host has this much more memory available than
    /// <see cref="SandboxHostOptions.HostMemoryReserveMib"/>, MiB, and gives machines back while it has less than half of it. 0 to 1,048,576.
    /// Default: 512.
    /// </summary>
    public int MemoryMarginMib { get; init; } = 512;

    /// <summary>The sandboxes that it is for; workspaces need an image.</summary>
    internal SandboxSpec Spec => new() { Image = Image, Workspace = Workspace };

    internal bool Fits(SandboxSpec spec) => Image == spec.Image && (Image is null || Workspace == spec.Workspace);

    internal void Validate()
    {
        if (Image is not null)
        {
            ArgumentException.ThrowIfNullOrWhiteSpace(Image);
        }

        ThrowIfOutside(HotTarget, 0, MaxTarget, nameof(HotTarget));
        ThrowIfOutside(ParkedTarget, 0, MaxTarget, nameof(ParkedTarget));
        ThrowIfOutside(HotMinimum, 0, HotTarget, nameof(HotMinimum));
        ThrowIfOutside(ParkedMinimum, 0, ParkedTarget, nameof(ParkedMinimum));
        ThrowIfOutside(MaxAge, TimeSpan.FromSeconds(1), TimeSpan.FromDays(1), nameof(MaxAge));
        ThrowIfOutside(ClaimTimeout, TimeSpan.FromMilliseconds(10), TimeSpan.FromMinutes(1), nameof(ClaimTimeout));
        ThrowIfOutside(MemoryMarginMib, 0, 1_048_576, nameof(MemoryMarginMib));
    }

    private static void ThrowIfOutside<T>(T value, T low, T high, string name)
        where T : IComparable<T>
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, low, name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, high, name);
    }
}
