using Microsoft.Extensions.Hosting;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Records;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Images;

/// <summary>Images by what they are built of, and by name. What is asked for twice at the same time is built once. Thread-safe.</summary>
internal sealed class ImageService(
    SandboxHost host,
    ImageBuilder builder,
    RecordStore<ImageEntry> images,
    RecordStore<SnapshotEntry> snapshots,
    ServerOptions options,
    IHostApplicationLifetime lifetime,
    ILogger<ImageService> logger) : IDisposable
{
    private const int MaxUnnamed = 50;
    private const int MaxSnapshots = 1_000;
    private const int MaxBuilds = 2;
    private const int MaxWaiting = 32;
    private static readonly TimeSpan s_buildLimit = TimeSpan.FromHours(1);
    private static readonly TimeSpan s_usedStep = TimeSpan.FromHours(1);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, (Task<ImageEntry> Result, BuildLog Log)> _builds = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _slots = new(MaxBuilds);

    /// <summary>All images, the one that was used last first.</summary>
    internal IEnumerable<ImageEntry> Images => images.All.OrderByDescending(static image => image.LastUsedAt);

    /// <summary>All names.</summary>
    internal IEnumerable<SnapshotEntry> Snapshots => snapshots.All.OrderBy(static snapshot => snapshot.Name, StringComparer.Ordinal);

    /// <inheritdoc/>
    public void Dispose() => _slots.Dispose();

    /// <summary>
    /// What becomes of an earlier server's: builds that it had begun have failed, images whose checkpoint is gone are forgotten, disks of images
    /// that no record names are deleted.
    /// </summary>
    internal async Task RecoverAsync()
    {
        IReadOnlyList<SandboxCheckpoint> checkpoints = host.ListCheckpoints();
        var there = checkpoints.Select(static checkpoint => checkpoint.Id).ToHashSet(StringComparer.Ordinal);
        foreach (ImageEntry image in images.All.Where(image => !there.Contains(image.CheckpointId)).ToArray())
        {
            images.Change(image.Hash, static _ => null);
        }

        foreach (SandboxCheckpoint checkpoint in checkpoints)
        {
            if (checkpoint.Retained && ImageBuilder.HashOf(checkpoint) is { } hash && IsLost(checkpoint.Id, hash))
            {
                await DeleteDisksAsync(checkpoint.Id).ConfigureAwait(false);
            }
        }

        foreach (SnapshotEntry snapshot in snapshots.All.Where(static snapshot => snapshot.Status == SnapshotEntry.Building).ToArray())
        {
            snapshots.Change(snapshot.Name, entry => entry! with { Status = SnapshotEntry.Failed, Error = "the server was stopped while it was built" });
        }
    }

    /// <summary>The image that a plan describes, built if it is not there.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="log">Is told what a build tells, also one that others have begun.</param>
    /// <param name="cancellationToken">Stops waiting; a build goes on.</param>
    /// <exception cref="ApiException">The build failed, or there are too many.</exception>
    /// <exception cref="SandboxException">Its sandbox failed.</exception>
    internal async Task<ImageEntry> GetAsync(ImagePlan plan, Action<BuildLine> log, CancellationToken cancellationToken)
    {
        if (images.Find(plan.Hash) is { } there)
        {
            log(new BuildLine(0, "cache", $"image {plan.Hash[..12]} is there already"));
            return Used(there);
        }

        (Task<ImageEntry> Result, BuildLog Log) build;
        lock (_gate)
        {
            if (!_builds.TryGetValue(plan.Hash, out build))
            {
                CheckRoom();
                var lines = new BuildLog();
                build = (BuildAsync(plan, lines), lines);
                _builds[plan.Hash] = build;
            }
        }

        for (int next = 0; ;)
        {
            (BuildLine[] lines, Task? more) = build.Log.From(next);
            foreach (BuildLine line in lines)
            {
                log(line);
            }

            next += lines.Length;
            if (more is null)
            {
                return await build.Result.WaitAsync(cancellationToken).ConfigureAwait(false);
            }

            await more.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>The image of a name.</summary>
    /// <exception cref="ApiException">404: there is none; 409: it is being built; 400: it could not be built.</exception>
    internal ImageEntry Get(string name)
    {
        SnapshotEntry snapshot = Find(name);
        return snapshot.Status switch
        {
            SnapshotEntry.Ready => images.Find(snapshot.Hash) is { } image ? Used(image) : throw ApiException.NotFound($"the image of snapshot {name} is gone"),
            SnapshotEntry.Building => throw new ApiException(StatusCodes.Status409Conflict, $"snapshot {name} is being built") { Retryable = true, RetryAfter = 1 },
            _ => throw ApiException.Bad($"snapshot {name} could not be built: {snapshot.Error}"),
        };
    }

    /// <summary>Finds a name.</summary>
    /// <exception cref="ApiException">404.</exception>
    internal SnapshotEntry Find(string name) => snapshots.Find(name) ?? throw ApiException.NotFound($"snapshot not found: {name}");

    /// <summary>The image of a snapshot, if it is there.</summary>
    internal ImageEntry? ImageOf(SnapshotEntry snapshot) => images.Find(snapshot.Hash);

    /// <summary>Whether a plan can be carried out here, as far as that can be told ahead.</summary>
    /// <exception cref="ApiException">400: it cannot.</exception>
    internal void Check(ImagePlan plan) => _ = builder.MemoryFor(plan);

    /// <summary>Takes a name for an image that is to be built.</summary>
    /// <exception cref="ApiException">409: it is taken; 400: the plan cannot be carried out here; 429: too many are being built.</exception>
    internal SnapshotEntry Begin(string name, ImagePlan plan)
    {
        Check(plan);
        lock (_gate)
        {
            if (images.Find(plan.Hash) is null && !_builds.ContainsKey(plan.Hash))
            {
                CheckRoom(); // before there is a name
            }
        }

        var entry = new SnapshotEntry
        {
            Id = Guid.NewGuid().ToString(),
            Name = name,
            Hash = plan.Hash,
            Manifest = plan.Manifest,
            Status = SnapshotEntry.Building,
            CreatedAt = options.Sandboxes.TimeProvider.GetUtcNow(),
        };
        return snapshots.Change(name, old => old switch
        {
            { Status: not SnapshotEntry.Failed } => throw new ApiException(StatusCodes.Status409Conflict, $"there is a snapshot '{name}' already"),
            null when snapshots.All.Count >= MaxSnapshots => throw ApiException.Bad($"there are {MaxSnapshots} snapshots already"),
            _ => entry,
        })!;
    }

    /// <summary>Builds what a name stands for; the name tells how that ends, whoever waits for it.</summary>
    internal async Task<SnapshotEntry> FinishAsync(SnapshotEntry begun, ImagePlan plan, Action<BuildLine> log, CancellationToken cancellationToken)
    {
        try
        {
            await GetAsync(plan, log, cancellationToken).ConfigureAwait(false);
            return await EndAsync(begun, SnapshotEntry.Ready, null).ConfigureAwait(false) ?? throw ApiException.NotFound($"snapshot {begun.Name} was deleted meanwhile");
        }
        catch (ApiException full) when (full.Status == StatusCodes.Status429TooManyRequests)
        {
            // Nothing was begun: others were faster.
            await Task.Run(() => snapshots.Change(begun.Name, now => now?.Id == begun.Id ? null : now)).ConfigureAwait(false);
            throw;
        }
        catch (Exception failure)
        {
            await EndAsync(begun, SnapshotEntry.Failed, Explain(failure)).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Why a build failed, for whoever has a key: nothing of this machine.</summary>
    internal static string Explain(Exception failure) => failure switch
    {
        ApiException known => known.Message,
        SandboxException sandbox when ErrorMapping.StatusOf(sandbox) is >= 500 or StatusCodes.Status410Gone =>
            $"the sandbox that it was built in failed ({ErrorMapping.CodeOf(sandbox.Code)}); the server's log says why",
        SandboxException refusal => refusal.Message,
        OperationCanceledException => "the server was stopped while it was built",
        _ => "a defect of the server; its log says which",
    };

    /// <summary>Forgets a name, and its image if nothing else uses that.</summary>
    /// <exception cref="ApiException">404: there is none.</exception>
    internal async Task DeleteAsync(string name)
    {
        SnapshotEntry snapshot = Find(name);
        await Task.Run(() => snapshots.Change(name, static _ => null)).ConfigureAwait(false);
        if (snapshots.All.All(other => other.Hash != snapshot.Hash) && images.Find(snapshot.Hash) is { } image)
        {
            await ForgetAsync(image).ConfigureAwait(false);
        }
    }

    // A record that is there and cannot be read may name it.
    private bool IsLost(string checkpointId, string hash) => images.Find(hash) is { } image ? image.CheckpointId != checkpointId : !images.HasFile(hash);

    private void CheckRoom()
    {
        if (_builds.Count >= MaxWaiting)
        {
            throw new ApiException(StatusCodes.Status429TooManyRequests, $"{MaxWaiting} images are being built already") { Retryable = true, RetryAfter = 5 };
        }
    }

    private Task<SnapshotEntry?> EndAsync(SnapshotEntry begun, string status, string? error) => Task.Run(() =>
        snapshots.Change(begun.Name, now => now?.Id == begun.Id ? now with { Status = status, Error = error } : now));

    private async Task<ImageEntry> BuildAsync(ImagePlan plan, BuildLog log)
    {
        await Task.Yield(); // the gate is held by the caller
        using var limit = new CancellationTokenSource(s_buildLimit, options.Sandboxes.TimeProvider);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, lifetime.ApplicationStopping);
        try
        {
            await _slots.WaitAsync(both.Token).ConfigureAwait(false);
            ImageEntry image;
            try
            {
                image = await builder.BuildAsync(plan, log, both.Token).ConfigureAwait(false);
            }
            finally
            {
                _slots.Release();
            }

            await KeepAsync(image).ConfigureAwait(false);
            await TrimAsync(image).ConfigureAwait(false);
            return image;
        }
        catch (Exception failure) when (failure is not (ApiException or OperationCanceledException))
        {
            HostLog.ImageFailed(logger, plan.Hash, failure);
            throw;
        }
        catch (OperationCanceledException cancelled) when (limit.IsCancellationRequested)
        {
            throw new ApiException(StatusCodes.Status504GatewayTimeout, $"the image was not built within {s_buildLimit.TotalMinutes} minutes", cancelled);
        }
        finally
        {
            lock (_gate)
            {
                _builds.Remove(plan.Hash);
            }

            log.End();
        }
    }

    private async Task KeepAsync(ImageEntry image)
    {
        try
        {
            await Task.Run(() => images.Change(image.Hash, _ => image), CancellationToken.None).ConfigureAwait(false);
        }
        catch
        {
            await DeleteDisksAsync(image.CheckpointId).ConfigureAwait(false); // nothing else knows of them
            throw;
        }
    }

    private async Task TrimAsync(ImageEntry newest)
    {
        var named = snapshots.All.Select(static snapshot => snapshot.Hash).ToHashSet(StringComparer.Ordinal);
        foreach (ImageEntry old in Images.Where(image => !named.Contains(image.Hash) && image.Hash != newest.Hash).Skip(MaxUnnamed - 1).ToArray())
        {
            await ForgetAsync(old).ConfigureAwait(false);
        }
    }

    private async Task ForgetAsync(ImageEntry image)
    {
        // The record first: nobody makes a sandbox of disks that are half gone. Disks that are left over go at the next start.
        await Task.Run(() => images.Change(image.Hash, static _ => null)).ConfigureAwait(false);
        await DeleteDisksAsync(image.CheckpointId).ConfigureAwait(false);
    }

    private async Task DeleteDisksAsync(string checkpointId)
    {
        try
        {
            await host.DeleteCheckpointAsync(checkpointId, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is SandboxException or IOException)
        {
            HostLog.BackgroundFailed(logger, checkpointId, "deleting an image", failure);
        }
    }

    private ImageEntry Used(ImageEntry image)
    {
        DateTimeOffset now = options.Sandboxes.TimeProvider.GetUtcNow();
        return now - image.LastUsedAt < s_usedStep
            ? image
            : images.Change(image.Hash, entry => entry is null ? null : entry with { LastUsedAt = now }) ?? image;
    }
}
