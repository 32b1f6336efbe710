using System.Buffers;
using System.Text.Json;
using BenchmarkDotNet.Attributes;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Benchmarks.VirtioSerial;

/// <summary>The JSON of one command: the host writes the request and reads the result.</summary>
[MemoryDiagnoser]
public class PayloadBenchmarks
{
    private readonly OpenRequest _request = new()
    {
        Op = Operations.Exec,
        Exec = new ExecRequest
        {
            Argv = ["/bin/sh", "-c", "make -j4 test"],
            WorkingDirectory = "/workspace",
            Environment = new(StringComparer.Ordinal) { ["CI"] = "true", ["LANG"] = "C.UTF-8" },
            TimeoutMilliseconds = 60_000,
        },
    };

    private readonly byte[] _result = JsonSerializer.SerializeToUtf8Bytes(
        new ExecResultMessage { ExitCode = 0, WallMicroseconds = 123_456, CpuMicroseconds = 98_765 },
        ProtocolJsonContext.Default.ExecResultMessage);

    [Benchmark]
    public int WriteExecRequest()
    {
        using JsonPayloadBuffer json = JsonPayloadBuffer.Write(
            _request, ProtocolJsonContext.Default.OpenRequest, ProtocolConstants.MaxRequestSize);
        return json.Written.Length;
    }

    [Benchmark]
    public ExecResultMessage ReadExecResult()
    {
        var payload = default(StoredPayload);
        payload.Store(new ReadOnlySequence<byte>(_result), FrameType.Result);
        ExecResultMessage result = payload.Read(ProtocolJsonContext.Default.ExecResultMessage, FrameType.Result);
        payload.Clear();
        return result;
    }
}
