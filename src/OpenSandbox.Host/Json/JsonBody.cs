using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Text.Unicode;
using OpenSandbox.Host.Errors;

namespace OpenSandbox.Host.Json;

/// <summary>Reads and writes the JSON bodies of requests and answers.</summary>
internal static class JsonBody
{
    /// <summary>Reads a body; an empty one is an empty object.</summary>
    /// <exception cref="ApiException">It is no JSON, not of this shape, or too large.</exception>
    internal static async Task<T> ReadAsync<T>(HttpContext context, JsonTypeInfo<T> shape)
        where T : class
    {
        // Whatever content type it says: clients leave it out, or send a form's by default. It is bounded by the server's limit on bodies.
        using var content = new MemoryStream();
        await context.Request.Body.CopyToAsync(content, context.RequestAborted).ConfigureAwait(false);
        ReadOnlySpan<byte> bytes = content.GetBuffer().AsSpan(0, (int)content.Length);
        try
        {
            if (!Utf8.IsValid(bytes))
            {
                throw ApiException.Bad("invalid JSON: it is not UTF-8"); // the reader would skip it where it is not interested
            }

            T value = JsonSerializer.Deserialize(bytes.IsEmpty ? "{}"u8 : bytes, shape) ?? throw ApiException.Bad("invalid JSON: an object is expected, not null");
            (value as IChecked)?.Check();
            return value;
        }
        catch (JsonException wrong)
        {
            throw new ApiException(StatusCodes.Status400BadRequest, Describe(wrong), wrong);
        }
    }

    /// <summary>What is wrong with a document, in the client's terms: the reader's own messages name types of this program.</summary>
    internal static string Describe(JsonException wrong) => wrong.InnerException is JsonException syntax
        ? $"invalid JSON: {syntax.Message}"
        : $"invalid JSON: the value at {wrong.Path ?? "$"} is not of the type that belongs there";

    /// <summary>Answers with JSON.</summary>
    internal static async Task WriteAsync<T>(HttpContext context, T body, JsonTypeInfo<T> shape, int status = StatusCodes.Status200OK)
    {
        byte[] bytes = JsonSerializer.SerializeToUtf8Bytes(body, shape);
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json; charset=utf-8";
        context.Response.ContentLength = bytes.Length;
        await context.Response.Body.WriteAsync(bytes, context.RequestAborted).ConfigureAwait(false);
    }
}
