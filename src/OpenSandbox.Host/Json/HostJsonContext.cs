using System.Text.Json;
using System.Text.Json.Serialization;
using OpenSandbox.Host.Api;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Images;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Usage;

namespace OpenSandbox.Host.Json;

/// <summary>Every shape that is read or written. Names are camelCase; what is null is left out.</summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.Web,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    NumberHandling = JsonNumberHandling.Strict,
    MaxDepth = 32)]
[JsonSerializable(typeof(ErrorBody))]
[JsonSerializable(typeof(StatusReply))]
[JsonSerializable(typeof(CreateSandboxRequest))]
[JsonSerializable(typeof(SandboxReply))]
[JsonSerializable(typeof(SandboxReply[]))]
[JsonSerializable(typeof(TimeoutRequest))]
[JsonSerializable(typeof(ExecRequest))]
[JsonSerializable(typeof(ExecReply))]
[JsonSerializable(typeof(ExecHandleReply))]
[JsonSerializable(typeof(ExecResultReply))]
[JsonSerializable(typeof(FileReply[]))]
[JsonSerializable(typeof(SignUrlRequest))]
[JsonSerializable(typeof(SignedUrlReply))]
[JsonSerializable(typeof(SessionReply))]
[JsonSerializable(typeof(SessionReply[]))]
[JsonSerializable(typeof(KillRequest))]
[JsonSerializable(typeof(PtyRequest))]
[JsonSerializable(typeof(CheckpointRequest))]
[JsonSerializable(typeof(CheckpointReply))]
[JsonSerializable(typeof(CheckpointReply[]))]
[JsonSerializable(typeof(RestoreReply))]
[JsonSerializable(typeof(ForkRequest))]
[JsonSerializable(typeof(LimitsBody))]
[JsonSerializable(typeof(TagsReply))]
[JsonSerializable(typeof(AutoscaleBody))]
[JsonSerializable(typeof(ScalingLockBody))]
[JsonSerializable(typeof(AllowedHostsReply))]
[JsonSerializable(typeof(TagKeysReply))]
[JsonSerializable(typeof(HistoryReply[]))]
[JsonSerializable(typeof(ImageEntry))]
[JsonSerializable(typeof(SnapshotEntry))]
[JsonSerializable(typeof(BuildLine))]
[JsonSerializable(typeof(SnapshotRequest))]
[JsonSerializable(typeof(SnapshotReply))]
[JsonSerializable(typeof(SnapshotReply[]))]
[JsonSerializable(typeof(TemplateReply))]
[JsonSerializable(typeof(TemplateReply[]))]
[JsonSerializable(typeof(CheckpointEntry))]
[JsonSerializable(typeof(PatchRequest))]
[JsonSerializable(typeof(PatchReply[]))]
[JsonSerializable(typeof(NewPatchReply))]
[JsonSerializable(typeof(PreviewRequest))]
[JsonSerializable(typeof(PreviewReply))]
[JsonSerializable(typeof(PreviewReply[]))]
[JsonSerializable(typeof(PreviewTokenReply))]
[JsonSerializable(typeof(UsageDay))]
[JsonSerializable(typeof(UsageReply))]
[JsonSerializable(typeof(SandboxUsageReply))]
[JsonSerializable(typeof(Dictionary<string, string>))]
[JsonSerializable(typeof(SandboxEntry))]
internal sealed partial class HostJsonContext : JsonSerializerContext;
