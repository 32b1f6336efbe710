namespace OpenSandbox.Host.Api;

/// <summary>What sandboxes are made of that name no image.</summary>
internal sealed record TemplateReply(string TemplateID, string Name, string Tag, string Status);
