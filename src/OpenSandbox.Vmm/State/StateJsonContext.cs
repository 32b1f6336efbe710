using System.Text.Json;
using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>
/// Source-generated JSON of the manifests. Strict: a field that this version does not know would be lost with the next commit, so that a
/// manifest which has one is not read at all.
/// </summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.General,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    WriteIndented = true,
    NewLine = "\n",
    MaxDepth = 16,
    AllowDuplicateProperties = false,
    RespectNullableAnnotations = true,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(SandboxManifest))]
[JsonSerializable(typeof(SnapshotManifest))]
[JsonSerializable(typeof(ManifestHeader))]
[JsonSerializable(typeof(Archives.ArchiveManifest))]
internal sealed partial class StateJsonContext : JsonSerializerContext;
