using System.Text;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Integration.Tests;

/// <summary>A host that comes back to a guest with a new session, as one does that was killed.</summary>
[Collection(HostFixture.Collection)]
public sealed class SessionLossTests(HostFixture fixture) : SandboxTests(fixture)
{
    [SkippableFact]
    public async Task NewSession_DetachedProcessesGoOnWithTheirOutput_AttachedOnesEnd()
    {
        SandboxProcess detached = await Sandbox.StartAsync(
            "echo before; read line; echo $line; exit 7", new StartOptions { Detached = true }, Deadline());
        Assert.Equal("before\n", await ReadLineAsync(detached));
        SandboxProcess attached = await Sandbox.StartAsync(["sleep", "1040"], cancellationToken: Deadline());
        SandboxProcess silent = await Sandbox.StartAsync(["yes"], new StartOptions { Detached = true, Delivery = OutputDelivery.Lossless }, Deadline());

        await using GuestChannel channel = await ReconnectAsync();

        await using GuestStream ended = Open(channel, Operations.Wait, new ProcessRequest { Id = attached.Id });
        Assert.Equal(9, (await ended.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, Deadline(20))).Signal);
        await using GuestStream again = Open(channel, Operations.Attach, new ProcessRequest { Id = detached.Id, Input = true });
        ProcessAttached head = (await again.GetStartedAsync(Deadline(20)))!.Process!;
        Assert.Equal((0, 7), (head.Sequence, head.ReplayEnd));
        Assert.True(await again.WriteAsync("after\n"u8.ToArray(), Deadline()));
        var output = new StringBuilder();
        byte[] buffer = new byte[1_000];
        int count;
        while ((count = (await again.ReadAsync(buffer, Deadline(20))).Count) > 0)
        {
            output.Append(Encoding.UTF8.GetString(buffer.AsSpan(0, count)));
        }

        Assert.Equal("before\nafter\n", output.ToString());
        Assert.Equal(7, (await again.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, Deadline(20))).ExitCode);

        // The reader that held this one back is gone with its session.
        await ExecTests.UntilAsync(async () =>
        {
            await using GuestStream later = Open(channel, Operations.Log, new ProcessRequest { Id = silent.Id, Length = 1 });
            return (await later.GetResultAsync(ProtocolJsonContext.Default.ProcessLogResult, Deadline(20))).FirstAvailable > 10_000_000;
        });
    }

    private static GuestStream Open(GuestChannel channel, string operation, ProcessRequest process) =>
        channel.OpenStream(GuestPort.Bulk, new OpenRequest { Op = operation, Process = process });

    private async Task<GuestChannel> ReconnectAsync()
    {
        GuestChannel channel = SessionTakeover.TakeOver(Sandbox, 0x1234_5678_9ABC_DEF0);
        await channel.WaitForHelloAsync(Deadline(30));
        await channel.ResumeAsync(Fixture.Host.DescribeResume(Sandbox.Id, Sandbox.Spec, 0).Resume!, Deadline(30));
        return channel;
    }
}
