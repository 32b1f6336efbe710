using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>What a snapshot is for.</summary>
[JsonConverter(typeof(StrictEnumConverter<SnapshotKind>))]
internal enum SnapshotKind
{
    /// <summary>A sandbox sleeps in it. It lives as long as that sandbox's manifest names it.</summary>
    Hibernation,

    /// <summary>Made to come back to, or to make other sandboxes from. It lives until it is deleted.</summary>
    Checkpoint,
}
