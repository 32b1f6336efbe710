using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>Sizes and tags.</summary>
internal sealed class LimitEndpoints(SandboxService sandboxes, ServerOptions options)
{
    private const int MemoryStep = 128;
    private const int MaxTags = 50;
    private const int MaxTagKey = 128;
    private const int MaxTagValue = 256;
    private const string ReservedTags = "oc:";

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPut("/api/sandboxes/{id}/limits", SetLimitsAsync);
        routes.MapPost("/api/sandboxes/{id}/scale", ScaleAsync);
        routes.MapGet("/api/sandboxes/{id}/tags", GetTagsAsync);
        routes.MapPut("/api/sandboxes/{id}/tags", SetTagsAsync);
    }

    private async Task SetLimitsAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        LimitsBody request = await JsonBody.ReadAsync(context, HostJsonContext.Default.LimitsBody).ConfigureAwait(false);
        await ResizeAsync(context, sandbox, request).ConfigureAwait(false);
    }

    private async Task ScaleAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        LimitsBody request = await JsonBody.ReadAsync(context, HostJsonContext.Default.LimitsBody).ConfigureAwait(false);
        if (request.MemoryMB is not > 0)
        {
            throw ApiException.Bad("memoryMB is required: more than 0");
        }

        await ResizeAsync(context, sandbox, request).ConfigureAwait(false);
    }

    private async Task ResizeAsync(HttpContext context, Sandbox sandbox, LimitsBody request)
    {
        int? memory = request.MemoryMB ?? request.MaxMemoryMB;
        if (memory is null && request is { CpuPercent: null, MaxPids: null })
        {
            throw ApiException.Bad("one of memoryMB, cpuPercent, maxPids is required");
        }

        int largest = options.Sandboxes.MaxMemoryMib;
        if (memory is int asked && (asked < 2 * MemoryStep || asked > largest))
        {
            throw ApiException.Bad($"memoryMB of {asked}: it must be from {2 * MemoryStep} to {largest}");
        }

        ScalingEndpoints.CheckUnlocked(sandboxes.EntryOf(sandbox));
        try
        {
            SandboxLimits limits = await sandbox.ResizeAsync(
                new SandboxResize
                {
                    MemoryMib = memory is int wanted ? (wanted + MemoryStep - 1) / MemoryStep * MemoryStep : null,
                    CpuPercent = request.CpuPercent,
                    PidsMax = request.MaxPids,
                },
                context.RequestAborted).ConfigureAwait(false);
            bool followed = sandboxes.EntryOf(sandbox).Autoscale is { Enabled: true };
            await Task.Run(
                () => sandboxes.Entries.Change(sandbox.Id, entry => entry with
                {
                    MemoryMib = limits.MemoryMib,
                    Autoscale = entry.Autoscale is { } settings ? settings with { Enabled = false } : null, // who sizes it by hand wants that size
                }),
                CancellationToken.None).ConfigureAwait(false);
            var reply = new LimitsBody
            {
                SandboxID = sandbox.Id,
                MemoryMB = limits.MemoryMib,
                CpuPercent = limits.CpuPercent,
                AutoscaleDisabled = followed ? true : null,
            };
            await JsonBody.WriteAsync(context, reply, HostJsonContext.Default.LimitsBody).ConfigureAwait(false);
        }
        catch (SandboxMemoryInUseException inUse)
        {
            throw new ApiException(StatusCodes.Status409Conflict, inUse.Message, inUse)
            {
                Code = "oom_floor",
                Details = $"in use: {inUse.InUseMib} MB; needed: {inUse.NeededMib} MB; short by {inUse.ShortfallMib} MB",
            };
        }
    }

    private Task GetTagsAsync(HttpContext context)
    {
        SandboxEntry entry = sandboxes.EntryOf(context.Sandbox(sandboxes));
        return JsonBody.WriteAsync(context, new TagsReply(entry.Tags, entry.TagsUpdatedAt), HostJsonContext.Default.TagsReply);
    }

    private async Task SetTagsAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        Dictionary<string, string> tags = await JsonBody.ReadAsync(context, HostJsonContext.Default.DictionaryStringString).ConfigureAwait(false);
        if (tags.Count > MaxTags)
        {
            throw ApiException.Bad($"{tags.Count} tags: at most {MaxTags}");
        }

        foreach ((string key, string value) in tags)
        {
            if (key.Length is 0 or > MaxTagKey || key.StartsWith(ReservedTags, StringComparison.Ordinal) || value is null || value.Length > MaxTagValue)
            {
                throw ApiException.Bad(
                    $"tag '{key}': a name of 1 to {MaxTagKey} characters that does not begin with {ReservedTags}, and a value of up to {MaxTagValue}");
            }
        }

        SandboxEntry? entry = await Task.Run(
            () => sandboxes.Entries.Change(sandbox.Id, entry => entry with { Tags = tags, TagsUpdatedAt = options.Sandboxes.TimeProvider.GetUtcNow() }),
            CancellationToken.None).ConfigureAwait(false);
        await JsonBody.WriteAsync(context, new TagsReply(tags, entry?.TagsUpdatedAt), HostJsonContext.Default.TagsReply).ConfigureAwait(false);
    }
}
