namespace OpenSandbox.Vmm.Tests.Network;

internal static class Limits
{
    /// <summary>Longest that a test waits for something that should happen at once: then it hangs, and fails instead.</summary>
    internal static readonly TimeSpan Wait = TimeSpan.FromSeconds(20);

    /// <summary>A token that ends a wait which would otherwise never end.</summary>
    internal static CancellationToken Token => new CancellationTokenSource(Wait).Token;
}
