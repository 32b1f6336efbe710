using System.Buffers;
using BenchmarkDotNet.Attributes;
using OpenSandbox.Qmp.Protocol;

namespace OpenSandbox.Benchmarks.Qmp;

/// <summary>What one line from QEMU costs: cutting it off the received bytes and telling what it is.</summary>
[MemoryDiagnoser]
public class QmpParsingBenchmarks
{
    private const int MaxLineBytes = 1 << 20;

    private ReadOnlySequence<byte> _reply;
    private ReadOnlySequence<byte> _event;
    private ReadOnlySequence<byte> _large;

    [GlobalSetup]
    public void Prepare()
    {
        _reply = Line("""{"return": {}, "id": 17}""");
        _event = Line("""{"timestamp": {"seconds": 1700000000, "microseconds": 123456}, "event": "BLOCK_IO_ERROR", "data": {"device": "", "nospace": true, "node-name": "rootfs", "reason": "No space left on device", "operation": "write", "action": "stop"}}""");
        _large = Line($$"""{"return": [{{string.Join(",", Enumerable.Range(0, 500).Select(static i => $$"""{"name":"device{{i}}","type":"link<virtio-blk-pci>"}"""))}}], "id": 18}""");
    }

    [Benchmark(Baseline = true)]
    public int Reply() => Take(_reply);

    [Benchmark]
    public int Event() => Take(_event);

    [Benchmark]
    public int Reply500Entries() => Take(_large);

    private static ReadOnlySequence<byte> Line(string json) => new(System.Text.Encoding.UTF8.GetBytes(json + "\r\n"));

    private static int Take(ReadOnlySequence<byte> buffer)
    {
        var splitter = new LineSplitter(MaxLineBytes);
        return splitter.TryTake(ref buffer, out ReadOnlySequence<byte> line) ? (int)MessageParser.Parse(line.FirstSpan).Kind : -1;
    }
}
