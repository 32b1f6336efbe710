namespace OpenSandbox.VirtioSerial;

/// <summary>Head of the reply to <see cref="Operations.Start"/> and <see cref="Operations.Attach"/>.</summary>
public sealed record ProcessAttached
{
    /// <summary>The process: 8 hexadecimal digits, unique in the sandbox.</summary>
    public required string Id { get; init; }

    /// <summary>Sequence number of the first byte that this stream will send.</summary>
    public long Sequence { get; init; }

    /// <summary>Sequence number at which output begins that was not there yet when the stream was attached.</summary>
    public long ReplayEnd { get; init; }

    /// <summary>Whether it runs on a terminal.</summary>
    public bool Terminal { get; init; }
}
