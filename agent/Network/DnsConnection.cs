using System.Buffers.Binary;
using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>DNS over TCP (RFC 7766): messages with their length in front, one question to the host at a time. Belongs to the network loop.</summary>
/// <param name="loop">The loop.</param>
/// <param name="fd">The connection, nonblocking.</param>
internal sealed class DnsConnection(NetworkLoop loop, int fd)
{
    private const int LengthSize = sizeof(ushort);
    private const int IdleMilliseconds = 10_000;

    private readonly byte[] _received = new byte[LengthSize + DnsMessages.MaxQuery];
    private int _fd = fd;
    private int _count;
    private bool _asking;
    private bool _ended;

    /// <summary>When it is closed unless something happens, milliseconds of <see cref="ClockTicks"/>.</summary>
    internal long Deadline { get; private set; } = ClockTicks.Milliseconds + IdleMilliseconds;

    /// <summary>Whether it is over.</summary>
    internal bool IsClosed => _fd < 0;

    /// <summary>Reads what has come, and asks the next question.</summary>
    /// <returns>Whether it goes on.</returns>
    internal bool OnReadable()
    {
        while (!IsClosed && !_ended && _count < _received.Length)
        {
            nint count = Libc.Read(_fd, _received.AsSpan(_count), (nuint)(_received.Length - _count));
            if (count > 0)
            {
                _count += (int)count;
                Deadline = ClockTicks.Milliseconds + IdleMilliseconds;
                continue;
            }

            if (count < 0 && Marshal.GetLastPInvokeError() is Errno.EAGAIN or Errno.EINTR)
            {
                break;
            }

            _ended = true;
        }

        return AskNext();
    }

    /// <summary>Closes the connection.</summary>
    internal void Close()
    {
        if (_fd >= 0)
        {
            _ = Libc.Close(_fd);
            _fd = -1;
        }
    }

    private bool AskNext()
    {
        if (IsClosed)
        {
            return false;
        }

        if (_asking)
        {
            return true;
        }

        if (_count < LengthSize)
        {
            return !_ended;
        }

        int length = BinaryPrimitives.ReadUInt16BigEndian(_received);
        if (length is < DnsMessages.HeaderSize or > DnsMessages.MaxQuery)
        {
            return false;
        }

        if (_count < LengthSize + length)
        {
            return !_ended;
        }

        byte[] query = _received[LengthSize..(LengthSize + length)];
        _count -= LengthSize + length;
        _received.AsSpan(LengthSize + length, _count).CopyTo(_received);
        _asking = true;
        loop.Ask(
            new OpenRequest { Op = Operations.Dns, Dns = new DnsRequest { Query = query, OverTcp = true } },
            (reply, _) => OnAnswer(reply?.Dns ?? DnsMessages.Failure(query)));
        return !IsClosed;
    }

    private void OnAnswer(byte[] answer)
    {
        _asking = false;
        if (IsClosed)
        {
            return;
        }

        byte[] framed = new byte[LengthSize + answer.Length];
        BinaryPrimitives.WriteUInt16BigEndian(framed, (ushort)answer.Length);
        answer.CopyTo(framed, LengthSize);
        Deadline = ClockTicks.Milliseconds + IdleMilliseconds;

        // An asker that does not even take one answer is not waited for.
        if (Libc.Write(_fd, framed, (nuint)framed.Length) != framed.Length || !OnReadable())
        {
            Close();
        }
    }
}
