using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace OpenSandbox.VirtioSerial;

/// <content>Data to the agent.</content>
internal sealed partial class StreamCore
{
    /// <summary>Payload of a long write, bytes: whole pages, so that no page of a file in the guest is written in two parts.</summary>
    private const int LongWritePayload = 7 * 4096;

    private readonly WakeSource _writeWake = new();
    private int _sendCredit;
    private bool _writing;
    private bool _sentEnd;

    /// <summary>The agent has consumed Data.</summary>
    internal void OnCredit(in ReadOnlySequence<byte> payload)
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        payload.CopyTo(bytes);
        uint credit = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        lock (_lock)
        {
            if (credit > ProtocolConstants.CreditWindow - _sendCredit)
            {
                throw new GuestProtocolException(
                    ProtocolViolation.CreditExceeded,
                    $"Stream {_id} was credited {credit} bytes; {ProtocolConstants.CreditWindow - _sendCredit} were outstanding.");
            }

            _sendCredit += (int)credit;
            _writeWake.Wake();
        }
    }

    /// <summary>There is room in the port's writer again.</summary>
    internal void WakeWriter()
    {
        lock (_lock)
        {
            _writeWake.Wake();
        }
    }

    /// <summary>Sends bytes as the agent gives credit.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal async ValueTask<bool> WriteAsync(GuestStream handle, ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        EnterExclusive(handle, ref _writing);
        CancellationTokenRegistration registration = default;
        try
        {
            while (true)
            {
                ValueTask wake = default;
                bool wait = false;
                lock (_lock)
                {
                    ThrowIfUnusable(handle);
                    if (_closed || _cancelled || _answered)
                    {
                        if (!_accepted)
                        {
                            ThrowIfError();
                        }

                        return false;
                    }

                    if (_sentEnd)
                    {
                        throw new InvalidOperationException("The writes of this stream were completed.");
                    }

                    if (bytes.IsEmpty)
                    {
                        return true;
                    }

                    cancellationToken.ThrowIfCancellationRequested();
                    if (_sendCredit > 0 && _port.Writer.HasRoom(this))
                    {
                        int count = Math.Min(bytes.Length, _sendCredit);
                        AppendData(bytes.Span[..count]);
                        _sendCredit -= count;
                        bytes = bytes[count..];
                    }
                    else
                    {
                        wait = true;
                        wake = _writeWake.Arm();
                    }
                }

                if (wait)
                {
                    registration = WakeOnCancel(registration, cancellationToken);
                    await wake.ConfigureAwait(false);
                }
                else
                {
                    _port.Writer.Flush();
                }
            }
        }
        finally
        {
            await registration.DisposeAsync().ConfigureAwait(false);
            LeaveExclusive(ref _writing);
        }
    }

    /// <summary>Sends End, once.</summary>
    internal void CompleteWrites(GuestStream handle)
    {
        lock (_lock)
        {
            ThrowIfUnusable(handle);
            if (_writing)
            {
                throw new InvalidOperationException("A write is still under way on this stream.");
            }

            if (_sentEnd || _closed || _cancelled || _answered)
            {
                return;
            }

            _sentEnd = true;
            _port.Writer.Append(FrameType.End, 0, _id, default);
        }

        _port.Writer.Flush();
    }

    private void AppendData(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int count = bytes.Length <= ProtocolConstants.MaxPayloadSize ? bytes.Length : LongWritePayload;
            _port.Writer.Append(FrameType.Data, (byte)DataChannel.Content, _id, bytes[..count]);
            bytes = bytes[count..];
        }
    }

    private void ResetWriting()
    {
        _sendCredit = 0;
        _sentEnd = false;
    }
}
