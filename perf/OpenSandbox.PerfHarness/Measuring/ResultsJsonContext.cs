using System.Text.Json;
using System.Text.Json.Serialization;

namespace OpenSandbox.PerfHarness.Measuring;

/// <summary>JSON of the results.</summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.General,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    WriteIndented = true)]
[JsonSerializable(typeof(IReadOnlyList<RowResult>))]
internal sealed partial class ResultsJsonContext : JsonSerializerContext;
