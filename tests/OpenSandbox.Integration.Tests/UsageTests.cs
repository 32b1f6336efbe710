namespace OpenSandbox.Integration.Tests;

/// <summary>What a sandbox uses, and reports of limits that were hit.</summary>
[Collection(HostFixture.Collection)]
public sealed class UsageTests(HostFixture fixture) : SandboxTests(fixture)
{
    [SkippableFact]
    public async Task Usage_OfWork_IsPlausible()
    {
        SandboxUsage before = await Sandbox.GetUsageAsync(Deadline());
        await using SandboxProcess process = await Sandbox.StartAsync(
            ["python3", "-c", "x = bytearray(40 << 20); i = 0\nwhile i < 500000: i += 1\nprint('ready', flush=True); input()"], cancellationToken: Deadline());
        await ReadLineAsync(process);
        SandboxUsage during = await Sandbox.GetUsageAsync(Deadline());
        await process.KillAsync(Deadline());
        await process.WaitAsync(Deadline());
        await Sandbox.ExecAsync("head -c 5000000 /dev/urandom >/workspace/data; sync", cancellationToken: Deadline());
        SandboxUsage after = await Sandbox.GetUsageAsync(Deadline());

        Assert.True(during.CpuTime > before.CpuTime);
        Assert.InRange(during.MemoryBytes!.Value, 40 << 20, 400 << 20);
        Assert.True(during.MemoryPeakBytes >= during.MemoryBytes);
        Assert.InRange(during.MemoryLimitBytes!.Value, 64L << 20, Sandbox.GuestMemoryBytes);
        Assert.Equal(1, during.Processes);
        Assert.Equal(128, during.ProcessLimit);
        Assert.True(after.MemoryBytes < during.MemoryBytes);
        Assert.True(after.DiskWrittenBytes is null || after.DiskWrittenBytes - during.DiskWrittenBytes >= 5_000_000, $"{after}");
        Assert.Equal((0, 0), (after.OutOfMemoryKills, after.RefusedForks));
    }

    [SkippableFact]
    public async Task RefusedForks_AreCountedAndReported()
    {
        const string tooMany = "i=0; while [ $i -lt 200 ]; do sleep 1030 >/dev/null 2>&1 & i=$((i+1)); done";
        ExecResult command = await Sandbox.ExecAsync(tooMany, cancellationToken: Deadline());
        await Sandbox.ExecAsync("kill -9 -1", cancellationToken: Deadline());
        await using SandboxProcess process = await Sandbox.StartAsync(tooMany, cancellationToken: Deadline());
        SandboxProcessExit exit = await process.WaitAsync(Deadline());
        await process.KillAsync(Deadline());
        ExecResult afterwards = await Sandbox.ExecAsync(["true"], cancellationToken: Deadline());

        Assert.True(command.Exit.ProcessLimitHit);
        Assert.True(exit.ProcessLimitHit);
        Assert.False(afterwards.Exit.ProcessLimitHit);
        Assert.True((await Sandbox.GetUsageAsync(Deadline())).RefusedForks > 0);
    }

    [SkippableFact]
    public async Task OutOfMemory_IsCountedAndReported()
    {
        await using SandboxProcess process = await Sandbox.StartAsync(["python3", "-c", "x = []\nwhile True: x.append(bytearray(b'x' * (8 << 20)))"], cancellationToken: Deadline());
        SandboxProcessExit exit = await process.WaitAsync(Deadline());

        Assert.Equal((9, true), (exit.Signal, exit.OutOfMemory));
        Assert.True((await Sandbox.GetUsageAsync(Deadline())).OutOfMemoryKills > 0);
        Assert.False((await Sandbox.ExecAsync(["true"], cancellationToken: Deadline())).Exit.OutOfMemory);
    }
}
