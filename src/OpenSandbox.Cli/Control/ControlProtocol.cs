using System.Buffers.Binary;

namespace OpenSandbox.Cli.Control;

/// <summary>Constants of the private protocol between a command line and a keeper; docs/adr/0008 says why it is as it is.</summary>
/// <remarks>
/// Both sides begin with a preamble, then send frames. One connection carries operations one after the other.
/// <code>
/// preamble  0       7         8
///           | magic | version |
/// frame     0      1        5
///           | kind | length | payload ... |      length: little-endian, without the first five bytes
/// </code>
/// </remarks>
internal static class ControlProtocol
{
    /// <summary>Raised with every change that an older side would misunderstand. There is no negotiation: both ends are one program.</summary>
    internal const byte Version = 1;

    /// <summary>Bytes of the preamble.</summary>
    internal const int PreambleBytes = 8;

    /// <summary>Bytes before a frame's payload.</summary>
    internal const int HeaderBytes = 5;

    /// <summary>Largest payload of <see cref="ControlFrameKind.Data"/> and <see cref="ControlFrameKind.ErrorData"/>.</summary>
    internal const int MaxDataBytes = 65_536;

    /// <summary>Largest JSON payload: a command and its environment can be as large as the guest's kernel accepts them.</summary>
    internal const int MaxJsonBytes = 4 << 20;

    /// <summary>Bytes of <see cref="ControlFrameKind.Data"/> that the asking side may have under way without a <see cref="ControlFrameKind.Credit"/>.</summary>
    internal const int Window = 4 * MaxDataBytes;

    /// <summary>What both sides send first.</summary>
    internal static ReadOnlySpan<byte> Preamble => "OSBKEEP\x01"u8;

    /// <summary>Largest payload that a frame of a kind may have; -1 for what is no kind.</summary>
    internal static int MaxPayload(ControlFrameKind kind) => kind switch
    {
        ControlFrameKind.Request or ControlFrameKind.Result or ControlFrameKind.Failure or ControlFrameKind.Started or ControlFrameKind.Item => MaxJsonBytes,
        ControlFrameKind.Data or ControlFrameKind.ErrorData => MaxDataBytes,
        ControlFrameKind.DataEnd => 0,
        ControlFrameKind.Credit or ControlFrameKind.Signal or ControlFrameKind.Resize => 4,
        _ => -1,
    };

    /// <summary>Checks what the other side began with.</summary>
    /// <returns>Its version.</returns>
    /// <exception cref="ControlProtocolException">It speaks something else altogether.</exception>
    internal static byte ReadVersion(ReadOnlySpan<byte> preamble) => preamble[..^1].SequenceEqual(Preamble[..^1])
        ? preamble[^1]
        : throw new ControlProtocolException("the other side of the control socket is not opensandbox");

    /// <summary>Writes a frame's header.</summary>
    internal static void WriteHeader(Span<byte> header, ControlFrameKind kind, int length)
    {
        header[0] = (byte)kind;
        BinaryPrimitives.WriteInt32LittleEndian(header[1..], length);
    }

    /// <summary>Reads a frame's header, and checks it before anything is buffered.</summary>
    /// <exception cref="ControlProtocolException">There is no such kind, or it may not be so long.</exception>
    internal static (ControlFrameKind Kind, int Length) ReadHeader(ReadOnlySpan<byte> header)
    {
        var kind = (ControlFrameKind)header[0];
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(header[1..]);
        int limit = MaxPayload(kind);
        return limit >= 0 && length <= (uint)limit
            ? (kind, (int)length)
            : throw new ControlProtocolException($"the other side of the control socket sent a frame of kind {(byte)kind} with {length} bytes");
    }
}
