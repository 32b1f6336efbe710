namespace OpenSandbox.Vmm;

/// <summary>What stands between one QEMU and the host, control by control. Immutable.</summary>
public sealed class SandboxIsolation
{
    private static readonly IsolationControl[] s_rootless =
    [
        IsolationControl.Namespaces, IsolationControl.OwnRoot, IsolationControl.NoCapabilities, IsolationControl.FileRules,
        IsolationControl.SystemCallFilter, IsolationControl.NoNewPrivileges, IsolationControl.ResourceLimits, IsolationControl.SealedMemory,
    ];

    // Own root and own uid leave no file that Landlock would have to keep from being opened.
    private static readonly IsolationControl[] s_full =
    [
        IsolationControl.OwnUser, IsolationControl.Namespaces, IsolationControl.OwnRoot, IsolationControl.OwnProc,
        IsolationControl.NoCapabilities, IsolationControl.NoGroups, IsolationControl.SystemCallFilter, IsolationControl.NoNewPrivileges,
        IsolationControl.ResourceLimits, IsolationControl.SealedMemory,
    ];

    internal SandboxIsolation(IReadOnlyList<IsolationControlState> controls, string boundary)
    {
        Controls = controls;
        Boundary = boundary;
        Level = s_full.All(IsInForce) ? IsolationLevel.Full : s_rootless.All(IsInForce) ? IsolationLevel.Rootless : IsolationLevel.None;
    }

    /// <summary>The strongest level of which everything is in force.</summary>
    public IsolationLevel Level { get; }

    /// <summary>Every control, in the order of the enumeration.</summary>
    public IReadOnlyList<IsolationControlState> Controls { get; }

    /// <summary>What the boundary is with this accelerator, for people.</summary>
    public string Boundary { get; }

    /// <summary>The controls that are not in force.</summary>
    public IEnumerable<IsolationControlState> Missing => Controls.Where(static state => !state.InForce);

    /// <summary>Whether a control is in force.</summary>
    /// <param name="control">Which.</param>
    /// <returns>Whether it is.</returns>
    public bool IsInForce(IsolationControl control) => Controls.Any(state => state.Control == control && state.InForce);

    /// <summary>The controls that belong to a level.</summary>
    internal static IReadOnlyList<IsolationControl> Of(IsolationLevel? level) => level switch
    {
        IsolationLevel.Full => s_full,
        IsolationLevel.Rootless => s_rootless,
        _ => [],
    };

    /// <summary>The first control that is required and not in force; null if all are.</summary>
    internal IsolationControlState? FindLack(IsolationRequirement requirement)
    {
        // Root's jail is as good without Landlock: it has no file that another sandbox could open.
        IEnumerable<IsolationControl> required = Level == IsolationLevel.Full && requirement.Level is not null ? s_full : Of(requirement.Level);
        return Controls.FirstOrDefault(state => !state.InForce && (required.Contains(state.Control) || requirement.Controls.Contains(state.Control)));
    }
}
