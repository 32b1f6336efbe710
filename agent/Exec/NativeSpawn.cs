using System.Runtime.InteropServices;

namespace OpenSandbox.Agent;

/// <summary>native/spawn.c, linked statically.</summary>
internal static partial class NativeSpawn
{
    /// <summary>Starts a process; the calling thread stands still until it has called execve or failed.</summary>
    /// <param name="block">What to start; takes pid and pidfd, or step and errno.</param>
    /// <returns>0, or -1.</returns>
    [LibraryImport("opensandbox_native", EntryPoint = "osb_spawn")]
    internal static partial int Spawn(ref SpawnBlock block);

    /// <summary>Makes the runtime's signal handlers deaf to signals that other processes send.</summary>
    [LibraryImport("opensandbox_native", EntryPoint = "osb_guard_signals")]
    internal static partial void GuardSignals();
}
