namespace OpenSandbox.Host.Errors;

/// <summary>The body of every error.</summary>
internal sealed record ErrorBody
{
    /// <summary>What failed, why, and what can be done.</summary>
    public required string Error { get; init; }

    /// <summary>A word for programs.</summary>
    public string? Code { get; init; }

    /// <summary>Whether the same request may succeed later; left out when it will not.</summary>
    public bool? Retryable { get; init; }

    /// <summary>Whether the sandbox is being woken meanwhile; left out when it is not.</summary>
    public bool? Waking { get; init; }

    /// <summary>More about it.</summary>
    public string? Details { get; init; }
}
