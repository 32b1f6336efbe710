using System.Text.Json;
using OpenSandbox.Host.Checkpoints;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Images;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Previews;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>Sandboxes: create, list, get, delete, timeout, hibernate, wake.</summary>
internal sealed class SandboxEndpoints(SandboxService sandboxes, PatchRunner patches, ImageService images, ServerOptions options)
{
    private const int DefaultMemoryMib = 1_024;
    private const int MaxMemoryMib = 16_384;
    private const int MaxCpus = 4;
    private const int MibPerCpu = 1_024;
    private const int MemoryStep = 128;
    private const int MaxListed = 100;
    private const int MaxTimeoutSeconds = 365 * 86_400;
    private const int MinDiskMib = 20_480;
    private const int MaxDiskMib = 262_144;
    private const string BaseTemplate = "base";

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/sandboxes", CreateAsync);
        routes.MapGet("/api/sandboxes", ListAsync);
        routes.MapGet("/api/sandboxes/{id}", GetAsync);
        routes.MapDelete("/api/sandboxes/{id}", DeleteAsync);
        routes.MapPost("/api/sandboxes/{id}/timeout", SetTimeoutAsync);
        routes.MapPost("/api/sandboxes/{id}/hibernate", HibernateAsync);
        routes.MapPost("/api/sandboxes/{id}/wake", WakeAsync);
    }

    /// <summary>How a state is called in this dialect.</summary>
    internal static string StatusOf(SandboxState state) => state switch
    {
        SandboxState.Running or SandboxState.Hibernating => "running",
        SandboxState.Hibernated or SandboxState.Waking or SandboxState.Paused => "hibernated",
        SandboxState.Crashed => "error",
        _ => "stopped",
    };

    private async Task CreateAsync(HttpContext context)
    {
        CreateSandboxRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.CreateSandboxRequest).ConfigureAwait(false);
        string template = request.TemplateID is null or "" or "default" ? BaseTemplate : request.TemplateID;
        if (template != BaseTemplate)
        {
            throw ApiException.NotFound($"template not found: {template}");
        }

        if (request.SecretStore is { Length: > 0 })
        {
            throw UnsupportedEndpoints.NotSupported("secret stores");
        }

        if (request.Webhooks is { ValueKind: JsonValueKind.Array } webhooks && webhooks.GetArrayLength() > 0)
        {
            throw UnsupportedEndpoints.NotSupported("webhooks");
        }

        (int memory, int cpus) = SizeOf(request);
        if (request.DiskMB is int disk and (< MinDiskMib or > MaxDiskMib))
        {
            throw ApiException.Bad($"diskMB of {disk}: it must be from {MinDiskMib} to {MaxDiskMib}");
        }

        int timeout = TimeoutOf(request.Timeout) ?? (int)options.DefaultIdleTimeout.TotalSeconds;
        Dictionary<string, string> metadata = request.Metadata ?? [];
        string? token = PreviewEndpoints.TokenOf(request.PreviewAuth);
        var spec = new SandboxSpec
        {
            MemoryMib = memory,
            Lifetime = SandboxLifetime.Detached,
            EnvironmentVariables = request.Envs ?? [],
            Egress = PolicyOf(request),
            MaxGuestScaleMib = Math.Min(MaxMemoryMib, options.Sandboxes.MaxMemoryMib),
            Expiry = ExpiryFor(timeout),
        };
        SandboxEntry Record(Sandbox sandbox) => new()
        {
            Id = sandbox.Id,
            TemplateId = template,
            Alias = request.Alias,
            Metadata = metadata,
            StartedAt = sandbox.CreatedAt,
            TimeoutSeconds = timeout,
            CpuCount = cpus,
            MemoryMib = memory,
            PreviewTokenDigest = token is null ? null : PreviewToken.DigestOf(token),
        };
        SandboxReply Tell(Sandbox sandbox, SandboxEntry entry) => Describe(sandbox, entry) with
        {
            TemplateID = entry.TemplateId,
            Template = null,
            Alias = entry.Alias,
            ClientID = "local",
            Metadata = entry.Metadata,
            EndAt = sandbox.ExpiresAt,
            CpuCount = cpus,
            MemoryMB = memory,
            PreviewAuthToken = token,
            ConnectURL = $"{options.BaseUrl(context)}/api",
        };
        if (ImageOf(request) is not { } getImage)
        {
            (Sandbox sandbox, SandboxEntry entry) = await sandboxes.CreateAsync(spec, Record, context.RequestAborted).ConfigureAwait(false);
            await JsonBody.WriteAsync(context, Tell(sandbox, entry), HostJsonContext.Default.SandboxReply, StatusCodes.Status201Created).ConfigureAwait(false);
            return;
        }

        await BuildResponse.RunAsync(
            context,
            async (log, cancellationToken) =>
            {
                ImageEntry image = await getImage(log, cancellationToken).ConfigureAwait(false);
                (Sandbox sandbox, SandboxEntry entry) = await CreateFromAsync(image, spec, Record, cancellationToken).ConfigureAwait(false);
                return Tell(sandbox, entry);
            },
            HostJsonContext.Default.SandboxReply,
            StatusCodes.Status201Created).ConfigureAwait(false);
    }

    /// <summary>How the image that a request names is got; nothing: it names none. What is wrong with it is told before anything is done.</summary>
    private Func<Action<BuildLine>, CancellationToken, Task<ImageEntry>>? ImageOf(CreateSandboxRequest request)
    {
        if (request.Snapshot is { Length: > 0 } name)
        {
            ImageEntry named = images.Get(name);
            return (_, _) => Task.FromResult(named);
        }

        if (request.Image is not { ValueKind: not JsonValueKind.Null } manifest)
        {
            return null;
        }

        ImagePlan plan = ImagePlan.From(manifest);
        images.Check(plan);
        return (log, cancellationToken) => images.GetAsync(plan, log, cancellationToken);
    }

    private async Task<(Sandbox Sandbox, SandboxEntry Entry)> CreateFromAsync(
        ImageEntry image, SandboxSpec spec, Func<Sandbox, SandboxEntry> record, CancellationToken cancellationToken)
    {
        var environment = new Dictionary<string, string>(image.Environment, StringComparer.Ordinal);
        foreach ((string name, string value) in spec.EnvironmentVariables)
        {
            environment[name] = value;
        }

        var differences = new ForkOptions
        {
            EnvironmentVariables = environment,
            Egress = spec.Egress,
            Lifetime = spec.Lifetime,
            Labels = spec.Labels,
            Expiry = spec.Expiry,
        };
        (Sandbox sandbox, SandboxEntry entry) = await sandboxes.AdoptAsync(
            async () =>
            {
                Sandbox made = (await sandboxes.Host.ForkAsync(image.CheckpointId, 1, differences, cancellationToken).ConfigureAwait(false))[0];
                try
                {
                    if (spec.MemoryMib is int memory && memory != made.Limits.MemoryMib)
                    {
                        await made.ResizeAsync(memory, cancellationToken: cancellationToken).ConfigureAwait(false);
                    }
                }
                catch
                {
                    await made.DeleteAsync(CancellationToken.None).ConfigureAwait(false);
                    throw;
                }

                return made;
            },
            sandbox => record(sandbox) with { WorkingDirectory = image.WorkingDirectory, FromCheckpoint = image.CheckpointId },
            cancellationToken).ConfigureAwait(false);
        try
        {
            await patches.RunAsync(sandbox).WaitAsync(cancellationToken).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
        }
        catch
        {
            await sandboxes.DeleteAsync(sandbox).ConfigureAwait(false); // its client does not know of it
            throw;
        }

        return (sandbox, sandboxes.Entries.Find(entry.Id) ?? entry);
    }

    private Task ListAsync(HttpContext context)
    {
        SandboxReply[] running = [.. sandboxes.Host.List()
            .Where(sandbox => StatusOf(sandbox.State) == "running" && sandboxes.TryGetEntry(sandbox.Id, out SandboxEntry? entry) && entry.EndedAt is null) // not those that images are built in
            .OrderByDescending(static sandbox => sandbox.CreatedAt)
            .Take(MaxListed)
            .Select(sandbox => Describe(sandbox, sandboxes.EntryOf(sandbox)))];
        return JsonBody.WriteAsync(context, running, HostJsonContext.Default.SandboxReplyArray);
    }

    private Task GetAsync(HttpContext context)
    {
        string id = context.Text("id");
        SandboxReply reply;
        if (sandboxes.TryGetEntry(id, out SandboxEntry? entry) && entry.EndedAt is not null)
        {
            reply = new SandboxReply
            {
                SandboxID = id,
                Status = "stopped",
                Template = entry.TemplateId,
                StartedAt = entry.StartedAt,
                Region = options.Sandboxes.Region,
                Tags = entry.Tags,
                TagsLastUpdatedAt = entry.TagsUpdatedAt,
            };
        }
        else
        {
            Sandbox sandbox = context.Sandbox(sandboxes);
            reply = Describe(sandbox, sandboxes.EntryOf(sandbox));
        }

        return JsonBody.WriteAsync(context, reply, HostJsonContext.Default.SandboxReply);
    }

    private async Task DeleteAsync(HttpContext context)
    {
        string id = context.Text("id");
        if (sandboxes.TryGetEntry(id, out SandboxEntry? entry) && entry.EndedAt is not null)
        {
            context.Response.StatusCode = StatusCodes.Status204NoContent; // a second delete finds what it wants
            return;
        }

        Sandbox sandbox = id.Length <= Routes.MaxId
            ? await sandboxes.GetOrOpenAsync(id, context.RequestAborted).ConfigureAwait(false)
            : throw ApiException.NotFound("sandbox not found");
        await sandboxes.DeleteAsync(sandbox).ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task SetTimeoutAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        TimeoutRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.TimeoutRequest).ConfigureAwait(false);
        int seconds = TimeoutOf(request.Timeout) ?? throw ApiException.Bad("timeout is required: seconds, 0 for never");
        await SetTimeoutAsync(sandbox, seconds, context.RequestAborted).ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task HibernateAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        var reply = new SandboxReply { SandboxID = sandbox.Id, Status = "hibernated" };
        SandboxHibernation? saved = await sandboxes.Gates.RunAsync(
            sandbox.Id,
            async () => sandbox.State == SandboxState.Hibernated ? null : await sandbox.HibernateAsync(context.RequestAborted).ConfigureAwait(false),
            context.RequestAborted).ConfigureAwait(false);
        if (saved is not null)
        {
            reply = reply with { HibernationKey = $"checkpoints/{sandbox.Id}/{saved.SnapshotId}", SizeBytes = saved.MemoryBytes };
        }

        await JsonBody.WriteAsync(context, reply, HostJsonContext.Default.SandboxReply).ConfigureAwait(false);
    }

    private async Task WakeAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        TimeoutRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.TimeoutRequest).ConfigureAwait(false);
        int? timeout = TimeoutOf(request.Timeout);
        if (sandbox.State == SandboxState.Hibernating)
        {
            await sandbox.WaitForChangeAsync(SandboxState.Hibernating, context.RequestAborted).ConfigureAwait(false);
        }
        else if (sandbox.State is not (SandboxState.Hibernated or SandboxState.Waking or SandboxState.Paused or SandboxState.Crashed))
        {
            throw ApiException.Bad($"sandbox is not hibernated: it is {StatusOf(sandbox.State)}");
        }

        if (sandbox.State == SandboxState.Paused)
        {
            await sandbox.ResumeAsync(context.RequestAborted).ConfigureAwait(false);
        }
        else
        {
            await sandbox.WakeAsync(cancellationToken: context.RequestAborted).ConfigureAwait(false);
        }

        if (timeout is int seconds)
        {
            await SetTimeoutAsync(sandbox, seconds, context.RequestAborted).ConfigureAwait(false);
        }

        await patches.RunAsync(sandbox).WaitAsync(context.RequestAborted).ConfigureAwait(false);
        await JsonBody.WriteAsync(context, Describe(sandbox, sandboxes.EntryOf(sandbox)), HostJsonContext.Default.SandboxReply).ConfigureAwait(false);
    }

    private async Task SetTimeoutAsync(Sandbox sandbox, int seconds, CancellationToken cancellationToken)
    {
        await sandbox.SetExpiryAsync(ExpiryFor(seconds), cancellationToken).ConfigureAwait(false);
        await Task.Run(
            () => sandboxes.Entries.Change(sandbox.Id, entry => entry with { TimeoutSeconds = seconds }), CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>A sandbox as every route tells it.</summary>
    internal SandboxReply Describe(Sandbox sandbox, SandboxEntry entry)
    {
        string status = StatusOf(sandbox.State);
        bool asleep = status == "hibernated";
        return new SandboxReply
        {
            SandboxID = sandbox.Id,
            Status = status,
            Template = entry.TemplateId,
            Region = options.Sandboxes.Region,
            WorkerID = asleep ? null : Environment.MachineName,
            Token = asleep ? null : "", // every call carries the key; clients only want the field
            StartedAt = entry.StartedAt,
            SandboxDomain = options.PreviewDomain,
            PatchError = entry.PatchError,
            Tags = entry.Tags,
            TagsLastUpdatedAt = entry.TagsUpdatedAt,
        };
    }

    /// <summary>That of a sandbox of which nothing is said.</summary>
    internal SandboxExpiry DefaultExpiry => ExpiryFor((int)options.DefaultIdleTimeout.TotalSeconds);

    /// <summary>What a timeout of this dialect means: asleep until it is used again.</summary>
    internal static SandboxExpiry ExpiryFor(int seconds) => new()
    {
        IdleTimeout = seconds == 0 ? null : TimeSpan.FromSeconds(seconds),
        Action = SandboxExpiryAction.Hibernate,
        AutoWake = true,
    };

    /// <exception cref="ApiException">400: out of range.</exception>
    internal static int? TimeoutOf(int? seconds) => seconds is < 0 or > MaxTimeoutSeconds
        ? throw ApiException.Bad($"timeout of {seconds} s: it must be from 0 (never) to {MaxTimeoutSeconds}")
        : seconds;

    /// <summary>The entry of a sandbox that was made from a checkpoint: as its parent's was, as far as the request says nothing else.</summary>
    internal SandboxEntry DescribeFork(Sandbox fork, SandboxCheckpoint from, CheckpointEntry saved, ForkRequest request, int? timeout) =>
        SandboxService.Describe(fork, saved.TemplateId ?? BaseTemplate, options) with
        {
            Metadata = request.Metadata ?? saved.Metadata,
            WorkingDirectory = saved.WorkingDirectory,
            FromCheckpoint = from.Id,
            PreviewTokenDigest = saved.PreviewTokenDigest, // what was not open to everyone is not in a copy
            TimeoutSeconds = timeout ?? (int)(fork.Expiry.IdleTimeout ?? TimeSpan.Zero).TotalSeconds,
        };

    private static EgressPolicy PolicyOf(CreateSandboxRequest request)
    {
        if (request.NetworkEnabled == false)
        {
            return EgressPolicy.DenyAll;
        }

        try
        {
            return request.EgressAllowlist is { Length: > 0 } allowed ? EgressPolicy.AllowOnly(allowed) : EgressPolicy.AllowPublic;
        }
        catch (FormatException wrong)
        {
            throw new ApiException(StatusCodes.Status400BadRequest, $"egressAllowlist: {wrong.Message}", wrong);
        }
    }

    /// <summary>One vCPU per GiB: where one of the two is left out the other tells it, and both must agree.</summary>
    private (int MemoryMib, int Cpus) SizeOf(CreateSandboxRequest request)
    {
        int largest = Math.Min(MaxMemoryMib, options.Sandboxes.MaxMemoryMib);
        if (request.CpuCount is int cpus and (< 1 or > MaxCpus))
        {
            throw ApiException.Bad($"cpuCount of {cpus}: it must be from 1 to {MaxCpus}");
        }

        int memory = request.MemoryMB ?? (request.CpuCount is int count ? Math.Min(count * MibPerCpu, largest) : DefaultMemoryMib);
        if (memory < 2 * MemoryStep || memory > largest)
        {
            throw ApiException.Bad($"memoryMB of {memory}: it must be from {2 * MemoryStep} to {largest}");
        }

        int fitting = Math.Clamp(memory / MibPerCpu, 1, MaxCpus);
        if (request is { MemoryMB: not null, CpuCount: int asked } && asked != fitting)
        {
            throw ApiException.Bad($"cpuCount of {asked} does not go with memoryMB of {memory}: there is one CPU per {MibPerCpu} MB, here {fitting}");
        }

        return ((memory + MemoryStep - 1) / MemoryStep * MemoryStep, fitting);
    }
}
