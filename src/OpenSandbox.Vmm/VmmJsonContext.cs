using System.Text.Json;
using System.Text.Json.Serialization;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Images;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm;

/// <summary>Source-generated JSON of everything that this library keeps on disk.</summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.General, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, MaxDepth = 16,
    RespectNullableAnnotations = true)]
[JsonSerializable(typeof(GoldenIdentity))]
[JsonSerializable(typeof(GoldenManifest))]
[JsonSerializable(typeof(ImageManifest))]
[JsonSerializable(typeof(ImageReference))]
[JsonSerializable(typeof(QemuFacts))]
[JsonSerializable(typeof(AcceleratorVerdict))]
[JsonSerializable(typeof(VmRecord))]
internal sealed partial class VmmJsonContext : JsonSerializerContext;
