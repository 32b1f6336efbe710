namespace OpenSandbox.Testing;

/// <summary>The host of a <see cref="SandboxFixture"/> did not start, or must not be missing; the message and the inner exception say why.</summary>
public sealed class SandboxFixtureException : Exception
{
    internal SandboxFixtureException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
