using System.Text;
using System.Text.Json;

namespace OpenSandbox.Host.Tests.BadInput;

/// <summary>What clients send wrong, by mistake or on purpose: each is told so, in JSON, and the server does not mind.</summary>
[Collection(ServerFixture.Collection)]
public sealed class BadInputTests(ServerFixture fixture)
{
    public static TheoryData<string> Names => [.. BadRequests.All.Keys];

    [Fact]
    public void Cases_AreMany() => Assert.InRange(BadRequests.All.Count, 150, int.MaxValue);

    [SkippableTheory]
    [MemberData(nameof(Names))]
    public async Task Request_Bad_IsRefusedInJson(string name)
    {
        _ = fixture.Server;
        BadRequest bad = BadRequests.All[name];
        int errors = fixture.Log.Errors.Count;
        RawAnswer answer = await SendAsync(bad);

        Assert.True(bad.Status == answer.Status, $"{bad.Status} was expected, not {answer.Status}: {answer.Text}");
        AssertRefusal(answer, fixture);
        if (bad.Says is { } text2)
        {
            Assert.Contains(text2, answer.Error, StringComparison.OrdinalIgnoreCase);
        }

        fixture.Log.AssertNone(errors);
        RawAnswer after = await fixture.DoAsync("GET", $"/api/sandboxes/{fixture.Sandbox}");
        Assert.Equal("running", after.String("status"));
    }

    /// <summary>All of them at once, and again: what there was before is there after it, and nothing else.</summary>
    [SkippableFact]
    public async Task Requests_AllBadOnes_LeaveNothing()
    {
        _ = fixture.Server;
        await SendAllAsync(); // whatever is made once, and kept, is made now
        Holdings before = await Holdings.LookAsync(fixture);
        int errors = fixture.Log.Errors.Count;

        await SendAllAsync();

        fixture.Log.AssertNone(errors);
        CancellationToken deadline = Deadline.In(60);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(250));
        Holdings after = await Holdings.LookAsync(fixture);
        while (!after.IsNoMoreThan(before))
        {
            Assert.False(deadline.IsCancellationRequested, $"before: {before}\nafter: {after}");
            await timer.WaitForNextTickAsync(CancellationToken.None);
            after = await Holdings.LookAsync(fixture); // connections are closed, and processes reaped, a moment later
        }
    }

    /// <summary>The body of every error, which tells nothing of the server's inside.</summary>
    internal static void AssertRefusal(RawAnswer answer, ServerFixture fixture)
    {
        Assert.Equal("application/json; charset=utf-8", answer.Headers["Content-Type"]);
        JsonElement json = answer.Json;
        Assert.Equal(JsonValueKind.Object, json.ValueKind);
        Assert.False(string.IsNullOrWhiteSpace(json.GetProperty("error").GetString()));
        Assert.False(answer.Headers.ContainsKey("Server"));
        string text = answer.Text;
        foreach (string leak in (string[])["   at ", "Exception", "System.", "OpenSandbox.", "Microsoft.", "(Parameter", "/src/", fixture.StatePath, ServerFixture.Key, ServerFixture.OtherKey])
        {
            Assert.DoesNotContain(leak, text, StringComparison.Ordinal);
        }
    }

    private Task SendAllAsync() => Parallel.ForEachAsync(
        BadRequests.All.Values,
        new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = Deadline.In(120) },
        async (bad, _) => await SendAsync(bad));

    private async Task<RawAnswer> SendAsync(BadRequest bad)
    {
        byte[]? body = bad.Body switch
        {
            string text => Encoding.UTF8.GetBytes(Fill(text)),
            byte[] bytes => bytes,
            _ => null,
        };
        string[] headers = [.. bad.Headers.Select(Fill)];
        if (headers.Any(static header => header.StartsWith("Upgrade:", StringComparison.Ordinal)))
        {
            headers = [.. headers, "Connection: Upgrade"];
        }

        if (!headers.Any(static header => header.StartsWith("X-API-Key:", StringComparison.Ordinal)))
        {
            headers = [.. headers, $"X-API-Key: {ServerFixture.Key}"];
        }

        return await RawHttp.SendAsync(fixture.EndPoint, RawHttp.Request(bad.Method, Fill(bad.Target), body, headers));
    }

    private string Fill(string text) => text
        .Replace("{sb}", fixture.Sandbox, StringComparison.Ordinal)
        .Replace("{other}", fixture.Other, StringComparison.Ordinal)
        .Replace("{deleted}", fixture.Deleted, StringComparison.Ordinal)
        .Replace("{session}", fixture.Session, StringComparison.Ordinal)
        .Replace("{terminal}", fixture.Terminal, StringComparison.Ordinal)
        .Replace("{exec}", fixture.Execution, StringComparison.Ordinal)
        .Replace("{checkpoint}", fixture.Checkpoint, StringComparison.Ordinal)
        .Replace("{patch}", fixture.Patch, StringComparison.Ordinal)
        .Replace("{snapshot}", ServerFixture.Snapshot, StringComparison.Ordinal);
}
