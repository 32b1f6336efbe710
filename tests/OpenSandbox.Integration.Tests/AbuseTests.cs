using System.Diagnostics;
using System.Globalization;

namespace OpenSandbox.Integration.Tests;

/// <summary>Code that takes all it can get: its own sandbox still answers, another one does not notice, and the agent stays small.</summary>
[Collection(HostFixture.Collection)]
public sealed class AbuseTests(HostFixture fixture) : SandboxTests(fixture)
{
    private const int AgentLimitBytes = 200 << 20;
    private static readonly TimeSpan s_sane = TimeSpan.FromSeconds(10);

    private Sandbox? _other;

    public override async Task InitializeAsync()
    {
        await base.InitializeAsync();
        if (HostFixture.MissingPrerequisite is null && Fixture.Host.Images.List().Count >= 2)
        {
            _other = await Fixture.Host.CreateAsync(cancellationToken: Deadline());
        }
    }

    public override async Task DisposeAsync()
    {
        await base.DisposeAsync();
        if (_other is not null)
        {
            await _other.DisposeAsync();
        }
    }

    [SkippableFact]
    public async Task ForkBomb_IsRefusedAndBothSandboxesAnswer()
    {
        await using SandboxProcess bomb = await Sandbox.StartAsync(
            ["bash", "-c", "f() { f | f & }; while :; do f 2>/dev/null; done"], new StartOptions { Delivery = OutputDelivery.Lossy }, Deadline());
        await ExecTests.UntilAsync(async () => (await Sandbox.GetUsageAsync(Deadline())).RefusedForks > 100);

        await AssertOtherIsSaneAsync();
        await Sandbox.PingAsync(Deadline(20));
        Assert.InRange((await Sandbox.GetUsageAsync(Deadline())).Processes!.Value, 1, 128);
        Assert.True(await bomb.KillAsync(Deadline()));
        Assert.True((await bomb.WaitAsync(Deadline(30))).ProcessLimitHit);
        await AssertAnswersAsync();
    }

    [SkippableFact]
    public async Task MemoryHogs_AreKilledAndBothSandboxesAnswer()
    {
        for (int i = 0; i < 3; i++)
        {
            Task<ExecResult> hog = Sandbox.ExecAsync(
                ["python3", "-c", "x = []\nwhile True: x.append(bytearray(b'x' * (8 << 20)))"], cancellationToken: Deadline());
            await AssertOtherIsSaneAsync();
            await Sandbox.PingAsync(Deadline(20));
            Assert.True((await hog).Exit.OutOfMemory);
            await AssertAnswersAsync();
        }
    }

    [SkippableFact]
    public async Task OutputFloods_AreBoundedAndBothSandboxesAnswer()
    {
        var floods = new List<SandboxProcess>();
        for (int i = 0; i < 8; i++)
        {
            floods.Add(await Sandbox.StartAsync(
                ["yes", $"flood {i}"], new StartOptions { ScrollbackBytes = StartOptions.MaxScrollbackBytes, Delivery = OutputDelivery.Lossy }, Deadline()));
        }

        await ExecTests.UntilAsync(async () => (await Sandbox.Processes.ListAsync(Deadline())).Count(static p => p.OutputStart > 0) == 8);
        await AssertOtherIsSaneAsync();
        await AssertAnswersAsync();
        IReadOnlyList<SandboxProcessInfo> all = await Sandbox.Processes.ListAsync(Deadline());
        Assert.InRange(all.Sum(static p => p.OutputEnd - p.OutputStart), 1, (64L << 20) + (8 * (64 << 10)));
        ExecResult result = await Sandbox.ExecAsync(
            ["yes"], new ExecOptions { Timeout = TimeSpan.FromSeconds(8), MaxOutputBytes = 1_000_000 }, Deadline());
        Assert.True(result is { Truncated: true, Exit.TimedOut: true, StandardOutputBytes.Length: 1_000_000 });
        foreach (SandboxProcess flood in floods)
        {
            await flood.KillAsync(Deadline());
            await flood.WaitAsync(Deadline(30));
            await flood.DisposeAsync();
        }
    }

    [SkippableTheory]
    [InlineData("/workspace")]
    [InlineData("/root")]
    public async Task FullDisk_CommandsStillRun(string directory)
    {
        // Large files that take no time to write: the file system's space counts, not the host's.
        string fill = $"i=0; while fallocate -l 256M {directory}/fill$i 2>/dev/null; do i=$((i+1)); done; "
            + $"while fallocate -l 1M {directory}/fill$i 2>/dev/null; do i=$((i+1)); done; dd if=/dev/zero of={directory}/last bs=64k 2>&1 | tail -n 4; df --output=avail {directory} | tail -n 1";
        ExecResult full = await Sandbox.ExecAsync(fill, new ExecOptions { User = "root" }, Deadline(300));
        Assert.Contains("No space left", full.StandardOutput, StringComparison.Ordinal);

        SandboxOperationException refused = await Assert.ThrowsAsync<SandboxOperationException>(
            () => Sandbox.Files.WriteAsync(directory + "/more", new MemoryStream(new byte[10 << 20]), new FileWriteOptions { User = "root" }, Deadline()));
        Assert.Equal(SandboxErrorCode.NoSpace, refused.Code);
        await AssertOtherIsSaneAsync();
        await AssertAnswersAsync();
        await using SandboxProcess process = await Sandbox.StartAsync("echo still; echo here >&2", cancellationToken: Deadline());
        Assert.Equal(("still\n", "here\n"), await ReadBothAsync(process));
    }

    [SkippableFact]
    public async Task TenThousandOpenFiles_BothSandboxesAnswer()
    {
        await using SandboxProcess process = await Sandbox.StartAsync(
            [
                "python3", "-c",
                "import os\nos.makedirs('/tmp/many')\nx = [open('/tmp/many/%d' % i, 'w') for i in range(10000)]\nprint(len(os.listdir('/proc/self/fd')), flush=True); input()",
            ],
            cancellationToken: Deadline());

        Assert.True(int.Parse(await ReadLineAsync(process), CultureInfo.InvariantCulture) >= 10_000);
        await AssertOtherIsSaneAsync();
        await AssertAnswersAsync();
    }

    private async Task AssertAnswersAsync()
    {
        await Sandbox.PingAsync(Deadline(20));
        Assert.Equal("42\n", (await Sandbox.ExecAsync(["echo", "42"], cancellationToken: Deadline(60))).StandardOutput);
        string status = (await Sandbox.ExecAsync(["grep", "VmRSS", "/proc/1/status"], cancellationToken: Deadline(60))).StandardOutput;
        long kibibytes = long.Parse(string.Concat(status.Where(char.IsAsciiDigit)), CultureInfo.InvariantCulture);
        Assert.InRange(kibibytes * 1024, 1, AgentLimitBytes);
    }

    private async Task AssertOtherIsSaneAsync()
    {
        long started = Stopwatch.GetTimestamp();
        Assert.Equal("fine\n", (await _other!.ExecAsync(["echo", "fine"], cancellationToken: Deadline(60))).StandardOutput);
        Assert.True(Stopwatch.GetElapsedTime(started) < s_sane, $"the other sandbox took {Stopwatch.GetElapsedTime(started)}");
    }
}
