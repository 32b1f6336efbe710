using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Routing;
using OpenSandbox.Host.OpenApi;

namespace OpenSandbox.Host.Tests;

/// <summary>The document of the API is what the server serves, and what is checked in.</summary>
[Collection(ServerFixture.Collection)]
public sealed partial class OpenApiTests(ServerFixture fixture)
{
    private const string File = "docs/api/openapi.json";

    [Fact]
    public void Document_IsWhatIsCheckedIn()
    {
        string path = Repository.Path(File);
        if (Environment.GetEnvironmentVariable("UPDATE_OPENAPI") == "1")
        {
            System.IO.File.WriteAllText(path, ApiDocument.Text);
        }

        Assert.True(System.IO.File.ReadAllText(path) == ApiDocument.Text, $"{File} is not what the server says: review the change and write it with UPDATE_OPENAPI=1");
    }

    [SkippableFact]
    public void Routes_AllOfThem_AreInTheDocument()
    {
        string[] served = [.. fixture.Server.Routes
            .SelectMany(static route => (route.Metadata.GetMetadata<HttpMethodMetadata>()?.HttpMethods ?? [ApiOperations.Any]).Select(method => $"{method} {route.RoutePattern.RawText}"))
            .Order(StringComparer.Ordinal)];
        string[] told = [.. ApiOperations.All.Select(static operation => $"{operation.Method} {operation.Path}").Order(StringComparer.Ordinal)];

        Assert.Equal(served, told); // a new route needs a line in ApiOperations
    }

    [Fact]
    public void Document_References_LeadSomewhere()
    {
        using JsonDocument document = JsonDocument.Parse(ApiDocument.Text);
        JsonElement schemas = document.RootElement.GetProperty("components").GetProperty("schemas");
        MatchCollection references = Reference().Matches(ApiDocument.Text);

        Assert.NotEmpty(references);
        Assert.All(references, reference => Assert.True(schemas.TryGetProperty(reference.Groups["name"].Value, out _), reference.Value));
        foreach (ApiOperation operation in ApiOperations.All)
        {
            JsonElement path = document.RootElement.GetProperty("paths").GetProperty(operation.Path.Replace("**", "", StringComparison.Ordinal));
            JsonElement told = operation.Method == ApiOperations.Any ? path.GetProperty("description") : path.GetProperty(operation.Method.ToLowerInvariant()).GetProperty("summary");
            Assert.StartsWith(operation.Summary, told.GetString(), StringComparison.Ordinal);
        }
    }

    [SkippableFact]
    public async Task Document_IsServedWithoutKey()
    {
        _ = fixture.Server;
        RawAnswer answer = await RawHttp.SendAsync(fixture.EndPoint, RawHttp.Request("GET", "/openapi.json", null));

        Assert.Equal(200, answer.Status);
        Assert.Equal(ApiDocument.Text, answer.Text);
    }

    [SkippableFact]
    public async Task Page_IsServedWithAllThatItNeeds()
    {
        _ = fixture.Server;
        RawAnswer page = await RawHttp.SendAsync(fixture.EndPoint, RawHttp.Request("GET", "/docs/index.html", null));

        Assert.Equal(200, page.Status);
        Assert.StartsWith("text/html", page.Headers["Content-Type"], StringComparison.Ordinal);
        string[] parts = [.. Part().Matches(page.Text).Select(static match => match.Groups["name"].Value)];
        Assert.Contains(parts, static part => part.EndsWith(".js", StringComparison.Ordinal));
        foreach (string part in parts)
        {
            Assert.DoesNotContain("//", part, StringComparison.Ordinal); // nothing comes from elsewhere
            RawAnswer answer = await RawHttp.SendAsync(fixture.EndPoint, RawHttp.Request("GET", "/docs/" + part.TrimStart('.', '/'), null));
            Assert.True(answer.Status == 200 && answer.Body.Length > 0, $"{part}: {answer.Status}");
        }

        Assert.InRange((await RawHttp.SendAsync(fixture.EndPoint, RawHttp.Request("GET", "/docs", null))).Status, 300, 308);
    }

    [GeneratedRegex("\"#/components/schemas/(?<name>[A-Za-z]+)\"", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Reference();

    [GeneratedRegex("(src|href)=\"(?<name>[^\"]+)\"", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Part();
}
