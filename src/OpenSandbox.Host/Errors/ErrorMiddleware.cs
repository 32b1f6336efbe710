using System.Text.Json;
using Microsoft.AspNetCore.Connections;
using OpenSandbox.Host.Json;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Errors;

/// <summary>Gives every request an id, and every failure a JSON body.</summary>
internal sealed class ErrorMiddleware(RequestDelegate next, ILogger<ErrorMiddleware> logger)
{
    private const string RequestIdHeader = "X-Request-Id";
    private const int MaxRequestId = 128;
    private const int NoSpace = 28; // ENOSPC

    public async Task InvokeAsync(HttpContext context)
    {
        string given = context.Request.Headers[RequestIdHeader].ToString();
        if (given.Length is > 0 and <= MaxRequestId && given.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.'))
        {
            context.TraceIdentifier = given;
        }

        context.Response.Headers[RequestIdHeader] = context.TraceIdentifier;
        try
        {
            await next(context).ConfigureAwait(false);
            if (context.Response is { HasStarted: false, StatusCode: >= 400, ContentLength: null, ContentType: null })
            {
                await WriteAsync(context, Unrouted(context)).ConfigureAwait(false);
            }
        }
        catch (Exception gone) when (gone is ConnectionResetException
            || (gone is OperationCanceledException or IOException && context.RequestAborted.IsCancellationRequested))
        {
            context.Abort(); // the client has gone: nobody is left to be answered, and what it had still to send does not come
        }
        catch (Exception failure)
        {
            ApiException answer = Translate(context, failure);
            if (context.Response.HasStarted)
            {
                context.Abort(); // a cut answer must not look whole
                return;
            }

            await WriteAsync(context, answer).ConfigureAwait(false);
        }
    }

    /// <summary>Writes an error as the answer.</summary>
    internal static async Task WriteAsync(HttpContext context, ApiException failure)
    {
        HttpResponse response = context.Response;
        response.StatusCode = failure.Status;
        if (failure.RetryAfter is int seconds)
        {
            response.Headers.RetryAfter = seconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
        }

        response.ContentType = "application/json; charset=utf-8";
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(BodyOf(failure), HostJsonContext.Default.ErrorBody);
        response.ContentLength = body.Length;
        await response.Body.WriteAsync(body, context.RequestAborted).ConfigureAwait(false);
    }

    /// <summary>The body that tells an error.</summary>
    internal static ErrorBody BodyOf(ApiException failure) => new()
    {
        Error = failure.Message,
        Code = failure.Code,
        Retryable = failure.Retryable ? true : null,
        Details = failure.Details,
    };

    private static ApiException Unrouted(HttpContext context) => context.Response.StatusCode switch
    {
        StatusCodes.Status404NotFound => new ApiException(404, $"there is nothing at {context.Request.Path}"),
        StatusCodes.Status405MethodNotAllowed => new ApiException(405, $"{context.Request.Method} is not possible at {context.Request.Path}"),
        int status => new ApiException(status, $"the request was refused with status {status}"),
    };

    /// <summary>The message without the name of the method's parameter.</summary>
    private static string Without(ArgumentException argument) => argument.ParamName is { } name
        ? argument.Message.Replace($" (Parameter '{name}')", "", StringComparison.Ordinal)
        : argument.Message;

    private ApiException Translate(HttpContext context, Exception failure)
    {
        switch (failure)
        {
            case ApiException known:
                return known;
            case SandboxException sandbox:
                return ErrorMapping.From(sandbox, logger, context.TraceIdentifier);
            case BadHttpRequestException bad:
                return new ApiException(bad.StatusCode, bad.Message, bad);
            case IOException { HResult: NoSpace }:
                HostLog.DiskFull(logger, context.TraceIdentifier, failure);
                return new ApiException(507, "the server's disk is full", failure) { Code = ErrorMapping.CodeOf(SandboxErrorCode.NoSpace) };
            case JsonException json:
                return ApiException.Bad(JsonBody.Describe(json));
            case ArgumentException argument:
                return ApiException.Bad(Without(argument)); // what a client asks for is checked by the library, which says what is wrong with it
            case OperationCanceledException:
                return new ApiException(503, "the server is being stopped") { Retryable = true, RetryAfter = 1 };
            default:
                HostLog.RequestFailed(logger, context.TraceIdentifier, context.Request.Method, context.Request.Path, failure);
                return new ApiException(500, $"a defect of the server; its log has it as request {context.TraceIdentifier}");
        }
    }
}
