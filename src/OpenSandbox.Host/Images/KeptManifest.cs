using System.Buffers;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace OpenSandbox.Host.Images;

/// <summary>What is kept of an image's manifest, to be told again: nothing is built of it, and there can be a thousand of them.</summary>
internal static class KeptManifest
{
    /// <summary>Largest manifest that is kept, bytes.</summary>
    internal const int MaxBytes = 64 << 10;

    /// <summary>Largest manifest that is told in a list, bytes.</summary>
    internal const int MaxListedBytes = 4 << 10;

    private static readonly JsonWriterOptions s_plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>
    /// The manifest if it is small; else with SHA-256 and length in place of files' contents; if that is not small either, only the types of its
    /// steps.
    /// </summary>
    /// <exception cref="InvalidOperationException">A text in it is no Unicode.</exception>
    internal static JsonElement Of(JsonElement manifest)
    {
        JsonElement kept = Rewrite(writer => manifest.WriteTo(writer));
        if (BytesOf(kept) > MaxBytes)
        {
            kept = Rewrite(writer => WriteWithoutContents(writer, manifest));
        }

        return BytesOf(kept) > MaxBytes ? Outline(manifest) : kept;
    }

    /// <summary>The manifest as it is told in a list.</summary>
    internal static JsonElement ForList(JsonElement kept) => BytesOf(kept) > MaxListedBytes ? Outline(kept) : kept;

    private static int BytesOf(JsonElement json) => JsonMarshal.GetRawUtf8Value(json).Length;

    private static JsonElement Outline(JsonElement manifest) => Rewrite(writer =>
    {
        writer.WriteStartObject();
        writer.WriteStartArray("steps");
        if (manifest.TryGetProperty("steps", out JsonElement steps) && steps.ValueKind == JsonValueKind.Array)
        {
            foreach (JsonElement step in steps.EnumerateArray())
            {
                writer.WriteStartObject();
                writer.WriteString("type", step.GetProperty("type").GetString());
                writer.WriteEndObject();
            }
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
    });

    private static JsonElement Rewrite(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, s_plain))
        {
            write(writer);
        }

        return JsonElement.Parse(buffer.WrittenSpan);
    }

    /// <summary>Contents are texts named so, wherever they stand.</summary>
    private static void WriteWithoutContents(Utf8JsonWriter writer, JsonElement json)
    {
        switch (json.ValueKind)
        {
            case JsonValueKind.Object:
                writer.WriteStartObject();
                foreach (JsonProperty member in json.EnumerateObject())
                {
                    if (member is { Name: "content", Value.ValueKind: JsonValueKind.String })
                    {
                        byte[] content = Encoding.UTF8.GetBytes(member.Value.GetString()!);
                        writer.WriteString("contentSha256", Convert.ToHexStringLower(SHA256.HashData(content)));
                        writer.WriteNumber("contentLength", content.Length);
                    }
                    else
                    {
                        writer.WritePropertyName(member.Name);
                        WriteWithoutContents(writer, member.Value);
                    }
                }

                writer.WriteEndObject();
                break;
            case JsonValueKind.Array:
                writer.WriteStartArray();
                foreach (JsonElement item in json.EnumerateArray())
                {
                    WriteWithoutContents(writer, item);
                }

                writer.WriteEndArray();
                break;
            default:
                json.WriteTo(writer);
                break;
        }
    }
}
