using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Control;

/// <summary>What stands between a kept sandbox's QEMU and the host.</summary>
internal sealed record KeptIsolation
{
    /// <summary>The strongest level of which everything is in force.</summary>
    public required IsolationLevel Level { get; init; }

    /// <summary>What the boundary is with the accelerator in use.</summary>
    public required string Boundary { get; init; }

    /// <summary>Every control.</summary>
    public required IReadOnlyList<IsolationControlState> Controls { get; init; }

    internal static KeptIsolation? From(SandboxIsolation? isolation) => isolation is null
        ? null
        : new KeptIsolation { Level = isolation.Level, Boundary = isolation.Boundary, Controls = isolation.Controls };
}
