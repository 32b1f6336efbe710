using OpenSandbox.Host.Json;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>What is told about all sandboxes together, and what each may reach.</summary>
internal sealed class FleetEndpoints(SandboxService sandboxes)
{
    private const int MaxListed = 1_000;

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/tags", ListTagsAsync);
        routes.MapGet("/api/sessions", ListHistoryAsync);
        routes.MapGet("/api/sandboxes/{id}/allowed-hosts", GetAllowedHostsAsync);
    }

    private Task ListTagsAsync(HttpContext context)
    {
        TagKeyReply[] keys = [.. sandboxes.Entries.All
            .Where(static entry => entry.EndedAt is null)
            .SelectMany(static entry => entry.Tags)
            .GroupBy(static tag => tag.Key, StringComparer.Ordinal)
            .OrderBy(static group => group.Key, StringComparer.Ordinal)
            .Select(static group => new TagKeyReply(
                group.Key, group.Count(), group.Select(static tag => tag.Value).Distinct(StringComparer.Ordinal).Count()))];
        return JsonBody.WriteAsync(context, new TagKeysReply(keys), HostJsonContext.Default.TagKeysReply);
    }

    private Task ListHistoryAsync(HttpContext context)
    {
        HistoryReply[] rows = [.. sandboxes.Entries.All.OrderByDescending(static entry => entry.StartedAt).Take(MaxListed).Select(Describe)];
        return JsonBody.WriteAsync(context, rows, HostJsonContext.Default.HistoryReplyArray);
    }

    private Task GetAllowedHostsAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        EgressPolicy policy = sandbox.Network.Policy;
        string[] allowed = policy.DefaultAction == EgressAction.Allow
            ? []
            : [.. policy.Rules.Where(static rule => rule.Action == EgressAction.Allow).Select(static rule => rule.Target)];
        var reply = new AllowedHostsReply(sandbox.Id, allowed, new Dictionary<string, string[]>(StringComparer.Ordinal));
        return JsonBody.WriteAsync(context, reply, HostJsonContext.Default.AllowedHostsReply);
    }

    private HistoryReply Describe(SandboxEntry entry) => new()
    {
        Id = entry.Id,
        SandboxId = entry.Id,
        Template = entry.TemplateId,
        Status = entry.EndedAt is null && sandboxes.Host.TryGet(entry.Id, out Sandbox? sandbox) ? SandboxEndpoints.StatusOf(sandbox.State) : "stopped",
        StartedAt = entry.StartedAt,
        StoppedAt = entry.EndedAt,
        ErrorMsg = entry.EndReason,
    };
}
