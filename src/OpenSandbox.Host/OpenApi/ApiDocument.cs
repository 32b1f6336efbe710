using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Schema;
using System.Text.Json.Serialization.Metadata;
using System.Text.RegularExpressions;
using OpenSandbox.Host.Json;

namespace OpenSandbox.Host.OpenApi;

/// <summary>The OpenAPI document of the server, made of its table of routes and of the shapes of its JSON.</summary>
internal static partial class ApiDocument
{
    private const string Json = "application/json";
    private const string KeyScheme = "key";
    private const string BearerScheme = "bearer";

    private static readonly Lazy<string> s_text = new(() => Build(ApiOperations.All));

    /// <summary>The document, JSON.</summary>
    internal static string Text => s_text.Value;

    /// <summary>Makes a document.</summary>
    internal static string Build(IReadOnlyList<ApiOperation> operations)
    {
        var schemas = new JsonObject();
        var paths = new JsonObject();
        foreach (ApiOperation operation in operations)
        {
            string name = operation.Path.Replace("**", "", StringComparison.Ordinal);
            if (paths[name] is not JsonObject path)
            {
                paths[name] = path = [];
            }

            if (operation.Method == ApiOperations.Any)
            {
                path["description"] = operation.Summary + ". Any method.";
                path["parameters"] = Parameters(operation);
            }
            else
            {
                path[operation.Method.ToLowerInvariant()] = Describe(operation, schemas);
            }
        }

        _ = Reference(HostJsonContext.Default.ErrorBody, schemas);
        var document = new JsonObject
        {
            ["openapi"] = "3.1.0",
            ["info"] = new JsonObject
            {
                ["title"] = "OpenSandbox",
                ["version"] = typeof(ApiDocument).Assembly.GetName().Version?.ToString(3) ?? "0.0.0",
                ["description"] = "Sandboxes, each a virtual machine of its own. Errors are JSON objects with a text 'error'.",
            },
            ["paths"] = paths,
            ["components"] = new JsonObject
            {
                ["schemas"] = schemas,
                ["securitySchemes"] = new JsonObject
                {
                    [KeyScheme] = new JsonObject { ["type"] = "apiKey", ["in"] = "header", ["name"] = "X-API-Key" },
                    [BearerScheme] = new JsonObject { ["type"] = "http", ["scheme"] = "bearer" },
                },
            },
            ["security"] = new JsonArray(new JsonObject { [KeyScheme] = new JsonArray() }, new JsonObject { [BearerScheme] = new JsonArray() }),
        };
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            document.WriteTo(writer);
        }

        return System.Text.Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length) + "\n";
    }

    private static JsonObject Describe(ApiOperation operation, JsonObject schemas)
    {
        var told = new JsonObject
        {
            ["tags"] = new JsonArray((JsonNode)operation.Group),
            ["summary"] = operation.Summary,
        };
        JsonArray parameters = Parameters(operation);
        if (parameters.Count > 0)
        {
            told["parameters"] = parameters;
        }

        if (operation.Request is { } request)
        {
            told["requestBody"] = new JsonObject { ["content"] = Content(Json, Reference(request, schemas)) };
        }
        else if (operation.RawRequest is { } raw)
        {
            told["requestBody"] = new JsonObject { ["content"] = Content(raw, []) };
        }

        told["responses"] = Replies(operation, schemas);
        if (operation.IsOpen)
        {
            told["security"] = new JsonArray();
        }

        return told;
    }

    private static JsonArray Parameters(ApiOperation operation)
    {
        var parameters = new JsonArray();
        foreach (Match name in Parameter().Matches(operation.Path))
        {
            parameters.Add((JsonNode)new JsonObject { ["name"] = name.Groups["name"].Value, ["in"] = "path", ["required"] = true, ["schema"] = Typed("string") });
        }

        foreach ((string name, bool isRequired, string description) in operation.Query)
        {
            parameters.Add((JsonNode)new JsonObject { ["name"] = name, ["in"] = "query", ["required"] = isRequired, ["description"] = description, ["schema"] = Typed("string") });
        }

        return parameters;
    }

    private static JsonObject Replies(ApiOperation operation, JsonObject schemas)
    {
        JsonObject? content = operation switch
        {
            { Reply: { } reply } => Content(Json, Reference(reply, schemas)),
            { RawReply: { } raw } => Content(raw, []),
            _ => null,
        };
        var replies = new JsonObject { [Number(operation.Status)] = Reply(operation.Status, content) };
        if (operation.Other is ({ } status, { } other))
        {
            replies[Number(status)] = Reply(status, Content(Json, Reference(other, schemas)));
        }

        var errors = new SortedSet<int>(operation.Errors) { 429, 503 };
        if (!operation.IsOpen)
        {
            errors.UnionWith([401, 403]);
        }

        if (operation.Request is not null || operation.Query.Any(static query => query.IsRequired))
        {
            errors.Add(400);
        }

        if (operation.Path.Contains('{', StringComparison.Ordinal))
        {
            errors.Add(StatusCodes.Status404NotFound);
        }

        if (operation.Path.Contains("{id}", StringComparison.Ordinal))
        {
            errors.Add(StatusCodes.Status410Gone); // only sandboxes are remembered when they are gone
        }

        errors.Remove(operation.Status);
        foreach (int error in errors)
        {
            replies[Number(error)] = Reply(error, Content(Json, Reference(HostJsonContext.Default.ErrorBody, schemas)));
        }

        return replies;
    }

    private static JsonObject Reply(int status, JsonObject? content)
    {
        var reply = new JsonObject { ["description"] = Microsoft.AspNetCore.WebUtilities.ReasonPhrases.GetReasonPhrase(status) };
        if (content is not null)
        {
            reply["content"] = content;
        }

        return reply;
    }

    private static JsonObject Content(string type, JsonObject schema) => new() { [type] = new JsonObject { ["schema"] = schema } };

    private static JsonObject Typed(string type) => new() { ["type"] = type };

    private static string Number(int status) => status.ToString(CultureInfo.InvariantCulture);

    /// <summary>A shape has a name in the document; lists and maps are described where they stand.</summary>
    private static JsonObject Reference(JsonTypeInfo shape, JsonObject schemas)
    {
        if (shape.Kind == JsonTypeInfoKind.Enumerable)
        {
            return new JsonObject { ["type"] = "array", ["items"] = Reference(shape.Options.GetTypeInfo(shape.ElementType!), schemas) };
        }

        if (shape.Kind != JsonTypeInfoKind.Object)
        {
            return SchemaOf(shape);
        }

        string name = shape.Type.Name;
        if (!schemas.ContainsKey(name))
        {
            schemas[name] = SchemaOf(shape);
        }

        return new JsonObject { ["$ref"] = $"#/components/schemas/{name}" };
    }

    private static JsonObject SchemaOf(JsonTypeInfo shape) =>
        shape.GetJsonSchemaAsNode(new JsonSchemaExporterOptions { TreatNullObliviousAsNonNullable = true }) as JsonObject ?? [];

    [GeneratedRegex(@"\{(\*\*)?(?<name>[A-Za-z]+)\}", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Parameter();
}
