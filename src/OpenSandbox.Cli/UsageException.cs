namespace OpenSandbox.Cli;

/// <summary>The command line is wrong in a way that only shows after parsing.</summary>
internal sealed class UsageException(string message) : Exception(message);
