namespace OpenSandbox.Vmm;

/// <summary>How a process is attached to. Immutable; every setting has a default.</summary>
public sealed record AttachOptions
{
    internal static AttachOptions Default { get; } = new();

    /// <summary>
    /// Number of the first byte of output wanted. Where it is not kept any more, reading begins with a gap, whatever
    /// the delivery; where it has not been written yet, reading begins there. Default: see <see cref="FromNow"/>.
    /// </summary>
    public long? FromSequence { get; init; }

    /// <summary>Only what comes from now on, instead of everything that is kept. Has no meaning with <see cref="FromSequence"/>.</summary>
    public bool FromNow { get; init; }

    /// <summary>What happens when this reader is slower than the process. Default: <see cref="OutputDelivery.Lossy"/>.</summary>
    public OutputDelivery Delivery { get; init; } = OutputDelivery.Lossy;

    /// <summary>Whether this handle may write standard input. Default: no.</summary>
    public bool Input { get; init; }

    internal void Validate() => ArgumentOutOfRangeException.ThrowIfNegative(FromSequence ?? 0, nameof(FromSequence));
}
