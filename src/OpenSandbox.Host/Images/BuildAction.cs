namespace OpenSandbox.Host.Images;

/// <summary>One thing that is done to build an image; exactly one of the properties beyond the first two is set.</summary>
/// <param name="Step">Number of the step that it is part of, from 1.</param>
/// <param name="Type">The step's type.</param>
internal sealed record BuildAction(int Step, string Type)
{
    /// <summary>A command, not read by a shell.</summary>
    internal string[]? Command { get; init; }

    /// <summary>A file.</summary>
    internal (string Path, byte[] Content)? File { get; init; }

    /// <summary>Variables from here on.</summary>
    internal Dictionary<string, string>? Environment { get; init; }

    /// <summary>Where commands run from here on.</summary>
    internal string? Directory { get; init; }
}
