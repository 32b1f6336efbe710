using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace OpenSandbox.Vmm;

/// <summary>Addresses as numbers.</summary>
internal static class AddressBits
{
    /// <summary>The address with the bits behind the prefix cleared, and without a scope.</summary>
    internal static IPAddress Mask(IPAddress address, int prefix)
    {
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out int length);
        for (int i = 0; i < length; i++)
        {
            int kept = Math.Clamp(prefix - (i * 8), 0, 8);
            bytes[i] &= (byte)(0xFF << (8 - kept));
        }

        return new IPAddress(bytes[..length]);
    }

    /// <summary>The 32 or 128 bits.</summary>
    internal static UInt128 Of(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out int length);
        return length == 4 ? BinaryPrimitives.ReadUInt32BigEndian(bytes) : BinaryPrimitives.ReadUInt128BigEndian(bytes);
    }

    /// <summary>The same address without a scope: a guest's link names mean nothing here.</summary>
    internal static IPAddress WithoutScope(IPAddress address) =>
        address.AddressFamily == AddressFamily.InterNetworkV6 && address.ScopeId != 0 ? new IPAddress(address.GetAddressBytes()) : address;
}
