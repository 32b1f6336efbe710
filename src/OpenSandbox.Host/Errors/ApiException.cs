namespace OpenSandbox.Host.Errors;

/// <summary>A request is answered with an error.</summary>
/// <param name="status">The HTTP status.</param>
/// <param name="message">What the client is told.</param>
/// <param name="inner">Why.</param>
internal sealed class ApiException(int status, string message, Exception? inner = null) : Exception(message, inner)
{
    internal int Status { get; } = status;

    /// <summary>A word for programs.</summary>
    internal string? Code { get; init; }

    /// <summary>Whether the same request may succeed later.</summary>
    internal bool Retryable { get; init; }

    /// <summary>After how many seconds.</summary>
    internal int? RetryAfter { get; init; }

    /// <summary>More about it.</summary>
    internal string? Details { get; init; }

    internal static ApiException Bad(string message) => new(StatusCodes.Status400BadRequest, message);

    internal static ApiException NotFound(string message) => new(StatusCodes.Status404NotFound, message);
}
