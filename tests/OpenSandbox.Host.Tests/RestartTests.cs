using System.Collections.Concurrent;
using System.Text.Json;

namespace OpenSandbox.Host.Tests;

/// <summary>The server is killed in the middle of its work, and another one takes over.</summary>
[Collection(ServerFixture.Collection)]
public sealed class RestartTests
{
    [SkippableFact]
    public async Task Server_KilledUnderLoad_LeavesEverythingAsItWas()
    {
        Skip.If(ServerDirectory.MissingPrerequisite is not null, ServerDirectory.MissingPrerequisite);
        await using var directory = new ServerDirectory();
        ServeProcess server = await ServeProcess.StartAsync(directory.Options);
        try
        {
            string running = await CreateAsync(server, """{"timeout":0,"memoryMB":512,"envs":{"KEPT":"yes"},"metadata":{"m":"1"}}""");
            string asleep = await CreateAsync(server, """{"timeout":3600,"memoryMB":512}""");
            string idle = await CreateAsync(server, """{"timeout":20,"memoryMB":512}""");
            string deleted = await CreateAsync(server, """{"timeout":0,"memoryMB":512}""");
            await server.DoAsync("DELETE", $"/api/sandboxes/{deleted}");
            await server.DoAsync("PUT", $"/api/sandboxes/{running}/tags", """{"team":"red"}""");
            await server.DoAsync("POST", $"/api/sandboxes/{running}/exec/run", """{"cmd":"echo before > /tmp/state"}""");
            string checkpoint = (await server.DoAsync("POST", $"/api/sandboxes/{running}/checkpoints", """{"name":"before"}""")).String("id");
            await server.DoAsync("POST", $"/api/sandboxes/{running}/exec/run", """{"cmd":"echo after > /tmp/state"}""");
            string session = (await server.DoAsync("POST", $"/api/sandboxes/{running}/exec", """{"cmd":"cat"}""")).String("sessionID");
            await server.DoAsync("POST", $"/api/sandboxes/{asleep}/hibernate");
            string checkpoints = (await server.DoAsync("GET", $"/api/sandboxes/{running}/checkpoints")).Text;
            string startedAt = (await server.DoAsync("GET", $"/api/sandboxes/{running}")).String("startedAt");

            for (int round = 0; round < 3; round++)
            {
                ConcurrentDictionary<string, bool> made = await KillUnderLoadAsync(server, running);
                server.Dispose();
                server = await ServeProcess.StartAsync(directory.Options);

                RawAnswer found = await server.DoAsync("GET", $"/api/sandboxes/{running}");
                Assert.Equal("running", found.String("status"));
                Assert.Equal(startedAt, found.String("startedAt"));
                Assert.Equal("red", found.Json.GetProperty("tags").GetProperty("team").GetString());
                Assert.Equal("after yes\n", await RunAsync(server, running, "echo $(cat /tmp/state) $KEPT"));
                Assert.Equal("hibernated", (await server.DoAsync("GET", $"/api/sandboxes/{asleep}")).String("status"));
                Assert.Equal("stopped", (await server.DoAsync("GET", $"/api/sandboxes/{deleted}")).String("status"));
                Assert.Equal(410, (await server.SendAsync("GET", $"/api/sandboxes/{deleted}/exec")).Status);
                Assert.Equal(checkpoints, (await server.DoAsync("GET", $"/api/sandboxes/{running}/checkpoints")).Text);
                JsonElement sessions = (await server.DoAsync("GET", $"/api/sandboxes/{running}/exec")).Json;
                Assert.Contains(sessions.EnumerateArray(), one => one.GetProperty("sessionID").GetString() == session && one.GetProperty("running").GetBoolean());

                // What clients were told of is there, or was deleted by them; and whatever is there works.
                HashSet<string> listed = [.. (await server.DoAsync("GET", "/api/sandboxes")).Json.EnumerateArray().Select(static one => one.GetProperty("sandboxID").GetString()!)];
                foreach ((string id, bool deletedByClient) in made)
                {
                    Assert.True(listed.Contains(id) || deletedByClient, $"{id} is gone");
                }

                foreach (string id in listed.Except([running, idle]))
                {
                    Assert.Equal("works\n", await RunAsync(server, id, "echo works"));
                    await server.DoAsync("DELETE", $"/api/sandboxes/{id}");
                }
            }

            // Timers: the idle sandbox falls asleep in its time, though the server that was to see to it is dead.
            await UntilAsync(async () => (await server.DoAsync("GET", $"/api/sandboxes/{idle}")).String("status") == "hibernated", seconds: 60);
            Assert.Equal("running", (await server.DoAsync("GET", $"/api/sandboxes/{running}")).String("status"));
            await server.DoAsync("POST", $"/api/sandboxes/{running}/checkpoints/{checkpoint}/restore");
            Assert.Equal("before\n", await RunAsync(server, running, "cat /tmp/state"));
            Assert.Equal("awake\n", await RunAsync(server, asleep, "echo awake"));

            Assert.Equal(0, await server.StopAsync());
            Assert.DoesNotContain("by a defect", server.Log, StringComparison.Ordinal);
        }
        finally
        {
            server.Dispose();
        }
    }

    private static async Task<string> CreateAsync(ServeProcess server, string body) => (await server.DoAsync("POST", "/api/sandboxes", body)).String("sandboxID");

    private static async Task<string> RunAsync(ServeProcess server, string sandbox, string script)
    {
        string body = $$"""{"cmd":"sh","args":["-c",{{JsonSerializer.Serialize(script)}}]}""";
        return (await server.DoAsync("POST", $"/api/sandboxes/{sandbox}/exec/run", body)).String("stdout");
    }

    /// <summary>Clients create, use and delete sandboxes; the server is killed when the fifth has been made.</summary>
    /// <returns>The sandboxes that clients were told of, and whether they asked for their end.</returns>
    private static async Task<ConcurrentDictionary<string, bool>> KillUnderLoadAsync(ServeProcess server, string running)
    {
        var made = new ConcurrentDictionary<string, bool>(StringComparer.Ordinal);
        var enough = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task[] clients = [.. Enumerable.Range(0, 6).Select(i => Task.Run(async () =>
        {
            try
            {
                while (true)
                {
                    if (i % 2 == 0)
                    {
                        await server.SendAsync("POST", $"/api/sandboxes/{running}/exec/run", """{"cmd":"true"}""");
                        continue;
                    }

                    string id = (await server.SendAsync("POST", "/api/sandboxes", """{"timeout":0,"memoryMB":512}""")).String("sandboxID");
                    made[id] = false;
                    if (made.Count >= 5)
                    {
                        enough.TrySetResult();
                    }

                    if (made.Count % 2 == 0)
                    {
                        made[id] = true;
                        await server.SendAsync("DELETE", $"/api/sandboxes/{id}");
                    }
                }
            }
            catch (Exception gone) when (gone is System.Net.Sockets.SocketException or Xunit.Sdk.XunitException or OperationCanceledException)
            {
                // The server has been killed.
            }
        }))];
        await Task.WhenAny(enough.Task, Task.WhenAll(clients)).WaitAsync(TimeSpan.FromSeconds(120));
        Assert.True(enough.Task.IsCompletedSuccessfully, $"the load ended before the server did\n{server.Log}");
        await server.KillAsync();
        await Task.WhenAll(clients).WaitAsync(TimeSpan.FromSeconds(120));
        return made;
    }

    private static async Task UntilAsync(Func<Task<bool>> condition, int seconds)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(250));
        CancellationToken deadline = Deadline.In(seconds);
        while (!await condition())
        {
            await timer.WaitForNextTickAsync(deadline);
        }
    }
}
