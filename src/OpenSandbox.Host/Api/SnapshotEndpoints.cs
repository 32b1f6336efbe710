using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Images;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Records;

namespace OpenSandbox.Host.Api;

/// <summary>Images that are built of steps, and their names.</summary>
internal sealed class SnapshotEndpoints(ImageService images, ILogger<SnapshotEndpoints> logger)
{
    private const int MaxName = 128;

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/snapshots", CreateAsync);
        routes.MapGet("/api/snapshots", ListAsync);
        routes.MapGet("/api/snapshots/{name}", context =>
            JsonBody.WriteAsync(context, Describe(images.Find(context.Text("name"))), HostJsonContext.Default.SnapshotReply));
        routes.MapDelete("/api/snapshots/{name}", DeleteAsync);
        routes.MapGet("/api/images", ListImagesAsync);
    }

    private async Task CreateAsync(HttpContext context)
    {
        SnapshotRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.SnapshotRequest).ConfigureAwait(false);
        string name = request.Name is { Length: > 0 and <= MaxName } given
            && char.IsAsciiLetterOrDigit(given[0])
            && given.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')
                ? given
                : throw ApiException.Bad($"name is required: 1 to {MaxName} letters, digits, '-', '_' and '.', the first a letter or digit");
        ImagePlan plan = ImagePlan.From(request.Image ?? throw ApiException.Bad("image is required: an object with base and steps"));
        SnapshotEntry begun = await Task.Run(() => images.Begin(name, plan)).ConfigureAwait(false);
        if (context.Request.Query["async"].ToString() is "1" or "true")
        {
            _ = FinishAsync(begun, plan);
            await JsonBody.WriteAsync(context, Describe(begun), HostJsonContext.Default.SnapshotReply, StatusCodes.Status202Accepted).ConfigureAwait(false);
            return;
        }

        // A client that goes does not stop the build: the name tells how it ended.
        await BuildResponse.RunAsync(
            context,
            async (log, cancellationToken) => Describe(
                await images.FinishAsync(begun, plan, log, CancellationToken.None).WaitAsync(cancellationToken).ConfigureAwait(false)),
            HostJsonContext.Default.SnapshotReply,
            StatusCodes.Status201Created).ConfigureAwait(false);
    }

    private Task ListAsync(HttpContext context)
    {
        SnapshotReply[] all = [.. images.Snapshots.Select(Describe).Select(static reply => reply with { Manifest = KeptManifest.ForList(reply.Manifest) })];
        return JsonBody.WriteAsync(context, all, HostJsonContext.Default.SnapshotReplyArray);
    }

    private async Task DeleteAsync(HttpContext context)
    {
        await images.DeleteAsync(context.Text("name")).ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private Task ListImagesAsync(HttpContext context)
    {
        SnapshotReply[] all = [.. images.Images.Select(static image => new SnapshotReply
        {
            Id = CheckpointIds.ToUuid(image.CheckpointId),
            ContentHash = image.Hash,
            CheckpointId = CheckpointIds.ToUuid(image.CheckpointId),
            Manifest = KeptManifest.ForList(image.Manifest),
            Status = SnapshotEntry.Ready,
            CreatedAt = image.CreatedAt,
            LastUsedAt = image.LastUsedAt,
        })];
        return JsonBody.WriteAsync(context, all, HostJsonContext.Default.SnapshotReplyArray);
    }

    private async Task FinishAsync(SnapshotEntry begun, ImagePlan plan)
    {
        try
        {
            await images.FinishAsync(begun, plan, static _ => { }, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            // The boundary of a task that nobody awaits; the snapshot says what happened.
            HostLog.BackgroundFailed(logger, begun.Name, "building a snapshot", failure);
        }
    }

    private SnapshotReply Describe(SnapshotEntry snapshot)
    {
        ImageEntry? image = images.ImageOf(snapshot);
        return new SnapshotReply
        {
            Id = snapshot.Id,
            Name = snapshot.Name,
            ContentHash = snapshot.Hash,
            CheckpointId = image is null ? null : CheckpointIds.ToUuid(image.CheckpointId),
            Manifest = snapshot.Manifest,
            Status = snapshot.Status,
            ErrorMsg = snapshot.Error,
            CreatedAt = snapshot.CreatedAt,
            LastUsedAt = image?.LastUsedAt ?? snapshot.CreatedAt,
        };
    }
}
