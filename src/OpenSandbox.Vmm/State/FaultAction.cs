namespace OpenSandbox.Vmm.State;

/// <summary>What happens at a failpoint.</summary>
internal enum FaultAction
{
    /// <summary>SIGKILL to the own process.</summary>
    Kill,

    /// <summary><see cref="FaultInjectedException"/>.</summary>
    Throw,

    /// <summary>An <see cref="IOException"/> as for a full disk.</summary>
    NoSpace,

    /// <summary>An <see cref="IOException"/> as for a broken disk.</summary>
    InputOutput,

    /// <summary>The thread waits.</summary>
    Delay,
}
