using System.Text.Json.Serialization.Metadata;

namespace OpenSandbox.Host.OpenApi;

/// <summary>A route as the document of the API tells it.</summary>
/// <param name="Method">The method.</param>
/// <param name="Path">The route's pattern.</param>
/// <param name="Group">Which part of the API it belongs to.</param>
/// <param name="Summary">What it does, in one line.</param>
internal sealed record ApiOperation(string Method, string Path, string Group, string Summary)
{
    /// <summary>The JSON that it reads.</summary>
    internal JsonTypeInfo? Request { get; init; }

    /// <summary>The media type of a body that is no JSON.</summary>
    internal string? RawRequest { get; init; }

    /// <summary>The status of success.</summary>
    internal int Status { get; init; } = StatusCodes.Status200OK;

    /// <summary>The JSON that it answers with.</summary>
    internal JsonTypeInfo? Reply { get; init; }

    /// <summary>The media type of an answer that is no JSON.</summary>
    internal string? RawReply { get; init; }

    /// <summary>A second kind of success.</summary>
    internal (int Status, JsonTypeInfo Reply)? Other { get; init; }

    /// <summary>Parameters of the query: name, whether it must be there, what it is.</summary>
    internal (string Name, bool IsRequired, string Description)[] Query { get; init; } = [];

    /// <summary>Errors beside 400, 401, 403, 429 and, for a sandbox, 404 and 410.</summary>
    internal int[] Errors { get; init; } = [];

    /// <summary>Whether no key is needed.</summary>
    internal bool IsOpen { get; init; }
}
