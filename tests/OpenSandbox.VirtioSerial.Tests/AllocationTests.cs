using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using Xunit.Abstractions;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>Bounds on what a call allocates, so that a lost pool is a failed test and not a slow leak of time.</summary>
[Collection("Measurements")]
public sealed class AllocationTests(ITestOutputHelper output)
{
    private const int Rounds = 2_000;

    private static readonly byte[] s_payload = [1, 2, 3, 4, 5, 6, 7, 8];

    private static readonly OpenRequest s_request = new()
    {
        Op = Operations.Exec,
        Exec = new ExecRequest { Argv = ["uname", "-a"], WorkingDirectory = "/workspace", Environment = new(StringComparer.Ordinal) { ["A"] = "1" } },
    };

    /// <summary>Without optimisation, state machines of async methods are objects even where they need not be: about 170 bytes a wait.</summary>
    private static bool IsOptimized =>
        typeof(GuestChannel).Assembly.GetCustomAttribute<DebuggableAttribute>()?.IsJITOptimizerDisabled != true;

    [Fact]
    public async Task Exec_InSteadyState_AllocatesAtMostOneKibibyte()
    {
        (GuestChannel channel, LeanAgent agent) = await LeanAgent.StartAsync();
        await using (channel)
        {
            double bytes = await MeasureAsync(rounds => ExecAsync(channel, rounds));
            output.WriteLine($"exec: {bytes:F0} bytes");
            Assert.InRange(bytes, 0, IsOptimized ? 512 : 1_200);
        }

        agent.Dispose();
    }

    [Fact]
    public async Task Ping_InSteadyState_AllocatesNextToNothing()
    {
        (GuestChannel channel, LeanAgent agent) = await LeanAgent.StartAsync();
        await using (channel)
        {
            double bytes = await MeasureAsync(rounds => PingAsync(channel, rounds));
            output.WriteLine($"ping: {bytes:F0} bytes");
            Assert.InRange(bytes, 0, IsOptimized ? 16 : 256);
        }

        agent.Dispose();
    }

    /// <summary>Runs on the thread pool: the synchronization context of the test runner allocates for every continuation.</summary>
    private static async Task<double> MeasureAsync(Func<int, Task> operation)
    {
        await Task.Run(() => operation(Rounds)).Within();

        // The least of some samples: the runtime's own garbage can only add.
        double least = double.MaxValue;
        for (int sample = 0; sample < 5; sample++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            await Task.Run(() => operation(Rounds)).Within();
            least = Math.Min(least, (GC.GetTotalAllocatedBytes(precise: true) - before) / (double)Rounds);
        }

        return least;
    }

    private static async Task PingAsync(GuestChannel channel, int rounds)
    {
        for (int i = 0; i < rounds; i++)
        {
            await channel.PingAsync(s_payload);
        }
    }

    private static async Task ExecAsync(GuestChannel channel, int rounds)
    {
        for (int i = 0; i < rounds; i++)
        {
            await using GuestStream stream = channel.OpenStream(GuestPort.Bulk, s_request);
            int bytes = 0;
            while (true)
            {
                using GuestData data = await stream.ReadAsync();
                if (data.IsEnd)
                {
                    break;
                }

                bytes += data.Bytes.Length;
            }

            ExecResultMessage result = await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage);
            if (bytes != 26 || result.ExitCode != 0)
            {
                throw new InvalidOperationException(string.Create(CultureInfo.InvariantCulture, $"{bytes} bytes, exit code {result.ExitCode}"));
            }
        }
    }
}
