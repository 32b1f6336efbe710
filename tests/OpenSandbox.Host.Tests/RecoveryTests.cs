using System.Text.Json.Nodes;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Host.Tests;

/// <summary>What a server makes of what the one before it has left half-done, damaged, or in other hands.</summary>
[Collection(ServerFixture.Collection)]
public sealed class RecoveryTests
{
    private const string Small = """{"timeout":0,"memoryMB":512}""";

    [SkippableFact]
    public async Task Sandbox_ThatCannotBeTakenOver_IsNotWrittenOff()
    {
        Skip.If(ServerDirectory.MissingPrerequisite is not null, ServerDirectory.MissingPrerequisite);
        await using var directory = new ServerDirectory();
        string held, doomed;
        using (ServeProcess first = await ServeProcess.StartAsync(directory.Options))
        {
            held = (await first.DoAsync("POST", "/api/sandboxes", Small)).String("sandboxID");
            doomed = (await first.DoAsync("POST", "/api/sandboxes", Small)).String("sandboxID");
            await first.DoAsync("PUT", $"/api/sandboxes/{held}/tags", """{"team":"red"}""");
            Assert.Equal(0, await first.StopAsync());
        }

        StateStore state = StateStore.Open(directory.StatePath);
        SandboxLock[] locks = [state.TryLockSandbox(held)!, state.TryLockSandbox(doomed)!];
        Assert.All(locks, Assert.NotNull);
        using ServeProcess second = await ServeProcess.StartAsync(directory.Options);
        try
        {
            foreach (string request in (string[])[$"GET {held}", $"GET {held}/exec", $"DELETE {doomed}"])
            {
                RawAnswer refused = await second.SendAsync(request.Split(' ')[0], $"/api/sandboxes/{request.Split(' ')[1]}");
                Assert.Equal((503, "not_taken_over"), (refused.Status, refused.String("code")));
                Assert.Equal("5", refused.Headers["Retry-After"]);
            }
        }
        finally
        {
            Array.ForEach(locks, static one => one.Dispose());
        }

        await second.DoAsync("DELETE", $"/api/sandboxes/{doomed}");
        Assert.False(state.SandboxExists(doomed));
        CancellationToken deadline = Deadline.In(60);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(250));
        while ((await second.SendAsync("GET", $"/api/sandboxes/{held}")).Status == 503)
        {
            await timer.WaitForNextTickAsync(deadline);
        }

        Assert.Equal("running", (await second.DoAsync("GET", $"/api/sandboxes/{held}")).String("status"));
        Assert.Equal("red", (await second.DoAsync("GET", $"/api/sandboxes/{held}/tags")).Json.GetProperty("tags").GetProperty("team").GetString());
        Assert.Equal(0, await second.StopAsync());
    }

    [SkippableFact]
    public async Task Records_WrongOrLost_DeleteOpenAndForgetNothing()
    {
        Skip.If(ServerDirectory.MissingPrerequisite is not null, ServerDirectory.MissingPrerequisite);
        await using var directory = new ServerDirectory();
        string records = Path.Combine(directory.StatePath, "api", "sandboxes");
        string deleted, ended, unreadable, checkpoint;
        using (ServeProcess first = await ServeProcess.StartAsync(directory.Options))
        {
            deleted = (await first.DoAsync("POST", "/api/sandboxes", Small)).String("sandboxID");
            ended = (await first.DoAsync("POST", "/api/sandboxes", Small)).String("sandboxID");
            unreadable = (await first.DoAsync("POST", "/api/sandboxes", Small)).String("sandboxID");
            await first.DoAsync("PUT", $"/api/sandboxes/{ended}/tags", """{"team":"red"}""");
            checkpoint = (await first.DoAsync("POST", $"/api/sandboxes/{unreadable}/checkpoints", """{"name":"c","kind":"disk_only"}""")).String("id");
            Assert.Equal(0, await first.StopAsync());
        }

        End(Path.Combine(records, $"{deleted}.json"), "it was deleted"); // and then its server was killed
        End(Path.Combine(records, $"{ended}.json"), "it was gone when the server started");
        await File.WriteAllTextAsync(Path.Combine(records, $"{unreadable}.json"), "damaged");
        File.Delete(Assert.Single(Directory.GetFiles(Path.Combine(directory.StatePath, "api", "checkpoints"))));

        StateStore state = StateStore.Open(directory.StatePath);
        using ServeProcess second = await ServeProcess.StartAsync(directory.Options);
        Assert.False(state.SandboxExists(deleted));
        Assert.Equal("stopped", (await second.DoAsync("GET", $"/api/sandboxes/{deleted}")).String("status"));
        Assert.Equal("running", (await second.DoAsync("GET", $"/api/sandboxes/{ended}")).String("status"));
        Assert.Equal("red", (await second.DoAsync("GET", $"/api/sandboxes/{ended}/tags")).Json.GetProperty("tags").GetProperty("team").GetString());
        Assert.Equal("running", (await second.DoAsync("GET", $"/api/sandboxes/{unreadable}")).String("status"));
        Assert.Equal("damaged", await File.ReadAllTextAsync(Assert.Single(Directory.GetFiles(records, "*.unreadable"))));

        // Whose previews they were nobody knows: they are not for everyone.
        Assert.Equal(401, (await second.SendAsync("GET", $"/preview/{unreadable}/8000/")).Status);
        await second.DoAsync("POST", $"/api/sandboxes/checkpoints/{checkpoint}/patches", """{"script":"true"}""");
        string fork = (await second.DoAsync("POST", $"/api/sandboxes/from-checkpoint/{checkpoint}", "{}")).String("sandboxID");
        Assert.Equal(401, (await second.SendAsync("GET", $"/preview/{fork}/8000/")).Status);

        // No record can be written: what is deleted is, all the same.
        Directory.Move(records, records + ".away");
        await second.DoAsync("DELETE", $"/api/sandboxes/{fork}");
        Assert.False(state.SandboxExists(fork));
        Directory.Move(records + ".away", records);
        Assert.Equal(0, await second.StopAsync());
        Assert.DoesNotContain("by a defect", second.Log, StringComparison.Ordinal);
    }

    private static void End(string record, string reason)
    {
        JsonNode entry = JsonNode.Parse(File.ReadAllText(record))!;
        entry["endedAt"] = "2026-01-01T00:00:00Z";
        entry["endReason"] = reason;
        File.WriteAllText(record, entry.ToJsonString());
    }
}
