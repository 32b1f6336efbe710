using System.Text.Json;
using System.Text.Json.Serialization;

namespace OpenSandbox.Cli.Control;

/// <summary>Source-generated JSON of the control protocol.</summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.General,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UseStringEnumConverter = true)]
[JsonSerializable(typeof(ControlRequest))]
[JsonSerializable(typeof(ControlFailure))]
[JsonSerializable(typeof(ControlNothing))]
[JsonSerializable(typeof(ControlExit))]
[JsonSerializable(typeof(ControlGap))]
[JsonSerializable(typeof(ControlStarted))]
[JsonSerializable(typeof(ProcessRow[]))]
[JsonSerializable(typeof(UsageRow))]
[JsonSerializable(typeof(ControlFileEntry))]
[JsonSerializable(typeof(KeptSandboxInfo))]
[JsonSerializable(typeof(HibernationRow))]
[JsonSerializable(typeof(WakeRow))]
[JsonSerializable(typeof(PauseRow))]
[JsonSerializable(typeof(CheckpointRow))]
[JsonSerializable(typeof(ForkRow))]
internal sealed partial class ControlJsonContext : JsonSerializerContext;
