namespace OpenSandbox.Vmm;

/// <summary>A control that is required (<see cref="IsolationRequirement"/>) cannot be had here. No guest has run without it.</summary>
public sealed class SandboxIsolationException : SandboxException
{
    internal SandboxIsolationException(string? sandboxId, IsolationControl control, string reason, string remedy, Exception? inner = null)
        : base(SandboxErrorCode.Isolation, sandboxId, $"{control} is required and not to be had: {reason}. {remedy}", inner)
    {
        Control = control;
        Remedy = remedy;
    }

    /// <summary>What is missing.</summary>
    public IsolationControl Control { get; }

    /// <summary>What to do about it.</summary>
    public string Remedy { get; }
}
