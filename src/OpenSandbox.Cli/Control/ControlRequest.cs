namespace OpenSandbox.Cli.Control;

/// <summary>Asks a keeper for an operation. What belongs to the operation is in the property of its name.</summary>
internal sealed record ControlRequest
{
    /// <summary>One of <see cref="ControlOperation"/>.</summary>
    public required string Operation { get; init; }

    /// <summary>Of <see cref="ControlOperation.Execute"/>.</summary>
    public ControlCommand? Command { get; init; }

    /// <summary>Of the operations on files.</summary>
    public ControlFile? File { get; init; }

    /// <summary>Of <see cref="ControlOperation.Connect"/>.</summary>
    public int? Port { get; init; }

    /// <summary>Of <see cref="ControlOperation.Output"/>.</summary>
    public ControlOutput? Output { get; init; }

    /// <summary>Of the operations on the sandbox as a whole.</summary>
    public ControlChange? Change { get; init; }
}
