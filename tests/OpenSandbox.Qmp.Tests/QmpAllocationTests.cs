using System.Net.Sockets;
using System.Text;
using OpenSandbox.Qmp.Tests.Support;
using Xunit.Abstractions;

namespace OpenSandbox.Qmp.Tests;

/// <summary>What the client costs in managed memory: it counts against the budget of a whole VM's start.</summary>
[Collection(nameof(QmpAllocationTests))]
[CollectionDefinition(nameof(QmpAllocationTests), DisableParallelization = true)]
public sealed class QmpAllocationTests(ITestOutputHelper output)
{
    private const int Rounds = 200;

    [Fact]
    public async Task ConnectNegotiateContinue_Allocates_LessThan16KiB()
    {
        double bytes = await MeasureAsync(async () =>
        {
            (Socket client, Socket other) = Native.SocketPair();
            Answers.Start(other, commands: 2);
            await using QmpClient qmp = await QmpClient.ConnectAsync(client);
            await qmp.ContinueAsync();
        });
        double sockets = await MeasureAsync(() =>
        {
            (Socket client, Socket other) = Native.SocketPair();
            client.Dispose();
            other.Dispose();
            return Task.CompletedTask;
        });
        output.WriteLine($"connect + negotiate + cont + dispose: {bytes:0} bytes, of which the test's two sockets {sockets:0}");
        Assert.InRange(bytes, 1, 16 * 1024);
    }

    [Fact]
    public async Task HotCommands_Allocate_LessThan1KiBEach()
    {
        (Socket client, Socket other) = Native.SocketPair();
        Answers.Start(other, commands: 100_000);
        await using QmpClient qmp = await QmpClient.ConnectAsync(client);
        using var cancel = new CancellationTokenSource();
        (string Name, Func<Task> Call)[] calls =
        [
            ("cont", () => qmp.ContinueAsync()),
            ("cont with a token", () => qmp.ContinueAsync(cancel.Token)),
            ("query-status", () => qmp.QueryStatusAsync()),
            ("qom-set", () => qmp.QomSetAsync("/machine/peripheral/mem0", "requested-size", 1 << 30)),
        ];
        foreach ((string name, Func<Task> call) in calls)
        {
            double bytes = await MeasureAsync(call);
            output.WriteLine($"{name}: {bytes:0} bytes");
            Assert.InRange(bytes, 1, 1024);
        }
    }

    private static async Task<double> MeasureAsync(Func<Task> action)
    {
        for (int i = 0; i < Rounds; i++)
        {
            await action().Soon();
        }

        // The best of a few: the runtime's own threads allocate now and then.
        double best = double.MaxValue;
        for (int repeat = 0; repeat < 5; repeat++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            for (int i = 0; i < Rounds; i++)
            {
                await action();
            }

            best = Math.Min(best, (GC.GetTotalAllocatedBytes(precise: true) - before) / (double)Rounds);
        }

        return best;
    }

    /// <summary>A peer on a thread of its own that answers by count and allocates next to nothing.</summary>
    private static class Answers
    {
        private static readonly byte[] s_greeting = Encoding.UTF8.GetBytes(ScriptedPeer.Greeting);
        private static readonly byte[] s_head = """{"return": {"status": "running", "singlestep": false, "running": true}, "id": """u8.ToArray();

        internal static void Start(Socket socket, int commands)
        {
            ThreadPool.UnsafeQueueUserWorkItem(
                static state =>
                {
                    using (state.socket)
                    {
                        Run(state.socket, state.commands);
                    }
                },
                (socket, commands),
                preferLocal: false);
        }

        private static void Run(Socket socket, int commands)
        {
            Span<byte> buffer = stackalloc byte[1024];
            Span<byte> reply = stackalloc byte[256];
            socket.Send(s_greeting);
            int next = 1;
            while (next <= commands)
            {
                int received = socket.Receive(buffer, SocketFlags.None, out SocketError error);
                if (received == 0 || error != SocketError.Success)
                {
                    return;
                }

                for (int lines = buffer[..received].Count((byte)'\n'); lines > 0; lines--, next++)
                {
                    s_head.CopyTo(reply);
                    next.TryFormat(reply[s_head.Length..], out int digits);
                    "}\r\n"u8.CopyTo(reply[(s_head.Length + digits)..]);
                    socket.Send(reply[..(s_head.Length + digits + 3)], SocketFlags.None, out _);
                }
            }
        }
    }
}
