using System.Globalization;
using System.Text.Json;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Previews;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>URLs for ports of a sandbox.</summary>
internal sealed class PreviewEndpoints(SandboxService sandboxes, ServerOptions options)
{
    private const int MaxPreviews = 64;
    private const int MaxAuthConfig = 4_096;
    private const string Scheme = "bearer";
    private static readonly JsonElement s_nothing = JsonDocument.Parse("{}").RootElement.Clone();

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/sandboxes/{id}/preview", CreateAsync);
        routes.MapGet("/api/sandboxes/{id}/preview", ListAsync);
        routes.MapPost("/api/sandboxes/{id}/preview/rotate", RotateAsync);
        routes.MapDelete("/api/sandboxes/{id}/preview/{port}", DeleteAsync);
    }

    /// <summary>The token that a new sandbox's previews ask for; nothing: none.</summary>
    /// <exception cref="ApiException">400.</exception>
    internal static string? TokenOf(PreviewAuth? wanted)
    {
        if (wanted is null)
        {
            return null;
        }

        return wanted.Scheme is null or "" or Scheme
            ? PreviewToken.From(wanted.Token)
            : throw ApiException.Bad($"previewAuth.scheme '{wanted.Scheme}': {Scheme}");
    }

    private async Task CreateAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        PreviewRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.PreviewRequest).ConfigureAwait(false);
        int port = request.Port is int given and >= 1 and <= ushort.MaxValue ? given : throw ApiException.Bad("port is required: 1 to 65535");
        if (request.Domain is { Length: > 0 } domain && !string.Equals(domain, options.PreviewDomain, StringComparison.OrdinalIgnoreCase))
        {
            throw new ApiException(StatusCodes.Status501NotImplemented, $"previews are served below {options.PreviewDomain}, not '{domain}'")
            {
                Code = "not_supported",
            };
        }

        if (request.AuthConfig is { } config
            && (config.ValueKind is not (JsonValueKind.Object or JsonValueKind.Null) || config.GetRawText().Length > MaxAuthConfig))
        {
            throw ApiException.Bad($"authConfig: an object of at most {MaxAuthConfig} characters");
        }

        _ = options.BaseUri(context); // before anything is changed
        var preview = new PreviewEntry
        {
            Id = Guid.NewGuid().ToString(),
            Port = port,
            AuthConfig = request.AuthConfig is { ValueKind: JsonValueKind.Object } kept ? kept : null,
            CreatedAt = options.Sandboxes.TimeProvider.GetUtcNow(),
        };
        SandboxEntry? entry = await ChangeAsync(sandbox, entry => entry.Previews switch
        {
            var there when there.Any(one => one.Port == port) => entry,
            { Length: >= MaxPreviews } => throw ApiException.Bad($"there are {MaxPreviews} preview URLs already"),
            var there => entry with { Previews = [.. there, preview] },
        }).ConfigureAwait(false);
        PreviewEntry made = entry?.Previews.FirstOrDefault(one => one.Port == port) ?? preview;
        await JsonBody.WriteAsync(
            context,
            Describe(context, sandbox, made),
            HostJsonContext.Default.PreviewReply,
            made.Id == preview.Id ? StatusCodes.Status201Created : StatusCodes.Status200OK).ConfigureAwait(false);
    }

    private Task ListAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        PreviewReply[] all = [.. sandboxes.EntryOf(sandbox).Previews.Select(preview => Describe(context, sandbox, preview))];
        return JsonBody.WriteAsync(context, all, HostJsonContext.Default.PreviewReplyArray);
    }

    private async Task DeleteAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        string text = context.Text("port");
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int port)
            || sandboxes.EntryOf(sandbox).Previews.All(preview => preview.Port != port))
        {
            throw ApiException.NotFound($"there is no preview URL for port {text}");
        }

        await ChangeAsync(sandbox, entry => entry with { Previews = [.. entry.Previews.Where(preview => preview.Port != port)] }).ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task RotateAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        string token = PreviewToken.Make();
        string digest = PreviewToken.DigestOf(token);
        await ChangeAsync(sandbox, entry => entry with { PreviewTokenDigest = digest }).ConfigureAwait(false);
        await JsonBody.WriteAsync(context, new PreviewTokenReply(token, Scheme), HostJsonContext.Default.PreviewTokenReply).ConfigureAwait(false);
    }

    private Task<SandboxEntry?> ChangeAsync(Sandbox sandbox, Func<SandboxEntry, SandboxEntry> change) =>
        Task.Run(() => sandboxes.Entries.Change(sandbox.Id, change), CancellationToken.None);

    private PreviewReply Describe(HttpContext context, Sandbox sandbox, PreviewEntry preview)
    {
        string host = PreviewTarget.HostOf(sandbox.Id, preview.Port, options.PreviewDomain);
        Uri outside = options.BaseUri(context);
        string port = outside.IsDefaultPort ? "" : string.Create(CultureInfo.InvariantCulture, $":{outside.Port}");
        return new PreviewReply
        {
            Id = preview.Id,
            SandboxId = sandbox.Id,
            Hostname = host,
            Port = preview.Port,
            AuthConfig = preview.AuthConfig ?? s_nothing,
            CreatedAt = preview.CreatedAt,
            Url = $"{outside.Scheme}://{host}{port}/",
            PathUrl = string.Create(CultureInfo.InvariantCulture, $"{options.BaseUrl(context)}{PreviewTarget.PathRoot}/{sandbox.Id}/{preview.Port}/"),
        };
    }
}
