using System.Buffers;
using System.Net.Sockets;
using System.Text;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>
/// The smallest agent for measurements: one thread a port, blocking calls, no allocation once it runs. Answers Ping with Pong, and every Open
/// on bulk with Started, two pieces of Data, End and Result in one write.
/// </summary>
internal sealed class LeanAgent : IDisposable
{
    private const int StreamIdOffset = 4;

    private readonly Socket[] _sockets;
    private readonly Thread[] _threads;
    private readonly uint _tag;
    private readonly byte[] _reply;
    private readonly int[] _replyFrames;

    private LeanAgent(Socket control, Socket bulk, ulong epoch)
    {
        _sockets = [control, bulk];
        _tag = (uint)epoch;
        (_reply, _replyFrames) = BuildReply();
        _threads = [new Thread(() => Run(control, epoch)), new Thread(() => Run(bulk, epoch))];
    }

    internal static async Task<(GuestChannel Channel, LeanAgent Agent)> StartAsync()
    {
        var options = new GuestChannelOptions { Epoch = 0x0102_0304_0506_0708 };
        (Socket controlHost, Socket controlGuest) = SocketPairs.Create();
        (Socket bulkHost, Socket bulkGuest) = SocketPairs.Create();
        var agent = new LeanAgent(controlGuest, bulkGuest, options.Epoch);
        GuestChannel channel = GuestChannel.Open(controlHost, bulkHost, options);
        foreach (Thread thread in agent._threads)
        {
            thread.IsBackground = true;
            thread.Start();
        }

        await channel.WaitForHelloAsync().Within();
        return (channel, agent);
    }

    public void Dispose()
    {
        foreach (Socket socket in _sockets)
        {
            socket.Shutdown(SocketShutdown.Both);
        }

        foreach (Thread thread in _threads)
        {
            Assert.True(thread.Join(Deadline.Limit));
        }

        foreach (Socket socket in _sockets)
        {
            socket.Dispose();
        }
    }

    private (byte[] Reply, int[] Frames) BuildReply()
    {
        var output = new ArrayBufferWriter<byte>();
        var frames = new List<int>();
        Add(FrameType.Started, 0, "{\"pid\":42}");
        Add(FrameType.Data, 1, "Linux sandbox 6.1.0");
        Add(FrameType.Data, 2, "warning");
        Add(FrameType.End, 0, "");
        Add(FrameType.Result, 0, "{\"exitCode\":0,\"timedOut\":false,\"outOfMemory\":false,\"outputCut\":false,\"wallMicroseconds\":1234,\"cpuMicroseconds\":800}");
        return (output.WrittenSpan.ToArray(), [.. frames]);

        void Add(FrameType type, byte flags, string payload)
        {
            frames.Add(output.WrittenCount);
            FrameWriter.Write(output, type, flags, 1, _tag, Encoding.UTF8.GetBytes(payload));
        }
    }

    private void Run(Socket socket, ulong epoch)
    {
        var buffer = new byte[65_536];
        var hello = new ArrayBufferWriter<byte>();
        FrameWriter.Write(hello, FrameType.Hello, 0, 0, _tag, "{\"generation\":1}"u8);
        int length = 0;
        bool established = false;
        while (true)
        {
            int received = socket.Receive(buffer.AsSpan(length));
            if (received == 0)
            {
                return;
            }

            length += received;
            int consumed = 0;
            if (!established)
            {
                if (length < ProtocolConstants.PreambleSize)
                {
                    continue;
                }

                consumed = ProtocolConstants.PreambleSize;
                established = true;
                var preamble = new byte[ProtocolConstants.PreambleSize];
                new Preamble(epoch, ProtocolConstants.Generation).Write(preamble);
                socket.Send(preamble);
                if (socket == _sockets[0])
                {
                    socket.Send(hello.WrittenSpan);
                }
            }

            while (FrameHeader.TryRead(buffer.AsSpan(consumed, length - consumed), _tag, out FrameHeader header) == FrameError.None
                && length - consumed >= header.FrameSize)
            {
                Answer(socket, header, buffer.AsSpan(consumed, header.FrameSize));
                consumed += header.FrameSize;
            }

            buffer.AsSpan(consumed, length - consumed).CopyTo(buffer);
            length -= consumed;
        }
    }

    private void Answer(Socket socket, in FrameHeader header, Span<byte> frame)
    {
        if (header.Type == FrameType.Ping)
        {
            frame[0] = (byte)FrameType.Pong;
            socket.Send(frame);
        }
        else if (header.Type == FrameType.Open)
        {
            foreach (int offset in _replyFrames)
            {
                frame.Slice(StreamIdOffset, sizeof(uint)).CopyTo(_reply.AsSpan(offset + StreamIdOffset));
            }

            socket.Send(_reply);
        }
    }
}
