using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Running;

namespace OpenSandbox.Cli.Reporting;

/// <summary>Source-generated JSON of everything that this program prints.</summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.General,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UseStringEnumConverter = true)]
[JsonSerializable(typeof(RunReport))]
[JsonSerializable(typeof(ImageRow[]))]
[JsonSerializable(typeof(DoctorReport))]
[JsonSerializable(typeof(KeptSandboxInfo[]))]
[JsonSerializable(typeof(ProcessRow[]))]
[JsonSerializable(typeof(UsageRow))]
[JsonSerializable(typeof(HibernationRow))]
[JsonSerializable(typeof(WakeRow))]
[JsonSerializable(typeof(PauseRow))]
[JsonSerializable(typeof(CheckpointRow))]
[JsonSerializable(typeof(CheckpointRow[]))]
[JsonSerializable(typeof(ForkRow))]
[JsonSerializable(typeof(ExportRow))]
[JsonSerializable(typeof(ImportRow))]
[JsonSerializable(typeof(PruneRow))]
internal sealed partial class CliJsonContext : JsonSerializerContext
{
    /// <summary>The same, leaving characters beyond ASCII as they are: this is for terminals and programs, never for web pages.</summary>
    internal static CliJsonContext Readable => field ??=
        new(new JsonSerializerOptions(Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}
