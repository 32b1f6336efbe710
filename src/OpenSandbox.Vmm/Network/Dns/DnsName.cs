using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace OpenSandbox.Vmm;

/// <summary>A name as it stands in messages: labels with their lengths, uncompressed, the root at the end. Immutable.</summary>
/// <remarks>Compared as DNS does: without regard to the case of ASCII letters. Labels may hold any bytes.</remarks>
internal sealed class DnsName : IEquatable<DnsName>
{
    /// <summary>RFC 1035 section 3.1.</summary>
    internal const int MaxWireLength = 255;

    private readonly byte[] _wire;

    internal DnsName(ReadOnlySpan<byte> wire) => _wire = wire.ToArray();

    internal ReadOnlySpan<byte> Wire => _wire;

    /// <summary>A name from text that is normalised already.</summary>
    internal static DnsName Of(string name)
    {
        Span<byte> wire = stackalloc byte[MaxWireLength + 2];
        int length = 0;
        foreach (string label in name.Split('.'))
        {
            wire[length] = (byte)label.Length;
            length += 1 + Encoding.ASCII.GetBytes(label, wire[(length + 1)..]);
        }

        wire[length++] = 0;
        return new DnsName(wire[..length]);
    }

    /// <summary>
    /// The name as rules know it: lower case, dots between the labels. Names with a byte other than letters, digits, hyphens and underscores
    /// have no such form; nor has the root.
    /// </summary>
    internal bool TryGetText([NotNullWhen(true)] out string? text)
    {
        text = null;
        var builder = new StringBuilder(_wire.Length);
        for (int at = 0; _wire[at] != 0; at += 1 + _wire[at])
        {
            if (builder.Length > 0)
            {
                builder.Append('.');
            }

            foreach (byte b in _wire.AsSpan(at + 1, _wire[at]))
            {
                char c = (char)b;
                if (!char.IsAsciiLetterOrDigit(c) && c is not ('-' or '_'))
                {
                    return false;
                }

                builder.Append(char.ToLowerInvariant(c));
            }
        }

        text = builder.ToString();
        return text.Length > 0;
    }

    /// <summary>For people: anything that is not printable ASCII becomes a question mark.</summary>
    public override string ToString()
    {
        var builder = new StringBuilder(_wire.Length);
        for (int at = 0; _wire[at] != 0; at += 1 + _wire[at])
        {
            foreach (byte b in _wire.AsSpan(at + 1, _wire[at]))
            {
                builder.Append(b is > 0x20 and < 0x7F ? (char)b : '?');
            }

            builder.Append('.');
        }

        return builder.Length == 0 ? "." : builder.ToString();
    }

    public bool Equals(DnsName? other) => other is not null && Ascii.EqualsIgnoreCase(_wire, other._wire);

    public override bool Equals(object? obj) => Equals(obj as DnsName);

    public override int GetHashCode()
    {
        var hash = new HashCode();
        foreach (byte b in _wire)
        {
            hash.Add(b is >= (byte)'A' and <= (byte)'Z' ? b | 0x20 : b);
        }

        return hash.ToHashCode();
    }
}
