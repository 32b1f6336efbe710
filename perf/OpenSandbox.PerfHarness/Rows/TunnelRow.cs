using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>
/// P19: a TCP connection from a program in the guest to a server on this host, through agent and gateway, against the same number of bytes
/// through a virtio-serial port that the agent drops or makes up.
/// </summary>
internal sealed class TunnelRow() : Row("P19", "proxied TCP through the guest tunnel, 64 MiB", ">= 0.7x")
{
    private const double Megabyte = 1e6;

    // One process for all rounds: each connection says by its first byte which way the bytes go.
    private const string Program = """
        import socket, sys
        size = int(sys.argv[2]); data = bytes(size); buffer = bytearray(1 << 18)
        for line in sys.stdin:
            s = socket.create_connection(("192.0.0.1", int(sys.argv[1])))
            s.sendall(line[:1].encode())
            if line[0] == "u":
                s.sendall(data)
            else:
                left = size
                while left: left -= s.recv_into(buffer)
                s.sendall(b"!")
            s.recv(1)
            s.close()
        """;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        int port = ((IPEndPoint)listener.LocalEndPoint!).Port;
        SandboxSpec spec = Bench.WithDisks with { Egress = EgressPolicy.AllowOnly($"127.0.0.1:{port}") };
        FloorProgram floor = await bench.GetFloorAsync(Bench.WithDisks, cancellationToken).ConfigureAwait(false);
        int count = bench.Count(30) + Bench.Warmups;
        Series sink = new(Bench.Warmups), source = new(Bench.Warmups), up = new(Bench.Warmups), down = new(Bench.Warmups);
        await floor.CreateAsync(0, exec: false).ConfigureAwait(false);
        Sandbox sandbox = await bench.CreateAsync(spec, cancellationToken).ConfigureAwait(false);
        await using (sandbox.ConfigureAwait(false))
        {
            SandboxProcess program = await sandbox
                .StartAsync(["python3", "-c", Program, $"{port}", $"{FloorFiles.TransferBytes}"], cancellationToken: cancellationToken)
                .ConfigureAwait(false);
            await using (program.ConfigureAwait(false))
            {
                for (int i = 0; i < count; i++)
                {
                    Bench.Progress($"{Id} {i + 1}/{count}");
                    sink.Add(Rate((await floor.RequestAsync(0, "sink", FloorFiles.TransferBytes, 1).ConfigureAwait(false))[0].Microseconds / 1e3));
                    up.Add(await TransferAsync(program, listener, upwards: false, cancellationToken).ConfigureAwait(false));
                    source.Add(Rate((await floor.RequestAsync(0, "source", 0, 1).ConfigureAwait(false))[0].Microseconds / 1e3));
                    down.Add(await TransferAsync(program, listener, upwards: true, cancellationToken).ConfigureAwait(false));
                }
            }
        }

        await floor.KillAsync(0).ConfigureAwait(false);
        return
        [
            Figure.Compare("into the guest", "MB/s", sink, up, Goal, static (floor, ours) => ours >= floor * 0.7),
            Figure.Compare("out of the guest", "MB/s", source, down, Goal, static (floor, ours) => ours >= floor * 0.7),
        ];
    }

    private static async Task<double> TransferAsync(SandboxProcess program, Socket listener, bool upwards, CancellationToken cancellationToken)
    {
        await program.WriteAsync(upwards ? "u\n"u8.ToArray() : "d\n"u8.ToArray(), cancellationToken).ConfigureAwait(false);
        using Socket connection = await listener.AcceptAsync(cancellationToken).ConfigureAwait(false);
        byte[] buffer = new byte[1 << 18];
        await connection.ReceiveAsync(buffer.AsMemory(0, 1), cancellationToken).ConfigureAwait(false);
        long start = Stopwatch.GetTimestamp();
        int left = FloorFiles.TransferBytes;
        while (left > 0)
        {
            Memory<byte> piece = buffer.AsMemory(0, Math.Min(left, buffer.Length));
            int moved = upwards
                ? await connection.ReceiveAsync(piece, cancellationToken).ConfigureAwait(false)
                : await connection.SendAsync(piece, cancellationToken).ConfigureAwait(false);
            left = moved > 0 ? left - moved : throw new InvalidDataException("the connection ended early");
        }

        if (!upwards && await connection.ReceiveAsync(buffer.AsMemory(0, 1), cancellationToken).ConfigureAwait(false) != 1)
        {
            throw new InvalidDataException("the guest did not take everything");
        }

        return Rate(Bench.Since(start));
    }

    private static double Rate(double milliseconds) => FloorFiles.TransferBytes / Megabyte / (milliseconds / 1e3);
}
