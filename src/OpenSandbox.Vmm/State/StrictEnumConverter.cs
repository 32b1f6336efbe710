using System.Text.Json;
using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>Enums by their names alone: a number in their place is an error.</summary>
internal sealed class StrictEnumConverter<T>() : JsonStringEnumConverter<T>(JsonNamingPolicy.CamelCase, allowIntegerValues: false)
    where T : struct, Enum;
