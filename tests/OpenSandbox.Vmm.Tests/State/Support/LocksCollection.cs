namespace OpenSandbox.Vmm.Tests.State;

/// <summary>
/// Tests that say which files are locked and which are swept run when no other test does: a process that is being started has, between fork
/// and exec, every descriptor of this one, and with them its locks. The product keeps what is locked; here it would look like a leak.
/// </summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class LocksCollection
{
    /// <summary>The name of the collection.</summary>
    internal const string Name = "Locks";
}
