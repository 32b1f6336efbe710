using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Qmp.Tests.Support;

namespace OpenSandbox.Qmp.Tests;

/// <summary>The client and a real QEMU.</summary>
public sealed class QmpRealQemuTests
{
    [SkippableFact]
    public async Task Connect_RealQemu_GreetingNamesTheVersionThatQueryVersionReports()
    {
        await using RealQemu qemu = await RealQemu.StartAsync();
        await using QmpClient qmp = await QmpClient.ConnectAsync(qemu.Socket).Soon();
        Assert.True(qmp.Greeting.Version.Major >= 5);
        Assert.Equal(qmp.Greeting.Version, await qmp.QueryVersionAsync().Soon());
    }

    [SkippableFact]
    public async Task ContinueAndStop_RealQemu_StatusFollowsAndEventsCome()
    {
        await using RealQemu qemu = await RealQemu.StartAsync();
        await using QmpClient qmp = await QmpClient.ConnectAsync(qemu.Socket).Soon();
        using QmpEventSubscription events = qmp.Subscribe("RESUME", "STOP");
        Assert.Equal(new QmpRunStatus("prelaunch", false), await qmp.QueryStatusAsync().Soon());

        await qmp.ContinueAsync().Soon();
        Assert.Equal("RESUME", (await events.ReadAsync().Soon()).Name);
        Assert.Equal(new QmpRunStatus("running", true), await qmp.QueryStatusAsync().Soon());

        await qmp.StopAsync().Soon();
        QmpEvent stopped = await events.ReadAsync().Soon();
        Assert.Equal("STOP", stopped.Name);
        Assert.InRange(stopped.Timestamp!.Value, DateTimeOffset.UnixEpoch.AddYears(50), DateTimeOffset.UnixEpoch.AddYears(200));
        Assert.Equal(new QmpRunStatus("paused", false), await qmp.QueryStatusAsync().Soon());
        Assert.Equal(0, events.Dropped);
    }

    [SkippableFact]
    public async Task Commands_Pipelined_RealQemuAnswersAll()
    {
        await using RealQemu qemu = await RealQemu.StartAsync();
        await using QmpClient qmp = await QmpClient.ConnectAsync(qemu.Socket).Soon();
        Task<QmpRunStatus>[] calls = [.. Enumerable.Range(0, 100).Select(_ => qmp.QueryStatusAsync())];
        Assert.All(await Task.WhenAll(calls).Soon(), status => Assert.Equal("prelaunch", status.Status));
        Assert.Equal(0, qmp.DroppedReplies);
    }

    [SkippableFact]
    public async Task AddFd_Pipelined_RealQemuHasEachFileUnderItsNumber()
    {
        await using RealQemu qemu = await RealQemu.StartAsync();
        await using QmpClient qmp = await QmpClient.ConnectAsync(qemu.Socket).Soon();
        await qmp.ContinueAsync().Soon();
        SafeFileHandle[] files = [.. Enumerable.Range(0, 8).Select(i => Native.MemFd($"file {i}"))];
        Task<QmpAddedDescriptor>[] calls = [.. files.Select((file, i) => qmp.AddFdAsync(file, i))];
        QmpAddedDescriptor[] added = await Task.WhenAll(calls).Soon();
        for (int i = 0; i < files.Length; i++)
        {
            Assert.Equal(i, added[i].FdSetId);
            string path = string.Create(CultureInfo.InvariantCulture, $"/proc/{qemu.Pid}/fd/{added[i].Fd}");
            Assert.Equal($"file {i}", await File.ReadAllTextAsync(path));
            await qmp.RemoveFdAsync(added[i].FdSetId, added[i].Fd).Soon();
            Assert.False(Path.Exists(path));
            files[i].Dispose();
        }
    }

    [SkippableFact]
    public async Task Migrate_ToAMemFdAndIncoming_RealQemuRestoresTheState()
    {
        using SafeFileHandle state = Native.MemFd(string.Empty);
        await using (RealQemu source = await RealQemu.StartAsync())
        {
            await using QmpClient qmp = await QmpClient.ConnectAsync(source.Socket).Soon();
            await qmp.SetMigrationCapabilitiesAsync(new Dictionary<string, bool>(StringComparer.Ordinal) { ["events"] = true }).Soon();
            Task<QmpEvent> completed = MigrationCompletedAsync(qmp);
            Task sent = qmp.GetFdAsync("state", state);
            Task begun = qmp.MigrateAsync("fd:state");
            await Task.WhenAll(sent, begun).Soon();
            await completed.Soon();
            QmpMigrationStatus status = await qmp.QueryMigrateAsync().Soon();
            Assert.Equal("completed", status.Status);
            Assert.True(status.RamTransferredBytes > 0);
        }

        Assert.True(RandomAccess.GetLength(state) > 10_000);
        await using RealQemu target = await RealQemu.StartAsync("-incoming", "defer");
        await using QmpClient restored = await QmpClient.ConnectAsync(target.Socket).Soon();
        Assert.Equal(new QmpRunStatus("inmigrate", false), await restored.QueryStatusAsync().Soon());
        await restored.SetMigrationCapabilityAsync("events", true).Soon();
        Task<QmpEvent> loaded = MigrationCompletedAsync(restored);

        // A descriptor carries its position: QEMU reads from where the writer stopped unless it gets one of its own.
        using SafeFileHandle reader = File.OpenHandle($"/proc/self/fd/{(int)state.DangerousGetHandle()}");
        await restored.GetFdAsync("state", reader).Soon();
        await restored.MigrateIncomingAsync("fd:state").Soon();
        await loaded.Soon();
        await restored.ContinueAsync().Soon();
        Assert.Equal(new QmpRunStatus("running", true), await restored.QueryStatusAsync().Soon());
    }

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task XenSaveDevicesState_RealQemu_WritesAndTheMachineGoesOn(bool throughSet)
    {
        await using RealQemu qemu = await RealQemu.StartAsync();
        await using QmpClient qmp = await QmpClient.ConnectAsync(qemu.Socket).Soon();
        await qmp.ContinueAsync().Soon();
        await qmp.StopAsync().Soon();
        using SafeFileHandle state = Native.MemFd(string.Empty);
        using SafeFileHandle writer = File.OpenHandle($"/proc/self/fd/{(int)state.DangerousGetHandle()}", FileMode.Open, FileAccess.Write);
        QmpAddedDescriptor set = await qmp.AddFdAsync(writer).Soon();
        await qmp.XenSaveDevicesStateAsync(throughSet ? $"/dev/fdset/{set.FdSetId}" : $"/proc/self/fd/{set.Fd}", live: false).Soon();
        Assert.True(RandomAccess.GetLength(state) > 1_000);
        await qmp.ContinueAsync().Soon();
        Assert.True((await qmp.QueryStatusAsync().Soon()).Running);
    }

    [SkippableFact]
    public async Task BlockAndObjectCommands_RealQemu_AreUnderstood()
    {
        await using RealQemu qemu = await RealQemu.StartAsync();
        await using QmpClient qmp = await QmpClient.ConnectAsync(qemu.Socket).Soon();
        await qmp.BlockdevAddAsync("""{"driver":"null-co","node-name":"below","size":1048576}"""u8.ToArray()).Soon();
        await qmp.BlockdevAddAsync("""{"driver":"raw","node-name":"filter","file":"below"}"""u8.ToArray()).Soon();
        await qmp.BlockdevReopenAsync("""{"driver":"raw","node-name":"filter","file":"below","read-only":true}"""u8.ToArray()).Soon();
        QmpCommandException inUse = await Assert.ThrowsAsync<QmpCommandException>(() => qmp.BlockdevDeleteAsync("below").Soon());
        Assert.Equal(("blockdev-del", "GenericError"), (inUse.Command, inUse.Class));
        await qmp.BlockdevDeleteAsync("filter").Soon();
        await qmp.BlockdevDeleteAsync("below").Soon();
        await Assert.ThrowsAsync<QmpCommandException>(() => qmp.BlockdevSnapshotAsync("none", "nothing").Soon());

        Assert.StartsWith("pc-q35", (await qmp.QomGetAsync("/machine", "type").Soon()).GetString(), StringComparison.Ordinal);
        await qmp.QomSetAsync("/machine", "dump-guest-core", true).Soon();
        Assert.True((await qmp.QomGetAsync("/machine", "dump-guest-core").Soon()).GetBoolean());
        await Assert.ThrowsAsync<QmpCommandException>(() => qmp.QomSetAsync("/machine", "no-such-property", 1).Soon());
        Assert.Empty(await qmp.QueryMemoryDevicesAsync().Soon());
        JsonElement commands = await qmp.ExecuteAsync("query-commands").Soon();
        Assert.Contains(commands.EnumerateArray(), c => c.GetProperty("name").ValueEquals("xen-save-devices-state"));
    }

    [SkippableFact]
    public async Task Execute_UnknownCommand_RealQemuRefusesAndGoesOn()
    {
        await using RealQemu qemu = await RealQemu.StartAsync();
        await using QmpClient qmp = await QmpClient.ConnectAsync(qemu.Socket).Soon();
        QmpCommandException e = await Assert.ThrowsAsync<QmpCommandException>(() => qmp.ExecuteAsync("no-such-command").Soon());
        Assert.Equal("CommandNotFound", e.Class);
        await qmp.CloseFdAsync("x").ContinueWith(t => Assert.IsType<QmpCommandException>(t.Exception!.InnerException), TaskScheduler.Default).Soon();
        await qmp.QueryStatusAsync().Soon();
    }

    [SkippableFact]
    public async Task Quit_RealQemu_EndsTheConnectionWithTheCause()
    {
        await using RealQemu qemu = await RealQemu.StartAsync();
        await using QmpClient qmp = await QmpClient.ConnectAsync(qemu.Socket).Soon();
        using QmpEventSubscription shutdown = qmp.Subscribe("SHUTDOWN");
        await qmp.QuitAsync().Soon();
        Assert.Equal("host-qmp-quit", (await shutdown.ReadAsync().Soon()).Data.GetProperty("reason").GetString());
        QmpConnectionException cause = await qmp.Completion.Soon();
        Assert.Contains("after quit", cause.Message, StringComparison.Ordinal);
        Assert.Same(cause, await Assert.ThrowsAsync<QmpConnectionException>(() => qmp.QueryStatusAsync().Soon()));
        await qemu.WaitForExitAsync();
    }

    [SkippableFact]
    public async Task Kill_RealQemu_FailsWhatIsPending()
    {
        await using RealQemu qemu = await RealQemu.StartAsync();
        await using QmpClient qmp = await QmpClient.ConnectAsync(qemu.Socket).Soon();
        using QmpEventSubscription events = qmp.Subscribe();
        ValueTask<QmpEvent> read = events.ReadAsync();
        using (Process process = Process.GetProcessById(qemu.Pid))
        {
            process.Kill();
        }

        QmpConnectionException cause = await qmp.Completion.Soon();
        Assert.Same(cause, await Assert.ThrowsAsync<QmpConnectionException>(() => read.Soon()));
    }

    private static Task<QmpEvent> MigrationCompletedAsync(QmpClient qmp) => qmp.WaitForEventAsync(
        ["MIGRATION"],
        static e =>
        {
            string? status = e.Data.GetProperty("status").GetString();
            Assert.NotEqual("failed", status, StringComparer.Ordinal);
            return status == "completed";
        },
        Deadlines.Limit);
}
