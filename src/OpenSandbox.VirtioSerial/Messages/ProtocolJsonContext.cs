using System.Text.Json;
using System.Text.Json.Serialization;

namespace OpenSandbox.VirtioSerial;

/// <summary>Source-generated JSON of all payloads: camelCase, nulls left out and refused where a value is required, depth at most 8, unknown fields ignored.</summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.General,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectNullableAnnotations = true,
    MaxDepth = 8)]
[JsonSerializable(typeof(OpenRequest))]
[JsonSerializable(typeof(ResumeResult))]
[JsonSerializable(typeof(StartedReply))]
[JsonSerializable(typeof(ExecResultMessage))]
[JsonSerializable(typeof(ProcessEntry))]
[JsonSerializable(typeof(ProcessLogResult))]
[JsonSerializable(typeof(UsageResult))]
[JsonSerializable(typeof(SignalRequest))]
[JsonSerializable(typeof(FileEntry))]
[JsonSerializable(typeof(FileResult))]
[JsonSerializable(typeof(ListResult))]
[JsonSerializable(typeof(HostReply))]
[JsonSerializable(typeof(AgentError))]
[JsonSerializable(typeof(AgentHello))]
[JsonSerializable(typeof(HostWelcome))]
[JsonSerializable(typeof(QuiesceRequest))]
[JsonSerializable(typeof(QuiesceReply))]
[JsonSerializable(typeof(ThawRequest))]
[JsonSerializable(typeof(ThawedReply))]
[JsonSerializable(typeof(ItemHead))]
[JsonSerializable(typeof(ItemReply))]
[JsonSerializable(typeof(ItemError))]
[JsonSerializable(typeof(WatchEvent))]
[JsonSerializable(typeof(LimitsResult))]
public sealed partial class ProtocolJsonContext : JsonSerializerContext;
