using System.Text;
using System.Text.Json;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent.Tests;

public sealed class RequestParserTests
{
    private static readonly string[] s_fragments =
    [
        "\"op\"", "\"file\"", "\"exec\"", "\"length\"", "\"path\"", "\"mode\"", "\"user\"", "\"recursive\"", "\"offset\"", "\"argv\"",
        "\"environment\"", "\"standardInput\"", "\"unknown\"", "\"Op\"", "\"\\u006fp\"", "null", "true", "false", "0", "-1", "1.0", "1e3",
        "2147483648", "9223372036854775808", "{", "}", "[", "]", ",", ":", "\"\\ud800\"", "\"\"", "{}", "[]", "x", " ",
    ];

    public static TheoryData<string> Usual => new()
    {
        """{"op":"read","file":{"path":"/a"}}""",
        """{"op":"write","file":{"path":"/\u00e4 b","mode":420,"user":"nobody","recursive":true,"offset":0,"length":9223372036854775807,"depth":-2147483648,"ignoreMissing":false}}""",
        """{"op":"exec","exec":{"argv":["/bin/true","","x"],"environment":{"A":"b","":"","A":"c"},"workingDirectory":"/","user":"0:0","standardInput":true,"timeoutMilliseconds":-5}}""",
        """ {"length":1,"op":"source","op":"sink"} """,
        """{"op":"read","file":{"path":"/a"},"file":{"path":"/b","path":"/c"}}""",
    };

    [Theory]
    [MemberData(nameof(Usual))]
    public void TryParseUsual_UsualRequest_IsWhatTheSerializerReads(string json) =>
        Assert.Equal(Serialized(json), Text(RequestParser.TryParseUsual(Encoding.UTF8.GetBytes(json))));

    [Theory]
    [InlineData("""{"op":"read","more":1}""")]
    [InlineData("""{"op":"read","file":null}""")]
    [InlineData("""{"op":"read","file":{"path":"/a","depth":2147483648}}""")]
    [InlineData("""{"op":"read","file":{}}""")]
    [InlineData("""{"op":"exec","exec":{"argv":[null]}}""")]
    [InlineData("""{"op":"read"} x""")]
    [InlineData("""{"op":"resume","resume":{}}""")]
    public void TryParseUsual_AnythingUnusual_IsLeftToTheSerializer(string json) =>
        Assert.Null(RequestParser.TryParseUsual(Encoding.UTF8.GetBytes(json)));

    [Fact]
    public void TryParseUsual_StringThatIsNoUtf8_IsLeftToTheSerializer() =>
        Assert.Null(RequestParser.TryParseUsual([.. "{\"op\":\""u8, 0xFF, .. "\"}"u8]));

    /// <summary>Mutations of valid requests: whatever is read directly, the serializer reads alike.</summary>
    [Theory]
    [MemberData(nameof(Usual))]
    public void TryParseUsual_MutatedRequest_NeverDiffersFromTheSerializer(string json)
    {
        var random = new Random(4711);
        int direct = 0;
        for (int i = 0; i < 20_000; i++)
        {
            string mutated = json;
            for (int change = random.Next(3); change >= 0; change--)
            {
                int at = random.Next(mutated.Length);
                int cut = random.Next(4) == 0 ? Math.Min(random.Next(8), mutated.Length - at) : 0;
                string insert = random.Next(3) == 0 ? "" : s_fragments[random.Next(s_fragments.Length)];
                mutated = mutated.Remove(at, cut).Insert(at, insert);
            }

            if (RequestParser.TryParseUsual(Encoding.UTF8.GetBytes(mutated)) is { } request)
            {
                direct++;
                Assert.Equal(Serialized(mutated), Text(request));
            }
        }

        Assert.NotEqual(0, direct);
    }

    private static string Serialized(string json) =>
        Text(JsonSerializer.Deserialize(Encoding.UTF8.GetBytes(json), ProtocolJsonContext.Default.OpenRequest));

    private static string Text(OpenRequest? request)
    {
        Assert.NotNull(request);
        return JsonSerializer.Serialize(request, ProtocolJsonContext.Default.OpenRequest);
    }
}
