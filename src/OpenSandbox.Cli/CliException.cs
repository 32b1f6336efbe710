namespace OpenSandbox.Cli;

/// <summary>This program failed for a reason that it can name: what failed, why, and what to do, as one sentence or two.</summary>
internal sealed class CliException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What belongs to it but not on one line, such as the end of a build's output.</summary>
    internal string? Detail { get; init; }
}
