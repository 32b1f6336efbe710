using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>What happens to a sandbox whose time is up.</summary>
[JsonConverter(typeof(StrictEnumConverter<ExpiryAction>))]
internal enum ExpiryAction
{
    /// <summary>It is ended and deleted.</summary>
    Kill,

    /// <summary>It is put to sleep.</summary>
    Hibernate,
}
