using FsCheck;
using FsCheck.Fluent;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>A whole channel against frames that are well formed, but in any order and on any stream.</summary>
public sealed class ChannelProperties
{
    private const int Streams = 3;
    private const int Divisor = 100;

    private static readonly Gen<(GuestPort Port, SomeFrame Frame)> s_step =
        from port in Gen.Elements(GuestPort.Bulk, GuestPort.Bulk, GuestPort.Bulk, GuestPort.Control)
        from type in Gen.Frequency(
            (9, Gen.Elements(FrameType.Started, FrameType.Data, FrameType.End, FrameType.Result, FrameType.Error)),
            (2, Gen.Elements(FrameType.Quiesced, FrameType.Thawed)),
            (1, Gen.Choose((int)FrameType.Hello, (int)FrameType.Thawed).Select(value => (FrameType)value)))
        from flags in Gen.Choose(0, 2)
        from stream in Gen.Frequency((9, Gen.Choose(1, Streams)), (1, Gen.Choose(Streams + 1, Streams + 2)))
        from payload in Gen.Frequency((9, Gen.Elements("{}", "{\"code\":\"x\",\"message\":\"y\",\"ok\":true}", "{\"ok\":false}")), (1, Gen.Elements("[]", "xx", "{\"pid\":[]}")))
        select (port, SomeFrame.Of(type, flags, (uint)stream, System.Text.Encoding.ASCII.GetBytes(payload)));

    [Fact]
    public async Task AnyFrames_InAnyOrder_EndEveryCallAndTheChannelWithAReason()
    {
        foreach ((GuestPort Port, SomeFrame Frame)[] steps in s_step.ArrayOf().Sample(Cases.Count / Divisor, size: 30))
        {
            (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
            await using (channel)
            await using (peer)
            {
                Task[] calls =
                [
                    .. Enumerable.Range(0, Streams).Select(_ => UseAsync(channel.OpenStream(GuestPort.Bulk, GuestStreamTests.Exec("x")))),
                    channel.QuiesceAsync(new QuiesceRequest { Snapshot = true }),
                    channel.ThawAsync(GuestChannelQuiesceTests.Thaw),
                    channel.PingAsync(default).AsTask(),
                ];
                await SendAllAsync(peer, steps);
                await peer.DisposeAsync();

                string described = string.Join(", ", steps.Select(step => $"{step.Port} {step.Frame.Type} {step.Frame.StreamId}"));
                Exception? end = await Record.ExceptionAsync(() => channel.Completion.Within());
                Assert.True(end is GuestChannelException, $"{end}{Environment.NewLine}{described}");
                foreach (Task call in calls)
                {
                    Exception? failure = await Record.ExceptionAsync(() => call.Within());
                    Assert.True(failure is null or GuestChannelException or GuestOperationException, $"{failure}{Environment.NewLine}{described}");
                }

                Assert.Equal(0, channel.OpenStreams);
            }
        }
    }

    private static async Task SendAllAsync(AgentPeer peer, (GuestPort Port, SomeFrame Frame)[] steps)
    {
        try
        {
            foreach ((GuestPort port, SomeFrame frame) in steps)
            {
                await peer.SendRawAsync(port, frame.ToBytes(peer.Tag));
            }
        }
        catch (System.Net.Sockets.SocketException)
        {
            // The channel has seen enough.
        }
    }

    private static async Task UseAsync(GuestStream stream)
    {
        await using (stream)
        {
            while (true)
            {
                using GuestData data = await stream.ReadAsync();
                if (data.IsEnd)
                {
                    break;
                }
            }

            await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage);
        }
    }
}
