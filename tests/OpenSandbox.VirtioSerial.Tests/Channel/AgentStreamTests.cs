using System.Text;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>Streams that the agent opens: the host answers, and the agent's Cancel is the last frame.</summary>
public sealed class AgentStreamTests
{
    private const uint First = ProtocolConstants.FirstAgentStreamId;
    private const string Request = "{\"op\":\"tcp\",\"tcp\":{\"address\":\"192.0.2.1\",\"port\":443}}";

    [Fact]
    public async Task Open_ByTheAgent_IsAcceptedWithItsRequest()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;

        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First, Request);
        await using AgentStream stream = await channel.AcceptStreamAsync().AsTask().Within();

        Assert.Equal((Operations.Tcp, "192.0.2.1", 443), (stream.Request.Op, stream.Request.Tcp!.Address, stream.Request.Tcp.Port));
        Assert.Equal(1, channel.OpenStreams);
    }

    [Fact]
    public async Task Stream_AnsweredAfterBothEnds_CarriesDataBothWaysAndIsForgottenWithCancel()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First, Request);
        await peer.SendTextAsync(GuestPort.Network, FrameType.Data, First, "early");
        await using AgentStream stream = await channel.AcceptStreamAsync().AsTask().Within();

        stream.Start();
        Assert.Equal(FrameType.Started, (await peer.ReceiveAsync(GuestPort.Network)).Type);
        await peer.SendAsync(GuestPort.Network, FrameType.End, First, default);
        byte[] buffer = new byte[100];
        int count = (await stream.Data.ReadAsync(buffer).AsTask().Within()).Count;
        Assert.Equal("early", Encoding.ASCII.GetString(buffer, 0, count));
        Assert.Equal(0, (await stream.Data.ReadAsync(buffer).AsTask().Within()).Count);

        Assert.True(await stream.Data.WriteAsync("answer"u8.ToArray()).AsTask().Within());
        await stream.Data.CompleteWritesAsync();
        stream.Complete(new HostReply());
        Assert.Equal("answer", Encoding.ASCII.GetString((await peer.ReceiveAsync(GuestPort.Network)).Payload));
        Assert.Equal(FrameType.End, (await peer.ReceiveAsync(GuestPort.Network)).Type);
        ReceivedFrame result = await peer.ReceiveAsync(GuestPort.Network);
        Assert.Equal((FrameType.Result, First), (result.Type, result.StreamId));

        Assert.Equal(1, channel.OpenStreams); // until the agent has said that it sends nothing more
        await peer.SendAsync(GuestPort.Network, FrameType.Cancel, First, default);
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First + 1, Request);
        await using AgentStream next = await channel.AcceptStreamAsync().AsTask().Within();
        Assert.Equal(1, channel.OpenStreams);
    }

    [Fact]
    public async Task Dispose_WithoutAnswer_AnswersWithError()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First, Request);
        AgentStream stream = await channel.AcceptStreamAsync().AsTask().Within();

        await stream.DisposeAsync();
        await stream.DisposeAsync();

        ReceivedFrame answer = await peer.ReceiveAsync(GuestPort.Network);
        Assert.Equal(FrameType.Error, answer.Type);
        Assert.Equal(AgentErrorCodes.Cancelled, answer.Json(ProtocolJsonContext.Default.AgentError).Code);
    }

    [Fact]
    public async Task Answer_GivenTwice_IsSentOnce()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First, Request);
        AgentStream stream = await channel.AcceptStreamAsync().AsTask().Within();

        stream.Complete(new HostReply { Dns = [1, 2, 3] });
        stream.Fail(new AgentError { Code = AgentErrorCodes.Internal, Message = "late" });
        await stream.DisposeAsync();
        await peer.SendAsync(GuestPort.Network, FrameType.Cancel, First, default);
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First + 1, Request);
        await (await channel.AcceptStreamAsync().AsTask().Within()).DisposeAsync();

        Assert.Equal([1, 2, 3], (await peer.ReceiveAsync(GuestPort.Network)).Json(ProtocolJsonContext.Default.HostReply).Dns);
        Assert.Equal(First + 1, (await peer.ReceiveAsync(GuestPort.Network)).StreamId);
    }

    [Fact]
    public async Task Cancel_ByTheAgent_EndsReadingAndWriting()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First, Request);
        await using AgentStream stream = await channel.AcceptStreamAsync().AsTask().Within();
        ValueTask<GuestData> read = stream.Data.ReadAsync();

        await peer.SendAsync(GuestPort.Network, FrameType.Cancel, First, default);

        GuestOperationException failure = await Assert.ThrowsAsync<GuestOperationException>(() => read.AsTask().Within());
        Assert.Equal(AgentErrorCodes.Cancelled, failure.Code);
        Assert.False(await stream.Data.WriteAsync(new byte[1]).AsTask().Within());
        await stream.DisposeAsync();
        Assert.Equal(0, channel.OpenStreams);
    }

    [Fact]
    public async Task Data_AfterTheAnswer_IsDroppedWithinTheWindow()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First, Request);
        await using AgentStream stream = await channel.AcceptStreamAsync().AsTask().Within();

        stream.Complete(new HostReply());
        await peer.SendTextAsync(GuestPort.Network, FrameType.Data, First, "late");
        await peer.SendAsync(GuestPort.Network, FrameType.Cancel, First, default);
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First + 5, Request);

        await using AgentStream next = await channel.AcceptStreamAsync().AsTask().Within();
        Assert.Null(channel.Failure);
    }

    [Fact]
    public async Task Accept_WhenTheChannelEnds_SaysWhy()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedPeer = peer;
        Task<AgentStream> accept = channel.AcceptStreamAsync().AsTask();

        await channel.DisposeAsync();

        await Assert.ThrowsAsync<GuestChannelException>(() => accept.Within());
    }

    [Fact]
    public async Task Accept_OnChannelWithoutNetworkPort_Throws()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenReadyAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;

        await Assert.ThrowsAsync<InvalidOperationException>(() => channel.AcceptStreamAsync().AsTask());
    }

    /// <summary>Name, port, and frames (type, id, payload) that a hostile guest sends after a good start with its stream open.</summary>
    public static TheoryData<string, GuestPort, FrameType, uint, string, ProtocolViolation> Frames => new()
    {
        { "open on control", GuestPort.Control, FrameType.Open, First + 1, Request, ProtocolViolation.InvalidOpen },
        { "open on bulk", GuestPort.Bulk, FrameType.Open, First + 1, Request, ProtocolViolation.InvalidOpen },
        { "open with an id of the host", GuestPort.Network, FrameType.Open, 1, Request, ProtocolViolation.WrongDirection },
        { "open twice", GuestPort.Network, FrameType.Open, First, Request, ProtocolViolation.InvalidOpen },
        { "open with the last id", GuestPort.Network, FrameType.Open, uint.MaxValue, Request, ProtocolViolation.InvalidOpen },
        { "open without json", GuestPort.Network, FrameType.Open, First + 1, "tcp", ProtocolViolation.InvalidPayload },
        { "open without an operation", GuestPort.Network, FrameType.Open, First + 1, "{}", ProtocolViolation.InvalidPayload },
        { "started", GuestPort.Network, FrameType.Started, First, "{}", ProtocolViolation.WrongDirection },
        { "result", GuestPort.Network, FrameType.Result, First, "{}", ProtocolViolation.WrongDirection },
        { "error", GuestPort.Network, FrameType.Error, First, "{\"code\":\"x\",\"message\":\"y\"}", ProtocolViolation.WrongDirection },
        { "signal", GuestPort.Network, FrameType.Signal, First, "{\"signal\":9}", ProtocolViolation.WrongDirection },
        { "data of a stream never opened", GuestPort.Network, FrameType.Data, First + 1, "x", ProtocolViolation.UnknownStream },
        { "cancel of a stream never opened", GuestPort.Network, FrameType.Cancel, First + 1, "", ProtocolViolation.UnknownStream },
        { "credit for nothing", GuestPort.Network, FrameType.Credit, First, "\u0001\0\0\0", ProtocolViolation.CreditExceeded },
    };

    [Theory]
    [MemberData(nameof(Frames))]
    public async Task Frame_AgainstTheRules_EndsTheChannel(
        string name, GuestPort port, FrameType type, uint streamId, string payload, ProtocolViolation violation)
    {
        Assert.NotEmpty(name);
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First, Request);
        await using AgentStream stream = await channel.AcceptStreamAsync().AsTask().Within();

        await peer.SendTextAsync(port, type, streamId, payload);

        GuestProtocolException failure = await Assert.ThrowsAsync<GuestProtocolException>(() => channel.Completion.Within());
        Assert.Equal(violation, failure.Violation);
    }

    [Fact]
    public async Task Cancel_Twice_IsAViolation()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First, Request);

        await peer.SendAsync(GuestPort.Network, FrameType.Cancel, First, default);
        await peer.SendAsync(GuestPort.Network, FrameType.Cancel, First, default);

        GuestProtocolException failure = await Assert.ThrowsAsync<GuestProtocolException>(() => channel.Completion.Within());
        Assert.Equal(ProtocolViolation.DataAfterEnd, failure.Violation);
    }

    [Fact]
    public async Task Broken_CompletesWithCancelAndWithTheChannel()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First, Request);
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First + 1, Request);
        await using AgentStream cancelled = await channel.AcceptStreamAsync().AsTask().Within();
        await using AgentStream lost = await channel.AcceptStreamAsync().AsTask().Within();

        await peer.SendAsync(GuestPort.Network, FrameType.Cancel, First, default);
        await cancelled.Broken.Within();
        Assert.False(lost.Broken.IsCompleted);
        await channel.DisposeAsync();

        await lost.Broken.Within();
    }

    [Theory]
    [InlineData("{\"op\":\"dns\",\"dns\":{\"query\":\"AAAA\"}}")]
    [InlineData("{\"op\":\"scale\",\"scale\":{\"memoryMib\":1}}")]
    [InlineData("{\"op\":\"unknown\"}")]
    public async Task Data_OnRequestThatHasNone_IsAViolation(string request)
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;

        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First, request);
        await peer.SendTextAsync(GuestPort.Network, FrameType.Data, First, "x");

        GuestProtocolException failure = await Assert.ThrowsAsync<GuestProtocolException>(() => channel.Completion.Within());
        Assert.Equal(ProtocolViolation.DataAfterEnd, failure.Violation);
    }

    [Fact]
    public async Task Answers_ThatTheGuestDoesNotRead_EndTheChannelBeforeTheyAddUp()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;
        var answer = new HostReply { Dns = new byte[24_000] };
        uint sent = 0;

        while (channel.Failure is null && sent < 10_000)
        {
            await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First + sent, Request);
            await peer.SendAsync(GuestPort.Network, FrameType.Cancel, First + sent, default);
            sent++;
            try
            {
                await using AgentStream stream = await channel.AcceptStreamAsync().AsTask().Within();
                stream.Complete(answer);
            }
            catch (GuestChannelException)
            {
                break;
            }
        }

        Assert.InRange(sent, 1_000u, (uint)(PortWriter.MaxUnsent / 24_000) + 100);
        GuestChannelException failure = await Assert.ThrowsAsync<GuestChannelException>(() => channel.Completion.Within());
        Assert.Contains("does not read", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Open_OneStreamTooMany_IsAViolation()
    {
        (GuestChannel channel, AgentPeer peer) = await AgentPeer.OpenNetworkAsync();
        await using var ownedChannel = channel;
        await using var ownedPeer = peer;
        for (uint i = 0; i < ProtocolConstants.MaxAgentStreams; i++)
        {
            await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First + i, Request);
        }

        await (await channel.AcceptStreamAsync().AsTask().Within()).DisposeAsync(); // answered, but the agent has not let go of it
        Assert.Null(channel.Failure);
        await peer.SendTextAsync(GuestPort.Network, FrameType.Open, First + ProtocolConstants.MaxAgentStreams, Request);

        GuestProtocolException failure = await Assert.ThrowsAsync<GuestProtocolException>(() => channel.Completion.Within());
        Assert.Equal(ProtocolViolation.TooManyAgentStreams, failure.Violation);
    }
}
