using System.Diagnostics;
using OpenSandbox.PerfHarness.Floor;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>P7: a small file on the workspace. The floor is a ping plus the agent's own time for equal requests of the floor program's.</summary>
internal sealed class SmallFileRow() : Row("P7", "file write / read, 1 KiB", "<= 1.5x")
{
    private const int Pings = 5;
    private const int WarmupRequests = 100;

    internal override async Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken)
    {
        FloorProgram floor = await bench.GetFloorAsync(Bench.WithDisks, cancellationToken).ConfigureAwait(false);
        await floor.CreateAsync(0, exec: false).ConfigureAwait(false);
        Sandbox sandbox = await bench.CreateAsync(Bench.WithDisks, cancellationToken).ConfigureAwait(false);
        int count = bench.Count(200) + Bench.Warmups;
        byte[] content = new byte[FloorFiles.SmallFileBytes];
        Random.Shared.NextBytes(content);
        Series ping = new(), write = new(Bench.Warmups), read = new(Bench.Warmups);
        Series sameWrite = new(Bench.Warmups), sameRead = new(Bench.Warmups), agentWrite = new(Bench.Warmups), agentRead = new(Bench.Warmups);
        await using (sandbox.ConfigureAwait(false))
        {
            await floor.RequestAsync(0, "write", content.Length, WarmupRequests).ConfigureAwait(false);
            await floor.RequestAsync(0, "read", 0, WarmupRequests).ConfigureAwait(false);
            await Bench.WarmUpAsync(async () =>
            {
                await sandbox.Files.WriteAsync(FloorFiles.SmallFile, content.AsMemory(), cancellationToken: cancellationToken).ConfigureAwait(false);
                await sandbox.Files.ReadAllBytesAsync(FloorFiles.SmallFile, cancellationToken: cancellationToken).ConfigureAwait(false);
            }).ConfigureAwait(false);
            for (int i = 0; i < count; i++)
            {
                Bench.Progress($"{Id} {i + 1}/{count}");
                ping.Add((await floor.PingAsync(0, Pings).ConfigureAwait(false))[^1]);
                FloorRequestTime written = (await floor.RequestAsync(0, "write", content.Length, 1).ConfigureAwait(false))[0];
                FloorRequestTime readBack = (await floor.RequestAsync(0, "read", 0, 1).ConfigureAwait(false))[0];
                if (readBack.BytesReceived != content.Length)
                {
                    throw new InvalidDataException($"{readBack.BytesReceived} bytes came back instead of {content.Length}");
                }

                sameWrite.Add(written.Microseconds);
                sameRead.Add(readBack.Microseconds);
                agentWrite.Add(written.AgentMicroseconds);
                agentRead.Add(readBack.AgentMicroseconds);

                long start = Stopwatch.GetTimestamp();
                await sandbox.Files.WriteAsync(FloorFiles.SmallFile, content.AsMemory(), cancellationToken: cancellationToken).ConfigureAwait(false);
                write.Add(Bench.Since(start) * 1e3);
                start = Stopwatch.GetTimestamp();
                byte[] back = await sandbox.Files.ReadAllBytesAsync(FloorFiles.SmallFile, cancellationToken: cancellationToken).ConfigureAwait(false);
                read.Add(Bench.Since(start) * 1e3);
                if (!back.AsSpan().SequenceEqual(content))
                {
                    throw new InvalidDataException("the file came back changed");
                }
            }
        }

        await floor.KillAsync(0).ConfigureAwait(false);
        return
        [
            AgainstAgent("write: ping + the agent's file time", agentWrite, write),
            AgainstAgent("read: ping + the agent's file time", agentRead, read),
            Figure.Compare("write: the floor program's", "us", sameWrite, write),
            Figure.Compare("read: the floor program's", "us", sameRead, read),
            Figure.OfFloor("ping", "us", ping),
        ];

        Figure AgainstAgent(string name, Series agent, Series ours)
        {
            double below = ping.P50 + agent.P50;
            return new Figure
            {
                Name = name,
                Unit = "us",
                Floor = below,
                Ours = ours.P50,
                Ratio = ours.P50 / below,
                Goal = Goal,
                Holds = ours.P50 <= below * 1.5,
                FloorSeries = agent.Summary,
                OursSeries = ours.Summary,
            };
        }
    }
}
