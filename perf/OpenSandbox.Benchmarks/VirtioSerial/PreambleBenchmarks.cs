using System.Buffers;
using BenchmarkDotNet.Attributes;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Benchmarks.VirtioSerial;

/// <summary>The search for a session's first bytes, behind a reconnecting host's padding and behind noise.</summary>
[MemoryDiagnoser]
public class PreambleBenchmarks
{
    private const ulong Epoch = 0x1122_3344_5566_7788;

    private ReadOnlySequence<byte> _padding;
    private ReadOnlySequence<byte> _noise;

    [GlobalSetup]
    public void Setup()
    {
        var bytes = new byte[ProtocolConstants.ReconnectPaddingSize + ProtocolConstants.PreambleSize];
        new Preamble(Epoch, ProtocolConstants.Generation).Write(bytes.AsSpan(ProtocolConstants.ReconnectPaddingSize));
        _padding = new ReadOnlySequence<byte>((byte[])bytes.Clone());
        new Random(1).NextBytes(bytes.AsSpan(0, ProtocolConstants.ReconnectPaddingSize));
        _noise = new ReadOnlySequence<byte>(bytes);
    }

    [Benchmark]
    public bool BehindPadding()
    {
        ReadOnlySequence<byte> buffer = _padding;
        return Preamble.TryFind(ref buffer, Epoch, out _);
    }

    [Benchmark]
    public bool BehindNoise()
    {
        ReadOnlySequence<byte> buffer = _noise;
        return Preamble.TryFind(ref buffer, Epoch, out _);
    }
}
