using System.Text;
using System.Text.Json;

namespace OpenSandbox.Host.Tests;

/// <summary>An answer as it came over the wire.</summary>
internal sealed record RawAnswer(int Status, IReadOnlyDictionary<string, string> Headers, byte[] Body)
{
    internal string Text => Encoding.UTF8.GetString(Body);

    internal JsonElement Json => JsonDocument.Parse(Body).RootElement;

    internal string Error => Json.GetProperty("error").GetString()!;

    internal string String(string property) => Json.GetProperty(property).GetString()!;
}
