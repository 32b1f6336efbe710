using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>What a sandbox's VM lives as long as.</summary>
[JsonConverter(typeof(StrictEnumConverter<RecordedLifetime>))]
internal enum RecordedLifetime
{
    /// <summary>Its host process.</summary>
    Attached,

    /// <summary>Itself: it survives its host process, and the next one takes it over.</summary>
    Detached,
}
