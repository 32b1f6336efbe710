using System.Text.Json.Serialization;
using OpenSandbox.Host.Api;

namespace OpenSandbox.Host.Json;

/// <summary>
/// How an image is read: names as they are written, each once. What is built is exactly what its hash is made of, which another spelling or a
/// second member of the same name would get around.
/// </summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    PropertyNameCaseInsensitive = false,
    AllowDuplicateProperties = false,
    NumberHandling = JsonNumberHandling.Strict,
    MaxDepth = 32)]
[JsonSerializable(typeof(ImageManifest))]
internal sealed partial class ImageJsonContext : JsonSerializerContext;
