using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Control;

/// <summary>A kept sandbox, or its keeper, said no.</summary>
internal sealed class KeptSandboxException(ControlFailure failure) : Exception(failure.Message)
{
    /// <summary>What it said.</summary>
    internal ControlFailure Failure => failure;

    /// <summary>The library's name for what went wrong, where it is one.</summary>
    internal SandboxErrorCode? Code => Enum.TryParse(failure.Code, out SandboxErrorCode code) ? code : null;
}
