using System.Buffers;
using BenchmarkDotNet.Attributes;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Benchmarks.VirtioSerial;

/// <summary>One frame through the codec; see docs/protocol.md.</summary>
[MemoryDiagnoser]
public class FrameBenchmarks
{
    private const uint Tag = 0x5566_7788;

    private readonly ArrayBufferWriter<byte> _output = new(ProtocolConstants.MaxFrameSize);
    private byte[] _payload = [];
    private ReadOnlySequence<byte> _frame;

    /// <summary>Payload, bytes; the largest is that of a whole frame.</summary>
    [Params(16, 1_024, ProtocolConstants.MaxPayloadSize)]
    public int PayloadSize { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _payload = new byte[PayloadSize];
        new Random(1).NextBytes(_payload);
        Encode();
        _frame = new ReadOnlySequence<byte>(_output.WrittenMemory.ToArray());
    }

    [Benchmark]
    public int Encode()
    {
        _output.ResetWrittenCount();
        FrameWriter.Write(_output, FrameType.Data, (byte)DataChannel.StandardOutput, 7, Tag, _payload);
        return _output.WrittenCount;
    }

    [Benchmark]
    public long Decode()
    {
        ReadOnlySequence<byte> buffer = _frame;
        FrameReader.TryRead(ref buffer, Tag, out FrameHeader header, out ReadOnlySequence<byte> payload, out _);
        return payload.Length + header.StreamId;
    }
}
