namespace OpenSandbox.Vmm;

/// <summary>The sandbox is in the wrong state for the call.</summary>
public sealed class SandboxStateException : SandboxException
{
    internal SandboxStateException(string sandboxId, SandboxState actual, SandboxState required, Exception? inner = null)
        : base(SandboxErrorCode.WrongState, sandboxId, $"sandbox {sandboxId} is {actual}, but the call needs {required}", inner)
    {
        Actual = actual;
        Required = required;
    }

    internal SandboxStateException(string sandboxId, SandboxState actual, SandboxState required, string remedy)
        : base(SandboxErrorCode.WrongState, sandboxId, $"sandbox {sandboxId} is {actual}, but the call needs {required}: {remedy}", null)
    {
        Actual = actual;
        Required = required;
    }

    /// <summary>The state it is in.</summary>
    public SandboxState Actual { get; }

    /// <summary>The state that the call needs.</summary>
    public SandboxState Required { get; }
}
