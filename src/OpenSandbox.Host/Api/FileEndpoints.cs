using System.Globalization;
using Microsoft.AspNetCore.Http.Features;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Host.Security;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>Files of a sandbox, with a key or by a URL that carries its own permission.</summary>
internal sealed class FileEndpoints(SandboxService sandboxes, UrlSigner signer, ServerOptions options)
{
    private const int FileMode = 0x1A4; // 0644
    private const int DefaultExpirySeconds = 3_600;
    private const int MaxExpirySeconds = 86_400;

    /// <summary>Characters of a path, at most.</summary>
    internal const int MaxPath = 4_095;

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/sandboxes/{id}/files", context => DownloadAsync(context, Known(context), PathOf(context)));
        routes.MapPut("/api/sandboxes/{id}/files", context => UploadAsync(context, Known(context), PathOf(context)));
        routes.MapDelete("/api/sandboxes/{id}/files", RemoveAsync);
        routes.MapGet("/api/sandboxes/{id}/files/list", ListAsync);
        routes.MapPost("/api/sandboxes/{id}/files/mkdir", MakeDirectoryAsync);
        routes.MapPost("/api/sandboxes/{id}/files/download-url", context => SignAsync(context, UrlSigner.Download));
        routes.MapPost("/api/sandboxes/{id}/files/upload-url", context => SignAsync(context, UrlSigner.Upload));
        var open = new OpenAccess(FromAnywhere: true);
        routes.MapGet("/api/sandboxes/{id}/files/download", SignedDownloadAsync).WithMetadata(open);
        routes.MapPut("/api/sandboxes/{id}/files/upload", SignedUploadAsync).WithMetadata(open);
    }

    /// <summary>An absolute path: a relative one begins at the user's home.</summary>
    /// <exception cref="ApiException">400: it cannot be one.</exception>
    internal static string Absolute(string path)
    {
        if (path.Length > MaxPath || path.Contains('\0', StringComparison.Ordinal))
        {
            throw ApiException.Bad($"path: at most {MaxPath} characters, none of them NUL");
        }

        return path.StartsWith('/') ? path : $"{Routes.Home}/{path}";
    }

    private static string PathOf(HttpContext context) => Absolute(context.RequiredQuery("path"));

    private Sandbox Known(HttpContext context) => context.Sandbox(sandboxes);

    private static async Task DownloadAsync(HttpContext context, Sandbox sandbox, string path)
    {
        try
        {
            SandboxFile file = await sandbox.Files.StatAsync(path, context.RequestAborted).ConfigureAwait(false);
            if (file.Kind == SandboxFileKind.Directory)
            {
                throw new ApiException(StatusCodes.Status500InternalServerError, $"{path} is a directory") { Code = "is_directory" };
            }

            context.Response.ContentType = "application/octet-stream";
            if (file is { Kind: SandboxFileKind.File, Size: > 0 })
            {
                context.Response.ContentLength = file.Size;
                await sandbox.Files.ReadAsync(path, context.Response.Body, 0, file.Size, context.RequestAborted).ConfigureAwait(false);
            }
            else
            {
                await sandbox.Files.ReadAsync(path, context.Response.Body, cancellationToken: context.RequestAborted).ConfigureAwait(false);
            }
        }
        catch (SandboxOperationException failure) when (failure.Code == SandboxErrorCode.NotFound && !context.Response.HasStarted)
        {
            // Clients of this dialect expect 500 for a file that is not there; the code says what it is.
            throw new ApiException(StatusCodes.Status500InternalServerError, failure.Message, failure) { Code = ErrorMapping.CodeOf(failure.Code) };
        }
    }

    private async Task UploadAsync(HttpContext context, Sandbox sandbox, string path)
    {
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
        {
            limit.MaxRequestBodySize = options.MaxFileBytes;
        }

        if (context.Request.ContentLength is long length && length > options.MaxFileBytes)
        {
            throw new ApiException(StatusCodes.Status413PayloadTooLarge, $"a file of {length} bytes: at most {options.MaxFileBytes} can be sent");
        }

        await sandbox.Files
            .WriteAsync(path, context.Request.Body, new FileWriteOptions { CreateParents = true, Mode = FileMode }, context.RequestAborted)
            .ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task RemoveAsync(HttpContext context)
    {
        Sandbox sandbox = Known(context);
        await sandbox.Files.DeleteAsync(PathOf(context), recursive: true, ignoreMissing: true, context.RequestAborted).ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task ListAsync(HttpContext context)
    {
        Sandbox sandbox = Known(context);
        string path = context.Request.Query["path"].ToString() is { Length: > 0 } given ? Absolute(given) : "/";
        var listing = new FileListing(path);
        await foreach (SandboxFile file in sandbox.Files.ListAsync(path, cancellationToken: context.RequestAborted).ConfigureAwait(false))
        {
            listing.Add(file.Path, file.Kind == SandboxFileKind.Directory ? null : file.Size);
        }

        await JsonBody.WriteAsync(context, listing.Files, HostJsonContext.Default.FileReplyArray).ConfigureAwait(false);
    }

    private async Task MakeDirectoryAsync(HttpContext context)
    {
        Sandbox sandbox = Known(context);
        await sandbox.Files.CreateDirectoryAsync(PathOf(context), parents: true, cancellationToken: context.RequestAborted).ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task SignAsync(HttpContext context, string operation)
    {
        Sandbox sandbox = Known(context);
        SignUrlRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.SignUrlRequest).ConfigureAwait(false);
        string path = request.Path is { Length: > 0 } given ? Absolute(given) : throw ApiException.Bad("path is required");
        int seconds = request.ExpiresIn ?? DefaultExpirySeconds;
        if (seconds is < 1 or > MaxExpirySeconds)
        {
            throw ApiException.Bad($"expiresIn of {seconds} s: it must be from 1 to {MaxExpirySeconds}");
        }

        DateTimeOffset expires = options.Sandboxes.TimeProvider.GetUtcNow().AddSeconds(seconds);
        long unix = expires.ToUnixTimeSeconds();
        string url = string.Create(
            CultureInfo.InvariantCulture,
            $"{options.BaseUrl(context)}/api/sandboxes/{sandbox.Id}/files/{operation}?path={Uri.EscapeDataString(path)}&expires={unix}&signature={signer.Sign(sandbox.Id, path, operation, unix)}");
        await JsonBody.WriteAsync(
            context, new SignedUrlReply(url, DateTimeOffset.FromUnixTimeSeconds(unix)), HostJsonContext.Default.SignedUrlReply).ConfigureAwait(false);
    }

    private Task SignedDownloadAsync(HttpContext context)
    {
        string path = Check(context, UrlSigner.Download);
        return DownloadAsync(context, Known(context), path);
    }

    private Task SignedUploadAsync(HttpContext context)
    {
        string path = Check(context, UrlSigner.Upload);
        return UploadAsync(context, Known(context), path);
    }

    /// <exception cref="ApiException">400: something is missing; 403: it is not, or no longer, allowed.</exception>
    private string Check(HttpContext context, string operation)
    {
        string path = context.RequiredQuery("path");
        string signature = context.RequiredQuery("signature");
        context.Response.Headers.AccessControlAllowOrigin = "*"; // who has the URL may use it from any page
        if (!long.TryParse(context.RequiredQuery("expires"), NumberStyles.None, CultureInfo.InvariantCulture, out long expires))
        {
            throw ApiException.Bad("expires: a time in seconds");
        }

        if (!signer.Verify(context.Text("id"), path, operation, expires, signature))
        {
            throw new ApiException(StatusCodes.Status403Forbidden, "invalid signature");
        }

        return expires > options.Sandboxes.TimeProvider.GetUtcNow().ToUnixTimeSeconds()
            ? Absolute(path)
            : throw new ApiException(StatusCodes.Status403Forbidden, "the URL has expired");
    }
}
