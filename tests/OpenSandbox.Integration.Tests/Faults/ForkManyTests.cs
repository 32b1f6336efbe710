using System.Globalization;
using System.Text.Json;
using Xunit.Abstractions;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>R1 and R2: many copies of one checkpoint. Each is somebody else, knows what time it is, and goes on by itself.</summary>
[Collection(HostFixture.Collection)]
[Trait("Category", "Faults")]
public sealed class ForkManyTests(HostFixture fixture, ITestOutputHelper output)
{
    private const int AtOnce = 5;
    private static readonly int s_forks = FaultCampaign.Runs > 0 || Environment.GetEnvironmentVariable("OPENSANDBOX_TEST_CASES") is { Length: > 0 } ? 100 : 20;

    // Runs before the checkpoint and goes on in every copy: a database, and random numbers from the first moment on.
    private const string Parent = """
        import os, sqlite3, time
        db = sqlite3.connect('/workspace/db')
        db.execute('create table numbers (i integer primary key, text text)')
        i = 0
        while True:
            i += 1
            with open('/dev/shm/samples', 'a') as f:
                f.write(os.urandom(16).hex() + '\n')
            db.execute('insert into numbers values (?, ?)', (i, str(i) * 10))
            db.commit()
            with open('/dev/shm/count.new', 'w') as f:
                f.write(str(i))
            os.rename('/dev/shm/count.new', '/dev/shm/count')
            time.sleep(0.01)
        """;

    private const string Report = """
        import json, os, sqlite3, socket, tempfile, time, uuid
        def count():
            return int(open('/dev/shm/count').read())
        first = count()
        now = time.time_ns()
        while count() < first + 10:
            time.sleep(0.01)
        db = sqlite3.connect('file:/workspace/db?mode=ro', uri=True)
        rows, last = db.execute('select count(*), max(i) from numbers').fetchone()
        print(json.dumps({
            'now': now,
            'unique': [os.urandom(16).hex() for _ in range(100)] + [str(uuid.uuid4()), str(uuid.uuid1())]
                + [open('/proc/sys/kernel/random/uuid').read().strip(), open('/etc/machine-id').read().strip(), socket.gethostname(), tempfile.mktemp()],
            'samples': open('/dev/shm/samples').read().split('\n')[:-1],
            'whole': rows == last and db.execute('pragma integrity_check').fetchone()[0] == 'ok',
            'rows': rows, 'first': first,
        }))
        """;

    [SkippableFact]
    public async Task Checkpoint_ForkedManyTimes_EachIsUniqueInTimeAndGoesOn()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox parent = await host.CreateAsync(cancellationToken: Deadline());
        await using SandboxProcess process = await parent.StartAsync(["python3", "-c", Parent], cancellationToken: Deadline());
        await ExecTests.UntilAsync(async () => (await parent.ExecAsync("test -e /dev/shm/count", cancellationToken: Deadline())).ExitCode == 0);
        SandboxCheckpoint checkpoint = await parent.CheckpointAsync(cancellationToken: Deadline());
        var reports = new List<ForkReport>();
        double latest = 0;
        while (reports.Count < s_forks)
        {
            IReadOnlyList<Sandbox> forks = await host.ForkAsync(checkpoint.Id, Math.Min(AtOnce, s_forks - reports.Count), cancellationToken: Deadline());
            foreach (Sandbox fork in forks)
            {
                (ForkReport report, TimeSpan late) = await ReportAsync(fork);
                reports.Add(report);
                latest = Math.Max(latest, late.TotalMilliseconds);
                await fork.DeleteAsync(Deadline());
            }
        }

        reports.Add((await ReportAsync(parent)).Report);
        Assert.All(reports, static report => Assert.True(report.Whole, $"{report.Rows} rows"));
        string[] unique = [.. reports.SelectMany(static report => report.Unique)];
        Assert.Equal(unique.Length, unique.Distinct(StringComparer.Ordinal).Count());

        // What was drawn before the checkpoint all have, and of what came later no two have anything.
        int common = Enumerable.Range(0, reports.Min(static report => report.Samples.Length))
            .TakeWhile(i => reports.All(report => report.Samples[i] == reports[0].Samples[i])).Count();
        string[] later = [.. reports.SelectMany(report => report.Samples.Skip(common))];
        Assert.True(later.Length >= reports.Count * 5, $"{later.Length} numbers after the checkpoint");
        Assert.Equal(later.Length, later.Distinct(StringComparer.Ordinal).Count());
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{s_forks} forks of one checkpoint: {unique.Length + later.Length} identities and random numbers, all different; clocks off by at most {latest:0} ms"));
        Assert.True(latest <= 50, $"a clock was off by {latest} ms");
        Assert.True(await host.DeleteCheckpointAsync(checkpoint.Id, Deadline()));
    }

    /// <returns>The report, and by how much the guest's clock is outside of the time in which it was asked.</returns>
    private static async Task<(ForkReport Report, TimeSpan Late)> ReportAsync(Sandbox sandbox)
    {
        DateTime before = DateTime.UtcNow;
        ExecResult result = await sandbox.ExecAsync(["python3", "-c", Report], cancellationToken: Deadline());
        DateTime after = DateTime.UtcNow;
        Assert.True(result.ExitCode == 0, result.StandardError);
        ForkReport report = JsonSerializer.Deserialize<ForkReport>(result.StandardOutput, s_web)!;
        DateTime guest = DateTime.UnixEpoch.AddTicks(report.Now / 100);
        TimeSpan late = guest < before ? before - guest : guest > after ? guest - after : TimeSpan.Zero;
        return (report, late);
    }

    private static readonly JsonSerializerOptions s_web = new(JsonSerializerDefaults.Web);

    private static CancellationToken Deadline(int seconds = 90) => ExecTests.Deadline(seconds);

    private sealed record ForkReport(long Now, string[] Unique, string[] Samples, bool Whole, int Rows, int First);
}
