using System.Text;
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
}
