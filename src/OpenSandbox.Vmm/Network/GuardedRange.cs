using System.Net;
using System.Net.Sockets;

namespace OpenSandbox.Vmm;

/// <summary>One range of guarded addresses.</summary>
internal sealed class GuardedRange
{
    private readonly UInt128 _first;
    private readonly UInt128 _mask;
    private readonly EmbeddedForm _form;

    private GuardedRange(IPNetwork network, string name, EmbeddedForm form)
    {
        int length = network.BaseAddress.AddressFamily == AddressFamily.InterNetwork ? 32 : 128;
        Name = name;
        Prefix = network.PrefixLength;
        _first = AddressBits.Of(network.BaseAddress);
        // A shift by all 128 bits would shift by none.
        _mask = Prefix == 0 ? UInt128.Zero : UInt128.MaxValue << (length - Prefix);
        _form = form;
    }

    internal string Name { get; }

    internal int Prefix { get; }

    internal static GuardedRange Of(string network, string name, EmbeddedForm form = EmbeddedForm.None) => new(IPNetwork.Parse(network), name, form);

    /// <summary>Whether an address of the same family is in the range.</summary>
    internal bool Contains(UInt128 address) => (address & _mask) == _first;

    /// <summary>The IPv4 addresses that an address of this range stands for.</summary>
    internal IPAddress[] EmbeddedIn(IPAddress address)
    {
        if (_form == EmbeddedForm.None)
        {
            return [];
        }

        Span<byte> b = stackalloc byte[16];
        address.TryWriteBytes(b, out _);
        return _form switch
        {
            EmbeddedForm.LastFour => [new IPAddress(b[12..])],
            EmbeddedForm.SixToFour => [new IPAddress(b[2..6])],
            EmbeddedForm.Teredo =>
            [
                new IPAddress(b[4..8]),
                new IPAddress((ReadOnlySpan<byte>)[(byte)~b[12], (byte)~b[13], (byte)~b[14], (byte)~b[15]]),
            ],
            // Byte 8 is never part of the address; which of the forms is meant is known to the network's owner alone.
            _ =>
            [
                new IPAddress((ReadOnlySpan<byte>)[b[6], b[7], b[9], b[10]]),
                new IPAddress((ReadOnlySpan<byte>)[b[7], b[9], b[10], b[11]]),
                new IPAddress(b[9..13]),
                new IPAddress(b[12..]),
            ],
        };
    }
}
