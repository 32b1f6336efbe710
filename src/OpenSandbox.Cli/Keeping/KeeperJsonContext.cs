using System.Text.Json;
using System.Text.Json.Serialization;

namespace OpenSandbox.Cli.Keeping;

/// <summary>Source-generated JSON between a keeper and whoever starts it.</summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.General,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UseStringEnumConverter = true)]
[JsonSerializable(typeof(KeeperRequest))]
[JsonSerializable(typeof(KeeperMessage))]
internal sealed partial class KeeperJsonContext : JsonSerializerContext;
