using System.Text;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>Patches of checkpoints, and whether a checkpoint is for all.</summary>
internal sealed class PatchEndpoints(SandboxService sandboxes, RecordStore<CheckpointEntry> checkpoints, CheckpointEndpoints rows, ServerOptions options)
{
    private const int MaxPatches = 100;
    private const int MaxScriptBytes = 64 << 10;
    private const int MaxDescription = 1_024;
    private const string Strategy = "on_wake";

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/sandboxes/checkpoints/{checkpointId}/patches", AddAsync);
        routes.MapGet("/api/sandboxes/checkpoints/{checkpointId}/patches", ListAsync);
        routes.MapDelete("/api/sandboxes/checkpoints/{checkpointId}/patches/{patchId}", RemoveAsync);
        foreach (string root in (string[])["/api/sandboxes/checkpoints", "/api/sandboxes/{id}/checkpoints"])
        {
            routes.MapPost(root + "/{checkpointId}/publish", context => PublishAsync(context, isPublic: true));
            routes.MapPost(root + "/{checkpointId}/unpublish", context => PublishAsync(context, isPublic: false));
        }
    }

    private async Task AddAsync(HttpContext context)
    {
        SandboxCheckpoint checkpoint = Known(context);
        PatchRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.PatchRequest).ConfigureAwait(false);
        string script = request.Script is { Length: > 0 } given && Encoding.UTF8.GetByteCount(given) <= MaxScriptBytes && !given.Contains('\0', StringComparison.Ordinal)
            ? given
            : throw ApiException.Bad($"script is required: 1 to {MaxScriptBytes} bytes, none of them NUL");
        if (request.Description?.Length > MaxDescription)
        {
            throw ApiException.Bad($"description: at most {MaxDescription} characters");
        }

        CheckpointEntry? entry = await Task.Run(() => checkpoints.Change(checkpoint.Id, old =>
        {
            old ??= Added(checkpoint);
            if (old.Patches.Length >= MaxPatches)
            {
                throw ApiException.Bad($"there are {MaxPatches} patches already");
            }

            var patch = new PatchEntry
            {
                Id = Guid.NewGuid().ToString(),
                Sequence = old.LastSequence + 1,
                Script = script,
                Description = request.Description ?? "",
                CreatedAt = options.Sandboxes.TimeProvider.GetUtcNow(),
            };
            return old with { LastSequence = patch.Sequence, Patches = [.. old.Patches, patch] };
        })).ConfigureAwait(false);
        var reply = new NewPatchReply(Describe(checkpoint, entry!.Patches[^1]));
        await JsonBody.WriteAsync(context, reply, HostJsonContext.Default.NewPatchReply, StatusCodes.Status201Created).ConfigureAwait(false);
    }

    private Task ListAsync(HttpContext context)
    {
        SandboxCheckpoint checkpoint = Known(context);
        PatchReply[] all = [.. (checkpoints.Find(checkpoint.Id)?.Patches ?? []).Select(patch => Describe(checkpoint, patch))];
        return JsonBody.WriteAsync(context, all, HostJsonContext.Default.PatchReplyArray);
    }

    private async Task RemoveAsync(HttpContext context)
    {
        SandboxCheckpoint checkpoint = Known(context);
        string id = context.Text("patchId");
        if (checkpoints.Find(checkpoint.Id)?.Patches.Any(patch => patch.Id == id) != true)
        {
            throw ApiException.NotFound($"patch not found: {id}");
        }

        await Task.Run(() => checkpoints.Change(
            checkpoint.Id, entry => entry is null ? null : entry with { Patches = [.. entry.Patches.Where(patch => patch.Id != id)] })).ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task PublishAsync(HttpContext context, bool isPublic)
    {
        SandboxCheckpoint checkpoint = Known(context);
        await Task.Run(() => checkpoints.Change(checkpoint.Id, entry => (entry ?? Added(checkpoint)) with { IsPublic = isPublic })).ConfigureAwait(false);
        await JsonBody.WriteAsync(context, rows.Describe(checkpoint), HostJsonContext.Default.CheckpointReply).ConfigureAwait(false);
    }

    private SandboxCheckpoint Known(HttpContext context) => CheckpointEndpoints.Find(
        context.Text("id").Length > 0 ? context.Sandbox(sandboxes).ListCheckpoints() : sandboxes.Host.ListCheckpoints(), context);

    /// <summary>An entry for a checkpoint that has none. Its entry goes after it: one that is still there keeps what is written now until then.</summary>
    /// <exception cref="ApiException">404: it was deleted meanwhile.</exception>
    private CheckpointEntry Added(SandboxCheckpoint checkpoint) =>
        sandboxes.Host.ListCheckpoints(checkpoint.SandboxId).Any(one => one.Id == checkpoint.Id)
            ? CheckpointEndpoints.Unknown(checkpoint)
            : throw ApiException.NotFound($"checkpoint not found: {CheckpointIds.ToUuid(checkpoint.Id)}");

    private static PatchReply Describe(SandboxCheckpoint checkpoint, PatchEntry patch) => new(
        patch.Id, CheckpointIds.ToUuid(checkpoint.Id), patch.Sequence, patch.Script, patch.Description, Strategy, patch.CreatedAt);
}
