using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;

namespace OpenSandbox.Host.Tests;

/// <summary>The server is killed in the middle of its work, and another one takes over.</summary>
[Collection(ServerFixture.Collection)]
public sealed class RestartTests
{
    private const int IdleSeconds = 15;
    private static readonly int s_rounds = Environment.GetEnvironmentVariable("OPENSANDBOX_TEST_CASES") is { Length: > 0 } ? 5 : 2;

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
            string deleted = await CreateAsync(server, """{"timeout":0,"memoryMB":512}""");
            await server.DoAsync("DELETE", $"/api/sandboxes/{deleted}");
            await server.DoAsync("PUT", $"/api/sandboxes/{running}/tags", """{"team":"red"}""");
            await server.DoAsync("PUT", $"/api/sandboxes/{running}/scaling-lock", """{"locked":true}""");
            await server.DoAsync("POST", $"/api/sandboxes/{running}/preview", """{"port":8000}""");
            await server.DoAsync("POST", $"/api/sandboxes/{running}/exec/run", """{"cmd":"echo before > /tmp/state"}""");
            string checkpoint = (await server.DoAsync("POST", $"/api/sandboxes/{running}/checkpoints", """{"name":"before"}""")).String("id");
            await server.DoAsync("POST", $"/api/sandboxes/checkpoints/{checkpoint}/patches", """{"script":"echo patched >> /workspace/patched"}""");
            await server.DoAsync("POST", $"/api/sandboxes/{running}/exec/run", """{"cmd":"echo after > /tmp/state"}""");
            string session = (await server.DoAsync("POST", $"/api/sandboxes/{running}/exec", """{"cmd":"cat"}""")).String("sessionID");
            Assert.Equal("first\n", await TypeAsync(server, running, session, "first\n"));
            await server.DoAsync("POST", $"/api/sandboxes/{asleep}/hibernate");
            string[] settled = await LookAsync(server, running, asleep, deleted, checkpoint);
            double sleptAfter = await UptimeAsync(server, asleep);

            // Told to stop it writes down what was used; from there on only the sandboxes themselves know.
            Assert.Equal(0, await server.StopAsync());
            server.Dispose();
            server = await ServeProcess.StartAsync(directory.Options);
            DateTimeOffset startedAt = (await server.DoAsync("GET", $"/api/sandboxes/{running}")).Json.GetProperty("startedAt").GetDateTimeOffset();
            Assert.Equal(settled, await LookAsync(server, running, asleep, deleted, checkpoint));
            string idle = await CreateAsync(server, $$"""{"timeout":{{IdleSeconds}},"memoryMB":512}""");
            long idleSince = Stopwatch.GetTimestamp();
            long listening = idleSince;
            string typed = "first\n";

            for (int round = 0; round < s_rounds; round++)
            {
                var load = new Load(server, running);
                await load.KillAsync();
                server.Dispose();
                server = await ServeProcess.StartAsync(directory.Options);
                listening = Stopwatch.GetTimestamp();

                Assert.Equal(settled, await LookAsync(server, running, asleep, deleted, checkpoint));
                Assert.Equal(410, (await server.SendAsync("GET", $"/api/sandboxes/{deleted}/exec")).Status);
                Assert.Equal("after yes\n", await RunAsync(server, running, "echo $(cat /tmp/state) $KEPT"));
                typed += $"round {round}\n";
                Assert.Equal(typed, await TypeAsync(server, running, session, $"round {round}\n"));

                // What it has used is counted on, as if there had been no kill; who slept has used nothing.
                double before = (DateTimeOffset.UtcNow - startedAt).TotalSeconds;
                double uptime = await UptimeAsync(server, running);
                Assert.InRange(uptime, before - 3, (DateTimeOffset.UtcNow - startedAt).TotalSeconds + 1);
                Assert.InRange(await UptimeAsync(server, asleep), sleptAfter - 2, sleptAfter + 2);

                // What clients were told of is there, or was deleted by them; and whatever is there works.
                Assert.NotEmpty(load.Written);
                string names = await RunAsync(server, running, "cd /workspace; grep -c . $(ls | grep ^load-) /dev/null | grep ':1$'");
                Assert.Empty(load.Written.Except(names.Split('\n').Select(static line => line.Split(':')[0])));
                HashSet<string> listed = [.. (await server.DoAsync("GET", "/api/sandboxes")).Json.EnumerateArray().Select(static one => one.GetProperty("sandboxID").GetString()!)];
                foreach ((string id, bool deletedByClient) in load.Made)
                {
                    Assert.True(listed.Contains(id) || deletedByClient, $"{id} is gone");
                }

                foreach (string id in listed.Except([running, idle]))
                {
                    Assert.Equal("works\n", await RunAsync(server, id, "echo works"));
                    await server.DoAsync("DELETE", $"/api/sandboxes/{id}");
                }
            }

            // Timers: the idle sandbox falls asleep in its time, though the servers that were to see to it are dead: not earlier, and after a kill at most
            // that time later.
            double asked = Stopwatch.GetElapsedTime(idleSince).TotalSeconds; // by then it may have slept for long
            await UntilAsync(async () => (await server.DoAsync("GET", $"/api/sandboxes/{idle}")).String("status") == "hibernated", seconds: IdleSeconds + 60);
            double due = Stopwatch.GetElapsedTime(idleSince, listening).TotalSeconds + IdleSeconds;
            Assert.InRange(Stopwatch.GetElapsedTime(idleSince).TotalSeconds, IdleSeconds - 1, Math.Max(due, asked) + 30);
            Assert.Equal("running", (await server.DoAsync("GET", $"/api/sandboxes/{running}")).String("status"));
            await server.DoAsync("POST", $"/api/sandboxes/{running}/checkpoints/{checkpoint}/restore");
            Assert.Equal("before\npatched\n", await RunAsync(server, running, "cat /tmp/state /workspace/patched"));
            Assert.Equal("awake\n", await RunAsync(server, asleep, "echo awake"));

            Assert.Equal(0, await server.StopAsync());
            Assert.DoesNotContain("by a defect", server.Log, StringComparison.Ordinal);
        }
        finally
        {
            server.Dispose();
        }
    }

    /// <summary>Everything that no kill may change.</summary>
    private static async Task<string[]> LookAsync(ServeProcess server, string running, string asleep, string deleted, string checkpoint)
    {
        var seen = new List<string>();
        foreach (string target in (string[])[running, asleep, deleted, $"{running}/tags", $"{running}/scaling-lock", $"{running}/preview", $"{running}/allowed-hosts", $"{running}/checkpoints", $"checkpoints/{checkpoint}/patches"])
        {
            seen.Add(WithoutAddress((await server.DoAsync("GET", $"/api/sandboxes/{target}")).Text, server));
        }

        foreach (JsonElement session in (await server.DoAsync("GET", $"/api/sandboxes/{running}/exec")).Json.EnumerateArray().Where(static one => one.GetProperty("command").GetString() == "cat"))
        {
            seen.Add($"{session.GetProperty("sessionID").GetString()} {session.GetProperty("running").GetBoolean()}"); // its start is told by the guest's clock
        }

        return [.. seen];
    }

    // Every server has a port of its own.
    private static string WithoutAddress(string text, ServeProcess server) =>
        text.Replace(server.EndPoint.Port.ToString(CultureInfo.InvariantCulture), "PORT", StringComparison.Ordinal);

    private static async Task<double> UptimeAsync(ServeProcess server, string sandbox) =>
        (await server.DoAsync("GET", $"/api/sandboxes/{sandbox}/usage")).Json.GetProperty("totals").GetProperty("uptimeSeconds").GetDouble();

    /// <summary>Attaches to a session, types a line, and waits until it is echoed.</summary>
    /// <returns>All that the session has written so far.</returns>
    private static async Task<string> TypeAsync(ServeProcess server, string sandbox, string session, string line)
    {
        using var socket = new ClientWebSocket();
        await socket.ConnectAsync(new Uri($"ws://{server.EndPoint}/api/sandboxes/{sandbox}/exec/{session}?api_key={ServerFixture.Key}"), Deadline.In(30));
        await socket.SendAsync(Encoding.UTF8.GetBytes("\0" + line).AsMemory(), WebSocketMessageType.Binary, endOfMessage: true, Deadline.In(30));
        var written = new StringBuilder();
        byte[] buffer = new byte[4_096];
        while (!written.ToString().EndsWith(line, StringComparison.Ordinal))
        {
            ValueWebSocketReceiveResult received = await socket.ReceiveAsync(buffer.AsMemory(), Deadline.In(30));
            Assert.Equal(WebSocketMessageType.Binary, received.MessageType);
            if (buffer[0] == 1)
            {
                written.Append(Encoding.UTF8.GetString(buffer, 1, received.Count - 1));
            }
        }

        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Deadline.In(30));
        return written.ToString();
    }

    private static async Task<string> CreateAsync(ServeProcess server, string body) => (await server.DoAsync("POST", "/api/sandboxes", body)).String("sandboxID");

    private static async Task<string> RunAsync(ServeProcess server, string sandbox, string script)
    {
        string body = $$"""{"cmd":"sh","args":["-c",{{JsonSerializer.Serialize(script)}}]}""";
        return (await server.DoAsync("POST", $"/api/sandboxes/{sandbox}/exec/run", body)).String("stdout");
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

    /// <summary>Clients that create, use and delete sandboxes, run commands and write files, until the server is killed.</summary>
    private sealed class Load(ServeProcess server, string running)
    {
        private const int Enough = 5;

        private static int s_files;

        private readonly TaskCompletionSource _enough = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>The sandboxes that clients were told of, and whether they asked for their end.</summary>
        internal ConcurrentDictionary<string, bool> Made { get; } = new(StringComparer.Ordinal);

        /// <summary>The files that clients were told to be written.</summary>
        internal ConcurrentBag<string> Written { get; } = [];

        /// <summary>Kills the server when some sandboxes have been made.</summary>
        internal async Task KillAsync()
        {
            Task[] clients = [.. ((Func<Task>[])[RunAsync, RunAsync, WriteAsync, CreateAsync, CreateAsync, CreateAsync]).Select(work => Task.Run(async () =>
            {
                try
                {
                    while (true)
                    {
                        await work();
                    }
                }
                catch (Exception gone) when (gone is SocketException or IOException or JsonException or Xunit.Sdk.XunitException or OperationCanceledException)
                {
                    // The server has been killed.
                }
            }))];
            await Task.WhenAny(_enough.Task, Task.WhenAll(clients)).WaitAsync(TimeSpan.FromSeconds(120));
            Assert.True(_enough.Task.IsCompletedSuccessfully, $"the load ended before the server did\n{server.Log}");
            await server.KillAsync();
            await Task.WhenAll(clients).WaitAsync(TimeSpan.FromSeconds(120));
        }

        private async Task RunAsync() => await server.SendAsync("POST", $"/api/sandboxes/{running}/exec/run", """{"cmd":"true"}""");

        private async Task WriteAsync()
        {
            string name = $"load-{Interlocked.Increment(ref s_files)}";
            RawAnswer answer = await server.SendAsync("PUT", $"/api/sandboxes/{running}/files?path=/workspace/{name}", "written\n");
            if (answer.Status == 204)
            {
                Written.Add(name);
            }
        }

        private async Task CreateAsync()
        {
            RawAnswer answer = await server.SendAsync("POST", "/api/sandboxes", """{"timeout":0,"memoryMB":512}""");
            Assert.Equal(201, answer.Status);
            string id = answer.String("sandboxID");
            Made[id] = false;
            if (Made.Count >= Enough && !Written.IsEmpty)
            {
                _enough.TrySetResult();
            }

            if (Made.Count % 2 == 0)
            {
                Made[id] = true;
                await server.SendAsync("DELETE", $"/api/sandboxes/{id}");
            }
        }
    }
}
