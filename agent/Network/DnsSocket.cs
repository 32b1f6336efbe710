using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>DNS queries over UDP: each is one question to the host. Belongs to the network loop's thread.</summary>
/// <param name="fd">The socket, bound.</param>
/// <param name="loop">The loop.</param>
internal sealed class DnsSocket(int fd, NetworkLoop loop)
{
    private const int MaxReadsPerTurn = 32;
    private const int MaxPending = 256;

    private readonly byte[] _buffer = new byte[DnsMessages.MaxQuery + 1];
    private readonly byte[] _address = new byte[SocketAddress.MaxSize];
    private int _pending;

    /// <summary>Reads what has come.</summary>
    internal void Read()
    {
        for (int i = 0; i < MaxReadsPerTurn; i++)
        {
            uint length = (uint)_address.Length;
            nint count = Libc.RecvFrom(fd, _buffer, (nuint)_buffer.Length, 0, _address, ref length);
            if (count < 0)
            {
                return;
            }

            if (count is < DnsMessages.HeaderSize or > DnsMessages.MaxQuery)
            {
                continue; // no DNS
            }

            byte[] query = _buffer[..(int)count];
            byte[] asker = _address[..(int)length];
            if (_pending >= MaxPending)
            {
                Send(DnsMessages.Failure(query), asker);
                continue;
            }

            _pending++;
            loop.Ask(new OpenRequest { Op = Operations.Dns, Dns = new DnsRequest { Query = query } }, (reply, _) =>
            {
                _pending--;
                Send(reply?.Dns ?? DnsMessages.Failure(query), asker);
            });
        }
    }

    private void Send(byte[] answer, byte[] asker) =>
        _ = Libc.SendTo(fd, answer, (nuint)answer.Length, 0, asker, (uint)asker.Length); // lost answers are asked for again: that is UDP
}
