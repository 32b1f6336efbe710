using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using OpenSandbox.Qmp.Protocol;
using OpenSandbox.Qmp.Transport;

namespace OpenSandbox.Qmp;

// Reading: the one loop that takes lines off the socket and hands out what they say.
public sealed partial class QmpClient
{
    /// <summary>Reads after which the loop lets others have the thread: a QEMU that never stops talking must not own one.</summary>
    private const int ReadsBetweenYields = 64;

    private static readonly StreamPipeReaderOptions s_readerOptions = new(bufferSize: 4096, minimumReadSize: 1024, useZeroByteReads: true);

    private LineSplitter _lines;
    private bool _greeted;
    private bool _quitAcknowledged;
    private long _droppedReplies;

    /// <summary>Runs until the connection ends; never throws.</summary>
    private async Task ReadLoopAsync()
    {
        PipeReader? reader = null;
        bool betweenLines = true;
        try
        {
            reader = PipeReader.Create(new NetworkStream(_socket, ownsSocket: false), s_readerOptions);
            for (int reads = 1; ; reads++)
            {
                // With zero-byte reads the pipe rents a buffer only when there is something to put into it.
                ReadResult result = await reader.ReadAsync().ConfigureAwait(false);
                ReadOnlySequence<byte> rest = TakeLines(result.Buffer);
                betweenLines = rest.IsEmpty;
                reader.AdvanceTo(rest.Start, rest.End);
                if (result.IsCompleted)
                {
                    throw new QmpConnectionException(DescribeEnd(betweenLines));
                }

                if (reads % ReadsBetweenYields == 0)
                {
                    await Task.Yield();
                }
            }
        }
        catch (IOException e) when (e.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionReset })
        {
            // How the kernel reports a close by a peer that has not read everything: a QEMU that quits leaves our last line end unread.
            // What it wrote before has been read by now.
            End(new QmpConnectionException(DescribeEnd(betweenLines), e));
        }
        catch (Exception e)
        {
            // The loop's boundary: whatever ended it is the end of the connection.
            End(Lost(e));
        }
        finally
        {
            if (reader is not null)
            {
                await reader.CompleteAsync().ConfigureAwait(false);
            }
        }
    }

    private string DescribeEnd(bool betweenLines)
    {
        if (_quitAcknowledged)
        {
            return "QEMU closed the connection after quit";
        }

        return betweenLines ? "QEMU closed the connection" : "QEMU closed the connection in the middle of a line";
    }

    private ReadOnlySequence<byte> TakeLines(ReadOnlySequence<byte> buffer)
    {
        while (_lines.TryTake(ref buffer, out ReadOnlySequence<byte> line))
        {
            if (line.IsSingleSegment)
            {
                Handle(MessageParser.Parse(line.FirstSpan));
                continue;
            }

            HandleCopy(line);
        }

        return buffer;
    }

    /// <summary>A line that arrived in several buffers is put together: the parser takes it in one piece only.</summary>
    private void HandleCopy(in ReadOnlySequence<byte> line)
    {
        int length = (int)line.Length;
        byte[] copy = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            line.CopyTo(copy);
            Handle(MessageParser.Parse(copy.AsSpan(0, length)));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(copy);
        }
    }

    private void Handle(in Message message)
    {
        if (message.Kind == MessageKind.Greeting)
        {
            HandleGreeting(message);
        }
        else if (!_greeted)
        {
            throw new QmpProtocolException("QEMU sent something else before its greeting");
        }
        else if (message.Kind == MessageKind.Event)
        {
            Publish(message);
        }
        else
        {
            HandleReply(message);
        }
    }

    private void HandleGreeting(in Message message)
    {
        if (_greeted)
        {
            throw new QmpProtocolException("QEMU greeted twice");
        }

        _greeted = true;
        if (Take(GreetingId) is { } call)
        {
            Complete(call, message);
        }
    }

    private void HandleReply(in Message message)
    {
        if (Take(message.Id) is not { } call)
        {
            Interlocked.Increment(ref _droppedReplies);
            _logger.ReplyDropped(message.Id);
            return;
        }

        _logger.CommandAnswered(message.Id);
        Complete(call, message);
    }

    /// <summary>Completes a call that was taken out of the table, whatever happens: nobody else knows of it any more.</summary>
    private void Complete(IPendingCall call, in Message message)
    {
        try
        {
            if (message.Kind == MessageKind.Error)
            {
                (string errorClass, string description) = Replies.ParseError(message.Payload);
                call.Fail(new QmpCommandException(call.Command, errorClass, description));
                return;
            }

            _quitAcknowledged |= call.Command == QuitCommand;
            call.Return(message.Payload);
        }
        catch (Exception e)
        {
            End(Lost(e));
            call.Fail(_cause!);
            throw;
        }
    }
}
