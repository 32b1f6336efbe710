namespace OpenSandbox.Qmp.Protocol;

/// <summary>One line from QEMU, checked. Holds a slice of the line: dead once the line's buffer is reused.</summary>
internal readonly ref struct Message
{
    /// <summary>What the line is.</summary>
    internal required MessageKind Kind { get; init; }

    /// <summary>Return and error: the command's id.</summary>
    internal long Id { get; init; }

    /// <summary>The greeting, the returned value, the error object or the event's data: well-formed JSON, or empty for an event without data.</summary>
    internal ReadOnlySpan<byte> Payload { get; init; }

    /// <summary>Number of JSON tokens in <see cref="Payload"/>.</summary>
    internal int PayloadTokens { get; init; }

    /// <summary>Event: its name; empty otherwise.</summary>
    internal string EventName { get; init; }

    /// <summary>Event: when it happened; null when QEMU does not know.</summary>
    internal DateTimeOffset? Timestamp { get; init; }
}
