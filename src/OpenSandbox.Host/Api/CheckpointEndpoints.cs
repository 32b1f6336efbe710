using System.Collections.ObjectModel;
using OpenSandbox.Host.Checkpoints;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Previews;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>Checkpoints: make, list, restore, delete, and new sandboxes from them.</summary>
internal sealed class CheckpointEndpoints(
    SandboxService sandboxes, RecordStore<CheckpointEntry> entries, PatchRunner patches, SandboxEndpoints descriptions)
{
    private const int MaxFull = 10;
    private const int MaxDiskOnly = 100;
    private const int MaxName = 256;
    private const int MemoryStep = 128;

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/sandboxes/{id}/checkpoints", CreateAsync);
        routes.MapGet("/api/sandboxes/{id}/checkpoints", ListAsync);
        routes.MapPost("/api/sandboxes/{id}/checkpoints/{checkpointId}/restore", RestoreAsync);
        routes.MapDelete("/api/sandboxes/{id}/checkpoints/{checkpointId}", DeleteAsync);
        routes.MapPost("/api/sandboxes/from-checkpoint/{checkpointId}", ForkAsync);
    }

    private async Task CreateAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        CheckpointRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.CheckpointRequest).ConfigureAwait(false);
        string name = request.Name is { Length: > 0 and <= MaxName } given ? given : throw ApiException.Bad($"name is required: 1 to {MaxName} characters");
        CheckpointKind kind = request.Kind switch
        {
            null or "" or "full" => CheckpointKind.Full,
            "disk_only" => CheckpointKind.DiskOnly,
            _ => throw ApiException.Bad($"kind '{request.Kind}': full or disk_only"),
        };
        int? keep = KeptOf(request.RetentionPolicy);
        // A name is looked for and taken in one go.
        SandboxCheckpoint made = await sandboxes.Gates
            .RunAsync(sandbox.Id, () => MakeAsync(sandbox, name, kind, keep, context.RequestAborted), context.RequestAborted)
            .ConfigureAwait(false);
        await JsonBody.WriteAsync(context, Describe(made), HostJsonContext.Default.CheckpointReply, StatusCodes.Status201Created).ConfigureAwait(false);
    }

    private async Task<SandboxCheckpoint> MakeAsync(Sandbox sandbox, string name, CheckpointKind kind, int? keep, CancellationToken cancellationToken)
    {
        IReadOnlyList<SandboxCheckpoint> there = sandbox.ListCheckpoints();
        if (there.Any(checkpoint => checkpoint.Name == name))
        {
            throw new ApiException(StatusCodes.Status409Conflict, $"there is a checkpoint '{name}' already");
        }

        int limit = kind == CheckpointKind.Full ? MaxFull : MaxDiskOnly;
        if (keep is null && there.Count(checkpoint => checkpoint.Kind == kind) >= limit)
        {
            throw ApiException.Bad($"there are {limit} {NameOf(kind)} checkpoints already: delete one, or ask for the retention policy delete_oldest");
        }

        SandboxCheckpoint made = await sandbox
            .CheckpointAsync(new CheckpointOptions { Name = name, Kind = kind }, cancellationToken)
            .ConfigureAwait(false);
        SandboxEntry entry = sandboxes.EntryOf(sandbox);
        await Task.Run(
            () => entries.Change(made.Id, _ => new CheckpointEntry
            {
                TemplateId = entry.TemplateId,
                MemoryMib = sandbox.Limits.MemoryMib,
                CpuCount = entry.CpuCount,
                Metadata = entry.Metadata,
                EnvironmentVariables = new Dictionary<string, string>(sandbox.Spec.EnvironmentVariables, StringComparer.Ordinal),
                WorkingDirectory = entry.WorkingDirectory,
                PreviewTokenDigest = entry.PreviewTokenDigest,
            }),
            CancellationToken.None).ConfigureAwait(false);
        if (keep is int count)
        {
            await RetainAsync(sandbox, made, Math.Min(count, limit)).ConfigureAwait(false);
        }

        return made;
    }

    /// <summary>The checkpoints of the route's sandbox. They outlive it: that may have been deleted.</summary>
    /// <exception cref="ApiException">404: neither is there.</exception>
    private SandboxCheckpoint[] ListOf(HttpContext context)
    {
        string id = context.Text("id");
        SandboxCheckpoint[] all = [.. sandboxes.Host.ListCheckpoints(id).Where(static checkpoint => !checkpoint.Retained)]; // not the disks of images
        return all.Length > 0 || sandboxes.TryGetEntry(id, out _) ? all : throw ApiException.NotFound("sandbox not found");
    }

    /// <summary>Deletes the oldest ones of a kind, up to the new one: as many are left as may be.</summary>
    private async Task RetainAsync(Sandbox sandbox, SandboxCheckpoint made, int count)
    {
        SandboxCheckpoint[] old = [.. sandbox.ListCheckpoints()
            .Where(checkpoint => checkpoint.Kind == made.Kind && !checkpoint.Retained && checkpoint.Id != made.Id)
            .OrderByDescending(static checkpoint => checkpoint.CreatedAt)
            .Skip(count - 1)];
        foreach (SandboxCheckpoint checkpoint in old)
        {
            await DeleteAsync(checkpoint).ConfigureAwait(false);
        }
    }

    private async Task DeleteAsync(SandboxCheckpoint checkpoint)
    {
        await sandboxes.Host.DeleteCheckpointAsync(checkpoint.Id, CancellationToken.None).ConfigureAwait(false);
        await Task.Run(() => entries.Change(checkpoint.Id, static _ => null)).ConfigureAwait(false);
    }

    private Task ListAsync(HttpContext context)
    {
        CheckpointReply[] rows = [.. ListOf(context).OrderByDescending(static checkpoint => checkpoint.CreatedAt).Select(Describe)];
        return JsonBody.WriteAsync(context, rows, HostJsonContext.Default.CheckpointReplyArray);
    }

    private async Task RestoreAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        SandboxCheckpoint checkpoint = Find(sandbox.ListCheckpoints(), context);
        await sandboxes.Gates
            .RunAsync(sandbox.Id, () => sandbox.RestoreAsync(checkpoint.Id, cancellationToken: context.RequestAborted), context.RequestAborted)
            .ConfigureAwait(false);
        await Task.Run(
            () => sandboxes.Entries.Change(sandbox.Id, entry => entry with { FromCheckpoint = checkpoint.Id, PatchesApplied = 0, PatchError = null }),
            CancellationToken.None).ConfigureAwait(false);
        await patches.RunAsync(sandbox).WaitAsync(context.RequestAborted).ConfigureAwait(false);
        var reply = new RestoreReply(sandbox.Id, CheckpointIds.ToUuid(checkpoint.Id), "restoring");
        await JsonBody.WriteAsync(context, reply, HostJsonContext.Default.RestoreReply).ConfigureAwait(false);
    }

    private async Task DeleteAsync(HttpContext context)
    {
        SandboxCheckpoint checkpoint = Find(ListOf(context), context);
        await DeleteAsync(checkpoint).ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task ForkAsync(HttpContext context)
    {
        ForkRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.ForkRequest).ConfigureAwait(false);
        if (request.SecretStore is { Length: > 0 })
        {
            throw UnsupportedEndpoints.NotSupported("secret stores");
        }

        SandboxCheckpoint checkpoint = Find(sandboxes.Host.ListCheckpoints(), context);
        int? timeout = SandboxEndpoints.TimeoutOf(request.Timeout);
        var differences = new ForkOptions
        {
            EnvironmentVariables = EnvironmentOf(entries.Find(checkpoint.Id), request),
            Lifetime = SandboxLifetime.Detached,
            Expiry = timeout is int seconds ? SandboxEndpoints.ExpiryFor(seconds) : checkpoint.Retained ? descriptions.DefaultExpiry : null,
            Labels = checkpoint.Retained ? ReadOnlyDictionary<string, string>.Empty : null, // what an image was built in says so
        };
        (Sandbox sandbox, SandboxEntry entry) = await sandboxes.AdoptAsync(
            async () => (await sandboxes.Host.ForkAsync(checkpoint.Id, 1, differences, context.RequestAborted).ConfigureAwait(false))[0],
            fork => descriptions.DescribeFork(fork, checkpoint, entries.Find(checkpoint.Id) ?? Unknown(checkpoint), request, timeout),
            context.RequestAborted).ConfigureAwait(false);
        try
        {
            if (request.MemoryMB is int memory && memory > sandbox.Limits.MemoryMib)
            {
                int wanted = Math.Min(memory, sandboxes.Host.Options.MaxMemoryMib); // clients ask for more than there may be, and take what they get
                await sandbox.ResizeAsync((wanted + MemoryStep - 1) / MemoryStep * MemoryStep, cancellationToken: context.RequestAborted).ConfigureAwait(false);
            }

            await patches.RunAsync(sandbox).WaitAsync(context.RequestAborted).ConfigureAwait(false);
            context.RequestAborted.ThrowIfCancellationRequested();
        }
        catch
        {
            await sandboxes.DeleteAsync(sandbox).ConfigureAwait(false); // its client does not know of it
            throw;
        }

        SandboxReply reply = descriptions.Describe(sandbox, sandboxes.Entries.Find(entry.Id) ?? entry) with
        {
            FromCheckpointId = CheckpointIds.ToUuid(checkpoint.Id),
            MemoryMB = request.MemoryMB is null ? null : sandbox.Limits.MemoryMib,
        };
        await JsonBody.WriteAsync(context, reply, HostJsonContext.Default.SandboxReply, StatusCodes.Status201Created).ConfigureAwait(false);
    }

    /// <summary>
    /// The entry of a checkpoint that has none: made by another program, or by a server that was killed just then. Who may see the previews of
    /// its copies is not known, so nobody may; images have no entries, and nothing to hide.
    /// </summary>
    internal static CheckpointEntry Unknown(SandboxCheckpoint checkpoint) =>
        new() { PreviewTokenDigest = checkpoint.Retained ? null : PreviewToken.DigestOfNone() };

    /// <summary>The parent's variables, and above them those of the request; nothing: just the parent's.</summary>
    private static Dictionary<string, string>? EnvironmentOf(CheckpointEntry? saved, ForkRequest request)
    {
        if (request.Envs is not { Count: > 0 } own)
        {
            return null;
        }

        var environment = new Dictionary<string, string>(saved?.EnvironmentVariables ?? [], StringComparer.Ordinal);
        foreach ((string name, string value) in own)
        {
            environment[name] = value;
        }

        return environment;
    }

    internal static SandboxCheckpoint Find(IReadOnlyList<SandboxCheckpoint> checkpoints, HttpContext context)
    {
        string id = context.Text("checkpointId");
        return CheckpointIds.TryToSnapshot(id, out string? snapshot)
            && checkpoints.FirstOrDefault(checkpoint => checkpoint.Id == snapshot) is { } found
                ? found
                : throw ApiException.NotFound($"checkpoint not found: {id}");
    }

    private static int? KeptOf(RetentionPolicy? policy) => policy?.Mode switch
    {
        null or "" or "none" => null,
        "delete_oldest" when policy.MaxCount is null => MaxDiskOnly, // as many as there may be
        "delete_oldest" => policy.MaxCount is int count and > 0 ? count : throw ApiException.Bad("retentionPolicy.maxCount: at least 1"),
        _ => throw ApiException.Bad($"retentionPolicy.mode '{policy.Mode}': none or delete_oldest"),
    };

    private static string NameOf(CheckpointKind kind) => kind == CheckpointKind.Full ? "full" : "disk_only";

    /// <summary>A checkpoint as every route tells it.</summary>
    internal CheckpointReply Describe(SandboxCheckpoint checkpoint) => Describe(checkpoint, entries.Find(checkpoint.Id));

    private static CheckpointReply Describe(SandboxCheckpoint checkpoint, CheckpointEntry? entry) => new()
    {
        IsPublic = entry?.IsPublic ?? false,
        Id = CheckpointIds.ToUuid(checkpoint.Id),
        SandboxId = checkpoint.SandboxId,
        Name = checkpoint.Name,
        SandboxConfig = new CheckpointConfig { TemplateID = entry?.TemplateId, MemoryMB = entry?.MemoryMib, CpuCount = entry?.CpuCount },
        Kind = NameOf(checkpoint.Kind),
        SizeBytes = checkpoint.MemoryBytes,
        CreatedAt = checkpoint.CreatedAt,
    };
}
