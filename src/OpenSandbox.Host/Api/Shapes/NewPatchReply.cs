namespace OpenSandbox.Host.Api;

/// <summary>A script that has been added.</summary>
internal sealed record NewPatchReply(PatchReply Patch);
