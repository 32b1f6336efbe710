using System.Text;
using FsCheck;
using FsCheck.Fluent;

namespace OpenSandbox.Qmp.Tests.Support;

/// <summary>Generators: what QEMU says, what it might, and noise.</summary>
internal static class QmpGen
{
    private static readonly string[] s_lines =
    [
        ScriptedPeer.Greeting,
        "{\"return\": {}, \"id\": 1}\r\n",
        "{\"return\": {}, \"id\": 2}\r\n",
        "{\"return\": {\"status\": \"running\", \"singlestep\": false, \"running\": true}, \"id\": 2}\r\n",
        "{\"return\": {\"status\": \"failed\", \"error-desc\": \"\\u00e4\", \"total-time\": 1, \"ram\": {\"transferred\": 1}}, \"id\": 3}\r\n",
        "{\"return\": [{\"type\": \"virtio-mem\", \"data\": {\"id\": \"mem0\", \"size\": 1, \"max-size\": 2, \"block-size\": 3}}], \"id\": 4}\r\n",
        "{\"return\": {\"fdset-id\": 1, \"fd\": 20}, \"id\": 5}\r\n",
        "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"Node 'ä' is busy 🙂\"}}\r\n",
        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 1}, \"event\": \"STOP\"}\r\n",
        "{\"timestamp\": {\"seconds\": -1, \"microseconds\": -1}, \"event\": \"MIGRATION\", \"data\": {\"status\": \"\\ud83d\\ude42\"}}\r\n",
        "{\"event\": \"\\u0041\", \"data\": {\"a\": [1, -2.5e300, true, false, null, \"\", {}, []]}}\r\n",
    ];

    /// <summary>Pieces that JSON and UTF-8 are sensitive to.</summary>
    private static readonly byte[][] s_pieces =
    [
        "\n"u8.ToArray(), "\r\n"u8.ToArray(), "{"u8.ToArray(), "}"u8.ToArray(), "["u8.ToArray(), "]"u8.ToArray(), "\""u8.ToArray(),
        "\\"u8.ToArray(), "\\ud800"u8.ToArray(), "\\udc00"u8.ToArray(), "\\u0000"u8.ToArray(), "\"id\":"u8.ToArray(), "\"return\":"u8.ToArray(),
        "\"event\":"u8.ToArray(), "\"error\":"u8.ToArray(), "\"QMP\":"u8.ToArray(), "null"u8.ToArray(), "1e999"u8.ToArray(), "-"u8.ToArray(),
        "99999999999999999999"u8.ToArray(), ","u8.ToArray(), ":"u8.ToArray(), [0xC3], [0xE2, 0x82], [0xF0, 0x9F, 0x99], [0xED, 0xA0, 0x80], [0xFF], [0],
        Encoding.UTF8.GetBytes(new string('[', 65)), Encoding.UTF8.GetBytes(new string(' ', 300)), "ä"u8.ToArray(), "🙂"u8.ToArray(),
    ];

    internal static Gen<int[]> Cuts { get; } = Gen.Choose(1, 40).ArrayOf().Where(cuts => cuts.Length > 0);

    internal static Gen<byte[]> Noise { get; } = Gen.OneOf(
        Gen.Choose(0, 255).Select(value => (byte)value).ArrayOf(),
        Gen.Elements(s_pieces).ArrayOf().Select(Join));

    /// <summary>Lines that QEMU could have sent, none changed.</summary>
    internal static Gen<byte[]> Valid { get; } = Gen.Elements(s_lines).Select(Encoding.UTF8.GetBytes);

    /// <summary>Lines with a few bytes replaced, inserted, removed or cut off.</summary>
    internal static Gen<byte[]> Mutated { get; } =
        from lines in Valid.ArrayOf().Where(lines => lines.Length > 0)
        from edits in Edit.ListOf()
        select edits.Take(6).Aggregate(Join(lines), static (bytes, edit) => edit(bytes));

    /// <summary>All of it.</summary>
    internal static Gen<byte[]> Stream { get; } = Gen.Frequency((1, Noise), (4, Mutated), (1, Valid));

    private static Gen<Func<byte[], byte[]>> Edit { get; } =
        from kind in Gen.Choose(0, 3)
        from place in Gen.Choose(0, 1_000_000)
        from value in Gen.Choose(0, 255)
        from piece in Gen.Elements(s_pieces)
        select new Func<byte[], byte[]>(bytes =>
        {
            int at = bytes.Length == 0 ? 0 : place % bytes.Length;
            return kind switch
            {
                0 when bytes.Length > 0 => [.. bytes[..at], (byte)value, .. bytes[(at + 1)..]],
                1 => [.. bytes[..at], .. piece, .. bytes[at..]],
                2 when bytes.Length > 0 => [.. bytes[..at], .. bytes[Math.Min(bytes.Length, at + 1 + (value % 8))..]],
                _ => bytes[..at],
            };
        });

    private static byte[] Join(byte[][] parts) => [.. parts.SelectMany(part => part)];
}
