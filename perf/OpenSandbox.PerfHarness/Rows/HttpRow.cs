using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using OpenSandbox.Host;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>
/// P18: create and the first command over loopback HTTP, against the same two calls of the library with the very sandbox that the request
/// asks for; beside them the delete. Then how many requests a second the server answers: the list of sandboxes, which is nothing but HTTP,
/// and a command.
/// </summary>
internal sealed class HttpRow() : Row("P18", "HTTP create+exec over loopback", "<= library + 2 ms")
{
    private const double AllowedMilliseconds = 2;
    private const int MemoryMib = 512;
    private const string Key = "osb_bench";
    private static readonly int[] s_concurrencies = [1, 8, 64];
    private static readonly TimeSpan s_rateTime = TimeSpan.FromSeconds(5);

    private static readonly SandboxSpec s_spec = new()
    {
        MemoryMib = MemoryMib,
        Lifetime = SandboxLifetime.Detached,
        Egress = EgressPolicy.AllowPublic,
        MaxGuestScaleMib = 16_384,
        Expiry = new SandboxExpiry { Action = SandboxExpiryAction.Hibernate, AutoWake = true },
    };

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        Sandbox first = await bench.CreateAsync(s_spec, cancellationToken).ConfigureAwait(false); // the image is there from here on
        await first.DeleteAsync(cancellationToken).ConfigureAwait(false);
        string state = Path.Combine(bench.Host.Options.StateDirectory, "http");
        SandboxHostOptions sandboxes = Prepare(bench.Host.Options, state);
        OpenSandboxServer server = await OpenSandboxServer.StartAsync(
            new ServerOptions
            {
                Listen = ListenAddress.Parse("127.0.0.1:0"),
                ApiKeys = [Key],
                Sandboxes = sandboxes,
                RequestsPerSecond = 1_000_000,
            },
            cancellationToken: cancellationToken).ConfigureAwait(false);
        await using (server.ConfigureAwait(false))
        {
            using var client = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = s_concurrencies[^1] }) { BaseAddress = new Uri(server.Address) };
            client.DefaultRequestHeaders.Add("X-API-Key", Key);
            return
            [
                .. await MeasureLifesAsync(bench, client, cancellationToken).ConfigureAwait(false),
                .. await MeasureRatesAsync(client, cancellationToken).ConfigureAwait(false),
            ];
        }
    }

    private static SandboxHostOptions Prepare(SandboxHostOptions options, string state)
    {
        // A server of its own: images and golden snapshots are those of the other rows, sandboxes are not.
        Directory.CreateDirectory(state, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        foreach (string shared in (string[])["images", "golden"])
        {
            string link = Path.Combine(state, shared);
            if (!Directory.Exists(link))
            {
                Directory.CreateSymbolicLink(link, Path.Combine(options.StateDirectory, shared));
            }
        }

        return options with { StateDirectory = state, RuntimeDirectory = options.RuntimeDirectory + "-http", FirstUid = options.FirstUid + 100_000 };
    }

    private async Task<IReadOnlyList<Figure>> MeasureLifesAsync(Bench bench, HttpClient client, CancellationToken cancellationToken)
    {
        int count = bench.Count(30) + Bench.Warmups;
        Series library = new(Bench.Warmups), http = new(Bench.Warmups); // up to the end of the first command
        Series[] libraryParts = [new(Bench.Warmups), new(Bench.Warmups), new(Bench.Warmups)];
        Series[] httpParts = [new(Bench.Warmups), new(Bench.Warmups), new(Bench.Warmups)];
        for (int i = 0; i < count; i++)
        {
            Bench.Progress($"{Id} {i + 1}/{count}");
            double[] times = new double[3];
            long start = Stopwatch.GetTimestamp();
            Sandbox sandbox = await bench.Host.CreateAsync(s_spec, cancellationToken).ConfigureAwait(false);
            times[0] = Bench.Since(start);
            (await sandbox.ExecAsync(["true"], cancellationToken: cancellationToken).ConfigureAwait(false)).EnsureSuccess();
            times[1] = Bench.Since(start);
            await sandbox.DeleteAsync(cancellationToken).ConfigureAwait(false);
            times[2] = Bench.Since(start);
            AddAll(times, library, libraryParts);

            start = Stopwatch.GetTimestamp();
            string id = await CreateAsync(client, cancellationToken).ConfigureAwait(false);
            times[0] = Bench.Since(start);
            await ExecAsync(client, id, cancellationToken).ConfigureAwait(false);
            times[1] = Bench.Since(start);
            await DeleteAsync(client, id, cancellationToken).ConfigureAwait(false);
            times[2] = Bench.Since(start);
            AddAll(times, http, httpParts);
        }

        return
        [
            Figure.Compare("create and first exec", "ms", library, http, Goal, static (library, http) => http <= library + AllowedMilliseconds),
            Figure.Compare("create", "ms", libraryParts[0], httpParts[0]),
            Figure.Compare("exec", "ms", libraryParts[1], httpParts[1]),
            Figure.Compare("delete", "ms", libraryParts[2], httpParts[2]),
        ];
    }

    private static async Task<IReadOnlyList<Figure>> MeasureRatesAsync(HttpClient client, CancellationToken cancellationToken)
    {
        string id = await CreateAsync(client, cancellationToken).ConfigureAwait(false);
        var figures = new List<Figure>();
        foreach (int concurrency in s_concurrencies)
        {
            figures.Add(await RateAsync("GET /api/sandboxes", concurrency, () => ListAsync(client, cancellationToken)).ConfigureAwait(false));
            figures.Add(await RateAsync("exec/run", concurrency, () => ExecAsync(client, id, cancellationToken)).ConfigureAwait(false));
        }

        await DeleteAsync(client, id, cancellationToken).ConfigureAwait(false);
        return figures;
    }

    private static async Task<Figure> RateAsync(string what, int concurrency, Func<Task> request)
    {
        Bench.Progress($"P18 {what}, {concurrency} at once");
        await request().ConfigureAwait(false);
        long done = 0;
        long start = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, concurrency).Select(_ => Task.Run(async () =>
        {
            while (Stopwatch.GetElapsedTime(start) < s_rateTime)
            {
                await request().ConfigureAwait(false);
                Interlocked.Increment(ref done);
            }
        }))).ConfigureAwait(false);
        var series = new Series();
        series.Add(done / Stopwatch.GetElapsedTime(start).TotalSeconds);
        return Figure.OfOurs(string.Create(CultureInfo.InvariantCulture, $"{what}, {concurrency} at once"), "requests/s", series);
    }

    private static void AddAll(double[] times, Series used, Series[] parts)
    {
        used.Add(times[1]);
        parts[0].Add(times[0]);
        parts[1].Add(times[1] - times[0]);
        parts[2].Add(times[2] - times[1]);
    }

    private static async Task<string> CreateAsync(HttpClient client, CancellationToken cancellationToken)
    {
        using HttpResponseMessage made = await client.PostAsync(
            new Uri("/api/sandboxes", UriKind.Relative), Json($$"""{"timeout":0,"memoryMB":{{MemoryMib}}}"""), cancellationToken).ConfigureAwait(false);
        made.EnsureSuccessStatusCode();
        using JsonDocument reply = JsonDocument.Parse(await made.Content.ReadAsByteArrayAsync(cancellationToken).ConfigureAwait(false));
        return reply.RootElement.GetProperty("sandboxID").GetString()!;
    }

    private static async Task ExecAsync(HttpClient client, string id, CancellationToken cancellationToken)
    {
        using HttpResponseMessage answer = await client.PostAsync(
            new Uri($"/api/sandboxes/{id}/exec/run", UriKind.Relative), Json("""{"cmd":"true"}"""), cancellationToken).ConfigureAwait(false);
        answer.EnsureSuccessStatusCode();
        byte[] body = await answer.Content.ReadAsByteArrayAsync(cancellationToken).ConfigureAwait(false);
        if (!body.AsSpan().StartsWith("{\"exitCode\":0,"u8))
        {
            throw new InvalidDataException($"exec/run said {Encoding.UTF8.GetString(body)}");
        }
    }

    private static async Task ListAsync(HttpClient client, CancellationToken cancellationToken)
    {
        using HttpResponseMessage answer = await client.GetAsync(new Uri("/api/sandboxes", UriKind.Relative), cancellationToken).ConfigureAwait(false);
        answer.EnsureSuccessStatusCode();
        await answer.Content.ReadAsByteArrayAsync(cancellationToken).ConfigureAwait(false);
    }

    private static async Task DeleteAsync(HttpClient client, string id, CancellationToken cancellationToken)
    {
        using HttpResponseMessage answer = await client.DeleteAsync(new Uri($"/api/sandboxes/{id}", UriKind.Relative), cancellationToken).ConfigureAwait(false);
        answer.EnsureSuccessStatusCode();
    }

    private static StringContent Json(string body) => new(body, Encoding.UTF8, new MediaTypeHeaderValue("application/json"));
}
