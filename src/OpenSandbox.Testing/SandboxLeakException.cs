namespace OpenSandbox.Testing;

/// <summary>Tests have left sandboxes running. They have been ended; the message names them and the tests.</summary>
public sealed class SandboxLeakException : Exception
{
    internal SandboxLeakException(IReadOnlyList<string> sandboxes)
        : base($"{sandboxes.Count} sandbox{(sandboxes.Count == 1 ? " was" : "es were")} not disposed of: {string.Join("; ", sandboxes)}. "
            + "Write 'await using' before the sandbox, or derive the test class from SandboxTest") =>
        Sandboxes = sandboxes;

    /// <summary>Each sandbox's id and where it was made.</summary>
    public IReadOnlyList<string> Sandboxes { get; }
}
