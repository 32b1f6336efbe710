namespace OpenSandbox.Vmm.State;

/// <summary>What kind of thing the sweeper looks at.</summary>
internal enum SweepKind
{
    /// <summary>A sandbox whose deletion was interrupted.</summary>
    Sandbox,

    /// <summary>A hibernation snapshot.</summary>
    Snapshot,

    /// <summary>A layer.</summary>
    Layer,

    /// <summary>What was being made or removed when its process ended.</summary>
    Leftover,

    /// <summary>A VM's runtime directory.</summary>
    Runtime,

    /// <summary>A golden snapshot.</summary>
    Golden,

    /// <summary>A root file system image, or the rest of an import.</summary>
    Image,

    /// <summary>A VM that no sandbox owns.</summary>
    Machine,
}
