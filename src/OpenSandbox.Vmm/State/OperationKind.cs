using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>A change of a sandbox that takes several steps.</summary>
[JsonConverter(typeof(StrictEnumConverter<OperationKind>))]
internal enum OperationKind
{
    /// <summary>It is being made.</summary>
    Create,

    /// <summary>It is being put to sleep.</summary>
    Hibernate,

    /// <summary>It is being woken up.</summary>
    Wake,

    /// <summary>A checkpoint of it is being made.</summary>
    Checkpoint,

    /// <summary>It is being taken back to a checkpoint.</summary>
    Restore,

    /// <summary>It is being made from a snapshot of another.</summary>
    Fork,

    /// <summary>Its layers are being merged.</summary>
    Flatten,

    /// <summary>It is being deleted.</summary>
    Delete,
}
