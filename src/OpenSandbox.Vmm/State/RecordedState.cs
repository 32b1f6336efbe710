using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>Where a recorded sandbox is in its life.</summary>
[JsonConverter(typeof(StrictEnumConverter<RecordedState>))]
internal enum RecordedState
{
    /// <summary>A VM runs it, or did until its host or VM died.</summary>
    Running,

    /// <summary>It sleeps in a snapshot.</summary>
    Hibernated,

    /// <summary>It is being deleted, the next start finishes that.</summary>
    Deleting,
}
