using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent.Tests;

/// <summary>A loop that stands still, on a socket pair in place of its port. Its thread does what a loop does: it comes when it is asked.</summary>
public sealed class ParkingPlaceTests : IDisposable
{
    private const ulong Old = 0x1_0000_0011;
    private const uint OldTag = 0x11;
    private const ulong New = 0x2_0000_0022;
    private const ulong Newer = 0x3_0000_0033;
    private const int LimitMilliseconds = 20_000;

    private readonly int _host;
    private readonly int _port;
    private readonly PortWriter _writer;
    private readonly FrameSource _source = new();
    private readonly FrameBuffer _output;
    private readonly ParkingPlace _parking;

    public ParkingPlaceTests()
    {
        Span<int> ends = stackalloc int[2];
        Assert.Equal(0, Libc.SocketPair(Linux.AF_UNIX, Linux.SOCK_STREAM | Linux.SOCK_CLOEXEC | Linux.SOCK_NONBLOCK, 0, ends));
        (_host, _port) = (ends[0], ends[1]);
        _writer = new PortWriter(_port);
        _output = new FrameBuffer(_writer);
        _parking = new ParkingPlace(_port, _writer, _source, _output);
        _writer.BeginSession(OldTag);
        _output.BeginSession(OldTag);
        Feed(Preamble(Old));
        Assert.Equal(FrameSourceStatus.Preamble, _source.Next(out _, out _, out _));
    }

    public void Dispose()
    {
        _parking.Close();
        _ = Libc.Close(_host);
        _ = Libc.Close(_port);
    }

    [Fact]
    public async Task Stay_Released_TheSessionGoesOnAndWhatCameMeanwhileIsSent()
    {
        byte[] half = Ping(Old, "half"u8)[..20];
        Feed(half);
        _output.Add(FrameType.Pong, 0, 0, "gathered"u8);
        Task<ulong?> stay = Park();

        Assert.Contains("gathered", Text(Receive()), StringComparison.Ordinal); // what the loop had gathered left before it stood still
        Write(Ping(Old, "unread"u8));
        Task late = Task.Factory.StartNew(
            () => _writer.WriteWhenDrained(OldTag, Ping(Old, "patient"u8)),
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        _writer.Write(OldTag, Ping(Old, "other thread"u8));
        Assert.Empty(Receive());
        Assert.False(late.IsCompleted);
        _parking.Release();

        Assert.Null(await Within(stay));
        await Within(late);
        Assert.Equal(["other thread", "patient"], Frames(Receive(), Old));
        Feed(Ping(Old, "half"u8)[20..]);
        Assert.Equal(FrameSourceStatus.Frame, _source.Next(out _, out ReadOnlySpan<byte> payload, out _));
        Assert.Equal("half", Text(payload.ToArray()));
    }

    [Fact]
    public async Task Stay_NewSession_DropsTheOldOneAndAnswersOnlyTheNewPreamble()
    {
        Feed(Ping(Old, "half"u8)[..20]);
        Task<ulong?> stay = Park();
        _writer.Write(OldTag, Ping(Old, "unsent"u8));
        byte[] content = [.. Enumerable.Repeat(Preamble(Newer), 200).SelectMany(static bytes => bytes)];
        Write([.. Ping(Old, "unread"u8), .. Data(Old, content)[..6_000], .. new byte[ProtocolConstants.ReconnectPaddingSize], .. Preamble(New), .. Ping(New, "next"u8)]);
        _parking.BeginSession(New);

        Assert.Equal(Preamble(New), await ReceiveAsync(ProtocolConstants.PreambleSize));
        Assert.False(stay.IsCompleted); // until the new session's resume
        _parking.Release();
        Assert.Equal(New, await Within(stay));
        Assert.True(_source.HasSession);
        _writer.Write(OldTag, Ping(Old, "late"u8));
        Assert.Empty(Receive());
        FillFromPort();
        Assert.Equal(FrameSourceStatus.Frame, _source.Next(out _, out ReadOnlySpan<byte> payload, out _));
        Assert.Equal("next", Text(payload.ToArray()));
    }

    [Fact]
    public async Task Stay_SecondNewSession_AnswersThatOneToo()
    {
        Task<ulong?> stay = Park();
        _parking.BeginSession(New);
        Write(Preamble(New));
        Assert.Equal(Preamble(New), await ReceiveAsync(ProtocolConstants.PreambleSize));
        Write([.. new byte[ProtocolConstants.ReconnectPaddingSize], .. Preamble(Newer)]);
        _parking.BeginSession(Newer);
        Assert.Equal(Preamble(Newer), await ReceiveAsync(ProtocolConstants.PreambleSize));
        _parking.Release();
        Assert.Equal(Newer, await Within(stay));
    }

    [Fact]
    public async Task Stay_PreambleThatOvertookTheControlPort_IsFoundWhenThatOneFollows()
    {
        Task<ulong?> stay = Park();
        Write([.. Preamble(Newer), .. Ping(Newer, "kept"u8)]);
        _parking.BeginSession(New); // of a host that went away before its preamble came here
        Assert.True(_parking.WaitUntilParked(ClockTicks.Milliseconds + LimitMilliseconds));
        _parking.BeginSession(Newer);
        Assert.Equal(Preamble(Newer), await ReceiveAsync(ProtocolConstants.PreambleSize));
        _parking.Release();
        Assert.Equal(Newer, await Within(stay));
        Assert.Equal(FrameSourceStatus.Frame, _source.Next(out _, out ReadOnlySpan<byte> payload, out _));
        Assert.Equal("kept", Text(payload.ToArray()));
    }

    [Fact]
    public async Task Stay_ReleasedBeforeThePreambleCame_SaysThatTheOldSessionIsOver()
    {
        Task<ulong?> stay = Park();
        _parking.BeginSession(New);
        _parking.Release();
        Assert.Equal(New, await Within(stay));
        Assert.False(_source.HasSession);
    }

    [Fact]
    public async Task Ask_ManyTimes_TheLoopIsThereEachTimeItIsSaidToBe()
    {
        int inside = 0;
        int comings = 0;
        bool over = false;
        Task loop = Task.Factory.StartNew(
            () =>
            {
                while (!Volatile.Read(ref over))
                {
                    if (_parking.IsWanted)
                    {
                        Volatile.Write(ref inside, 1);
                        _ = _parking.Stay();
                        Volatile.Write(ref inside, 0);
                        comings++;
                    }
                }
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        for (int i = 0; i < 2_000; i++)
        {
            _parking.Ask();
            Assert.True(_parking.WaitUntilParked(ClockTicks.Milliseconds + LimitMilliseconds));
            Assert.Equal(1, Volatile.Read(ref inside));
            _parking.Release();
        }

        Volatile.Write(ref over, true);
        await Within(loop);
        Assert.InRange(comings, 1, 2_000);
    }

    [Fact]
    public void WaitUntilParked_LoopThatDoesNotCome_EndsAtItsDeadline()
    {
        _parking.Ask();
        Assert.True(_parking.IsWanted);
        Assert.False(_parking.WaitUntilParked(ClockTicks.Milliseconds + 10));
        _parking.Release();
        Assert.False(_parking.IsWanted);
    }

    private static Task<T> Within<T>(Task<T> task) => task.WaitAsync(TimeSpan.FromMilliseconds(LimitMilliseconds));

    private static Task Within(Task task) => task.WaitAsync(TimeSpan.FromMilliseconds(LimitMilliseconds));

    private static string Text(byte[] bytes) => System.Text.Encoding.ASCII.GetString(bytes);

    private static byte[] Preamble(ulong epoch)
    {
        byte[] bytes = new byte[ProtocolConstants.PreambleSize];
        new Preamble(epoch, 1).Write(bytes);
        return bytes;
    }

    private static byte[] Ping(ulong epoch, ReadOnlySpan<byte> payload) => Frame(FrameType.Ping, 0, epoch, payload);

    private static byte[] Data(ulong epoch, ReadOnlySpan<byte> payload) => Frame(FrameType.Data, 7, epoch, payload);

    private static byte[] Frame(FrameType type, uint stream, ulong epoch, ReadOnlySpan<byte> payload)
    {
        byte[] frame = new byte[ProtocolConstants.HeaderSize + payload.Length + ProtocolConstants.TrailerSize];
        payload.CopyTo(frame.AsSpan(ProtocolConstants.HeaderSize));
        FrameWriter.Seal(frame, type, 0, stream, (uint)epoch, payload.Length);
        return frame;
    }

    private static List<string> Frames(byte[] bytes, ulong epoch)
    {
        var source = new FrameSource();
        Preamble(epoch).CopyTo(source.Room);
        bytes.CopyTo(source.Room[ProtocolConstants.PreambleSize..]);
        source.Advance(ProtocolConstants.PreambleSize + bytes.Length);
        var frames = new List<string>();
        FrameSourceStatus status;
        while ((status = source.Next(out _, out ReadOnlySpan<byte> payload, out _)) != FrameSourceStatus.NeedMoreData)
        {
            if (status == FrameSourceStatus.Frame)
            {
                frames.Add(Text(payload.ToArray()));
            }
        }

        return frames;
    }

    private Task<ulong?> Park()
    {
        _parking.Ask();
        Task<ulong?> stay = Task.Factory.StartNew(
            _parking.Stay, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Assert.True(_parking.WaitUntilParked(ClockTicks.Milliseconds + LimitMilliseconds));
        return stay;
    }

    private void Feed(byte[] bytes)
    {
        bytes.CopyTo(_source.Room);
        _source.Advance(bytes.Length);
    }

    private void FillFromPort()
    {
        Span<byte> room = _source.Room;
        nint count = Libc.Read(_port, room, (nuint)room.Length);
        _source.Advance((int)Math.Max(0, count));
    }

    private void Write(byte[] bytes) => Assert.Equal(bytes.Length, Libc.Write(_host, bytes, (nuint)bytes.Length));

    /// <summary>What has arrived at the host's end by now.</summary>
    private byte[] Receive()
    {
        byte[] buffer = new byte[65_536];
        return buffer[..(int)Math.Max(0, Libc.Read(_host, buffer, (nuint)buffer.Length))];
    }

    private Task<byte[]> ReceiveAsync(int count) => Within(Task.Run(() =>
    {
        byte[] bytes = new byte[count];
        for (int got = 0; got < count;)
        {
            var poll = new PollFd { Fd = _host, Events = Linux.POLLIN };
            Assert.Equal(1, Libc.Poll(ref poll, 1, LimitMilliseconds));
            nint read = Libc.Read(_host, bytes.AsSpan(got), (nuint)(count - got));
            Assert.True(read > 0, $"errno {Marshal.GetLastPInvokeError()}");
            got += (int)read;
        }

        return bytes;
    }));
}
