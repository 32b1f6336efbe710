using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Control;

/// <summary>A kept sandbox, or its keeper, said no.</summary>
internal sealed class KeptSandboxException(ControlFailure failure) : Exception(failure.Message)
{
    /// <summary>What it said.</summary>
    internal ControlFailure Failure => failure;

    /// <summary>The step of starting a process that failed, if that is what it was.</summary>
    internal ProcessStartStep? Step => Enum.TryParse(failure.Step, out ProcessStartStep step) ? step : null;

    /// <summary>The library's name for what went wrong, where it is one.</summary>
    internal SandboxErrorCode? Code => Enum.TryParse(failure.Code, out SandboxErrorCode code) ? code : null;
}
