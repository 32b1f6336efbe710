namespace OpenSandbox.Vmm.State;

/// <summary>Where things are in a state directory. Ids are checked before they become parts of a path.</summary>
internal sealed class StateLayout
{
    /// <summary>Name of the file that describes a sandbox or snapshot.</summary>
    internal const string ManifestName = "manifest.json";

    /// <summary>Name of the file whose lock says which host process owns a sandbox.</summary>
    internal const string LockName = "lock";

    /// <summary>Ending of the name of a layer's file.</summary>
    internal const string LayerEnding = ".qcow2";

    internal StateLayout(string stateDirectory)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(stateDirectory);
        Root = Path.GetFullPath(stateDirectory);
        Sandboxes = Path.Combine(Root, "sandboxes");
        Snapshots = Path.Combine(Root, "snapshots");
        Layers = Path.Combine(Root, "layers");
        Golden = Path.Combine(Root, "golden");
        StateLock = Path.Combine(Root, "state.lock");
        StateQueue = Path.Combine(Root, "state.queue");
    }

    internal string Root { get; }

    internal string Sandboxes { get; }

    internal string Snapshots { get; }

    internal string Layers { get; }

    internal string Golden { get; }

    /// <summary>Held shared by operations, exclusively by the sweeper.</summary>
    internal string StateLock { get; }

    /// <summary>
    /// Held shared by operations for the instant in which they take <see cref="StateLock"/>, and exclusively by a sweeper that has waited long:
    /// flock lets new shared holders in for ever while somebody waits for the exclusive lock.
    /// </summary>
    internal string StateQueue { get; }

    internal string Sandbox(string id)
    {
        StateIds.RequireSandbox(id);
        return Path.Combine(Sandboxes, id);
    }

    internal string SandboxManifest(string id) => Path.Combine(Sandbox(id), ManifestName);

    internal string SandboxLock(string id) => Path.Combine(Sandbox(id), LockName);

    internal string Snapshot(string id)
    {
        StateIds.RequireSnapshot(id);
        return Path.Combine(Snapshots, id);
    }

    internal string SnapshotManifest(string id) => Path.Combine(Snapshot(id), ManifestName);

    internal string Layer(string id) => Path.Combine(Layers, LayerName(id));

    internal static string LayerName(string id)
    {
        StateIds.RequireLayer(id);
        return id + LayerEnding;
    }
}
