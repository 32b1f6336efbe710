namespace OpenSandbox.Host.Tests;

/// <summary>A hang fails instead of hanging.</summary>
internal static class Deadline
{
    internal static CancellationToken In(int seconds = 120) => new CancellationTokenSource(TimeSpan.FromSeconds(seconds)).Token;
}
