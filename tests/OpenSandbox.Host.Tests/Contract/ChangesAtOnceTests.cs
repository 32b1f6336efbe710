using System.Net.Sockets;
using System.Text;

namespace OpenSandbox.Host.Tests.Contract;

/// <summary>What comes while something else is under way, and clients that leave in the middle.</summary>
[Collection(ServerFixture.Collection)]
public sealed class ChangesAtOnceTests(ServerFixture fixture)
{
    private const string Small = """{"timeout":0,"memoryMB":512}""";

    [SkippableFact]
    public async Task Wake_WhileItIsPutAway_WaitsAndWakes()
    {
        _ = fixture.Server;
        string sandbox = (await fixture.DoAsync("POST", "/api/sandboxes", Small)).String("sandboxID");
        Task<RawAnswer> hibernating = fixture.DoAsync("POST", $"/api/sandboxes/{sandbox}/hibernate");
        RawAnswer woken;
        do
        {
            woken = await fixture.SendAsync("POST", $"/api/sandboxes/{sandbox}/wake", "{}");
        }
        while (woken.Status == 400); // it has not begun yet

        Assert.True(woken.Status == 200, woken.Text);
        Assert.Equal("running", woken.String("status"));
        await hibernating;
        await fixture.DoAsync("DELETE", $"/api/sandboxes/{sandbox}");
    }

    [SkippableFact]
    public async Task Fork_ClientLeavesWhilePatchesRun_LeavesNoSandbox()
    {
        _ = fixture.Server;
        string parent = (await fixture.DoAsync("POST", "/api/sandboxes", Small)).String("sandboxID");
        string checkpoint = (await fixture.DoAsync("POST", $"/api/sandboxes/{parent}/checkpoints", """{"name":"c","kind":"disk_only"}""")).String("id");
        await fixture.DoAsync("POST", $"/api/sandboxes/checkpoints/{checkpoint}/patches", """{"script":"sleep 120"}""");
        string[] before = await ListAsync();
        using (Socket client = await RawHttp.ConnectAsync(fixture.EndPoint))
        {
            await client.SendAsync(
                RawHttp.Request("POST", $"/api/sandboxes/from-checkpoint/{checkpoint}", "{}"u8.ToArray(), $"X-API-Key: {ServerFixture.Key}"), Deadline.In(30));
            await UntilAsync(async () => (await ListAsync()).Length > before.Length);
        }

        await UntilAsync(async () => (await ListAsync()).Length == before.Length);
        Assert.Equal(before, await ListAsync());
        await fixture.DoAsync("DELETE", $"/api/sandboxes/{parent}/checkpoints/{checkpoint}");
        await fixture.DoAsync("DELETE", $"/api/sandboxes/{parent}");
    }

    [SkippableFact]
    public async Task Patch_OfACheckpointThatIsDeletedMeanwhile_Is404AndLeavesNoRecord()
    {
        _ = fixture.Server;
        string checkpoint = (await fixture.DoAsync("POST", $"/api/sandboxes/{fixture.Other}/checkpoints", """{"name":"gone","kind":"disk_only"}""")).String("id");
        string records = Path.Combine(fixture.StatePath, "api", "checkpoints");
        int before = Directory.GetFiles(records).Length;
        byte[] body = """{"script":"true"}"""u8.ToArray();
        using Socket client = await RawHttp.ConnectAsync(fixture.EndPoint);
        byte[] request = RawHttp.Request(
            "POST", $"/api/sandboxes/checkpoints/{checkpoint}/patches", body, $"X-API-Key: {ServerFixture.Key}", "Expect: 100-continue");
        await client.SendAsync(request.AsMemory(..^body.Length), Deadline.In(30));
        byte[] answer = new byte[256];
        int count = await client.ReceiveAsync(answer, Deadline.In(30));
        Assert.StartsWith("HTTP/1.1 100", Encoding.ASCII.GetString(answer, 0, count), StringComparison.Ordinal); // it has found the checkpoint
        await fixture.DoAsync("DELETE", $"/api/sandboxes/{fixture.Other}/checkpoints/{checkpoint}");
        await client.SendAsync(body, Deadline.In(30));

        Assert.Equal(404, (await RawHttp.ReadAsync(client, Deadline.In(30))).Status);
        Assert.Equal(before - 1, Directory.GetFiles(records).Length);
    }

    private async Task<string[]> ListAsync() =>
        [.. (await fixture.DoAsync("GET", "/api/sandboxes")).Json.EnumerateArray().Select(static one => one.GetProperty("sandboxID").GetString()!).Order(StringComparer.Ordinal)];

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(250));
        CancellationToken deadline = Deadline.In(90);
        while (!await condition())
        {
            await timer.WaitForNextTickAsync(deadline);
        }
    }
}
