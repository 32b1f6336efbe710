using System.Buffers.Binary;

namespace OpenSandbox.Integration.Tests;

/// <summary>What the guest keeps of a process's output, and readers that come late, leave early, or are slow.</summary>
[Collection(HostFixture.Collection)]
public sealed class ScrollbackTests(HostFixture fixture) : SandboxTests(fixture)
{
    // Numbers of eight bytes, so that every byte of the output tells its place.
    private const string Counter =
        """
        import os, struct, sys
        n = 0
        while n < int(sys.argv[1]):
            k = min(4096, int(sys.argv[1]) - n)
            data = struct.pack('<%dq' % k, *range(n, n + k))
            while data: data = data[os.write(1, data):]
            n += k
        """;

    [SkippableFact]
    public async Task Attach_Late_ReplaysAndSaysWhereTheReplayEnds()
    {
        await using SandboxProcess owner = await Sandbox.StartAsync("echo one; echo two >&2; read x; echo $x", cancellationToken: Deadline());
        await ReadUntilAsync(owner, static text => text.Contains("one", StringComparison.Ordinal) && text.Contains("two", StringComparison.Ordinal));
        await using SandboxProcess late = await Sandbox.Processes.AttachAsync(owner.Id, cancellationToken: Deadline());
        await using SandboxProcess now = await Sandbox.Processes.AttachAsync(owner.Id, new AttachOptions { FromNow = true }, Deadline());
        await using SandboxProcess middle = await Sandbox.Processes.AttachAsync(owner.Id, new AttachOptions { FromSequence = 4 }, Deadline());

        Assert.Equal((0, 8), (late.FirstSequence, late.ReplayEnd));
        Assert.Equal((8, 8), (now.FirstSequence, now.ReplayEnd));
        Assert.Equal((4, 8), (middle.FirstSequence, middle.ReplayEnd));
        await owner.WriteAsync("three\n"u8.ToArray(), Deadline());
        (string output, string error) = await ReadBothAsync(late);
        Assert.Equal(("one\nthree\n", "two\n"), (output, error));
        Assert.Equal("three\n", await ReadTextAsync(now));
        Assert.EndsWith("three\n", await ReadTextAsync(middle), StringComparison.Ordinal);
        Assert.Equal(0, (await late.WaitAsync(Deadline())).ExitCode);
    }

    [SkippableFact]
    public async Task Attach_AfterTheEnd_GetsOutputAndExit()
    {
        SandboxProcess process = await Sandbox.StartAsync("echo kept; exit 5", cancellationToken: Deadline());
        await process.WaitAsync(Deadline());
        await process.DisposeAsync();

        await using SandboxProcess again = await Sandbox.Processes.AttachAsync(process.Id, cancellationToken: Deadline());

        Assert.Equal("kept\n", await ReadTextAsync(again));
        Assert.Equal(5, (await again.WaitAsync(Deadline())).ExitCode);
    }

    [SkippableFact]
    public async Task Detached_OutlivesItsHandle()
    {
        SandboxProcess process = await Sandbox.StartAsync(
            "read line; echo got $line; sleep 1000", new StartOptions { Detached = true }, Deadline());
        await process.DisposeAsync();

        await using SandboxProcess again = await Sandbox.Processes.AttachAsync(process.Id, new AttachOptions { Input = true }, Deadline());
        Assert.True(await again.WriteAsync("it\n"u8.ToArray(), Deadline()));
        Assert.Equal("got it\n", await ReadLineAsync(again));
        Assert.True((await Sandbox.Processes.ListAsync(Deadline())).Single(p => p.Id == process.Id).IsRunning);
        Assert.True(await again.KillAsync(Deadline()));
        Assert.Equal(9, (await again.WaitAsync(Deadline())).Signal);
    }

    [SkippableFact]
    public async Task Attach_WithoutInput_CannotWrite()
    {
        await using SandboxProcess owner = await Sandbox.StartAsync(["cat"], cancellationToken: Deadline());
        await using SandboxProcess reader = await Sandbox.Processes.AttachAsync(owner.Id, cancellationToken: Deadline());
        await using SandboxProcess writer = await Sandbox.Processes.AttachAsync(owner.Id, new AttachOptions { Input = true }, Deadline());

        await Assert.ThrowsAsync<InvalidOperationException>(async () => await reader.WriteAsync("x"u8.ToArray(), Deadline()));
        await owner.WriteAsync("a\n"u8.ToArray(), Deadline());
        Assert.Equal("a\n", await ReadLineAsync(reader));
        await writer.WriteAsync("b\n"u8.ToArray(), Deadline());
        await writer.CompleteInputAsync(Deadline());
        Assert.Equal("b\n", await ReadTextAsync(reader));
        Assert.Equal("a\nb\n", await ReadTextAsync(owner));
    }

    [SkippableFact]
    public async Task Attach_MoreThan16_IsRefused()
    {
        await using SandboxProcess owner = await Sandbox.StartAsync(["cat"], cancellationToken: Deadline());
        var readers = new List<SandboxProcess>();
        for (int i = 0; i < 15; i++)
        {
            readers.Add(await Sandbox.Processes.AttachAsync(owner.Id, cancellationToken: Deadline()));
        }

        SandboxOperationException refused = await Assert.ThrowsAsync<SandboxOperationException>(
            () => Sandbox.Processes.AttachAsync(owner.Id, cancellationToken: Deadline()));
        Assert.Equal(SandboxErrorCode.LimitReached, refused.Code);
        await readers[0].DisposeAsync();
        await using SandboxProcess another = await Sandbox.Processes.AttachAsync(owner.Id, cancellationToken: Deadline());
        foreach (SandboxProcess reader in readers)
        {
            await reader.DisposeAsync();
        }
    }

    [SkippableFact]
    public async Task TwoReaders_AtOnce_GetTheSameBytes()
    {
        const int count = 1_000_000;
        await using SandboxProcess owner = await StartCounterAsync(count, OutputDelivery.Lossless);
        await using SandboxProcess other = await Sandbox.Processes.AttachAsync(
            owner.Id, new AttachOptions { Delivery = OutputDelivery.Lossless, FromSequence = 0 }, Deadline());
        long[] read = await Task.WhenAll(CheckAsync(owner), CheckAsync(other));

        Assert.All(read, static bytes => Assert.Equal(count * 8L, bytes));
    }

    [SkippableFact]
    public async Task Attach_WhileItWritesFast_LosesAndDoublesNothing()
    {
        const int count = 3_000_000;
        await using SandboxProcess owner = await StartCounterAsync(count, OutputDelivery.Lossless, 256 << 10);
        Task<long> reading = CheckAsync(owner);
        var readers = new List<Task<long>>();
        while (readers.Count < 12 && !reading.IsCompleted)
        {
            SandboxProcess reader = await Sandbox.Processes.AttachAsync(
                owner.Id, new AttachOptions { Delivery = OutputDelivery.Lossless, FromNow = readers.Count % 2 == 0 }, Deadline());
            readers.Add(CheckAndDisposeAsync(reader));
        }

        Assert.Equal(count * 8L, await reading);
        Assert.All(await Task.WhenAll(readers), static end => Assert.Equal(count * 8L, end));

        static async Task<long> CheckAndDisposeAsync(SandboxProcess reader)
        {
            await using (reader)
            {
                return await CheckAsync(reader);
            }
        }
    }

    [SkippableFact]
    public async Task LossyReader_ThatFallsBehind_GetsAGapAndThenTheRightBytes()
    {
        const int count = 2_000_000;
        await using SandboxProcess owner = await StartCounterAsync(count, OutputDelivery.Lossy, 128 << 10);
        SandboxProcessExit exit = await owner.WaitAsync(Deadline()); // it does not wait for a reader that does not read
        var gaps = new List<SandboxOutput>();
        long end = await CheckAsync(owner, gaps);

        Assert.Equal(0, exit.ExitCode);
        Assert.Equal(count * 8L, end);
        Assert.NotEmpty(gaps);
        Assert.All(gaps, static gap => Assert.True(gap.Missing > 0));
        Assert.InRange(gaps.Sum(static gap => gap.Missing), 1, (count * 8L) - (128 << 10));
    }

    [SkippableFact]
    public async Task LosslessReader_ThatDoesNotRead_HoldsTheProcessUntilItLeaves()
    {
        const int count = 2_000_000;
        await using SandboxProcess process = await StartCounterAsync(count, OutputDelivery.Lossy, 128 << 10);
        SandboxProcess slow = await Sandbox.Processes.AttachAsync(
            process.Id, new AttachOptions { Delivery = OutputDelivery.Lossless, FromNow = true }, Deadline());
        using var soon = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        Exception? waited = await Record.ExceptionAsync(() => process.WaitAsync(soon.Token));

        await slow.DisposeAsync();

        Assert.IsAssignableFrom<OperationCanceledException>(waited);
        Assert.Equal(0, (await process.WaitAsync(Deadline())).ExitCode);
    }

    [SkippableFact]
    public async Task NobodyReads_TheProcessIsNeverHeldUp()
    {
        const int count = 4_000_000;
        SandboxProcess process = await Sandbox.StartAsync(
            ["python3", "-c", Counter, $"{count}"], new StartOptions { Detached = true, ScrollbackBytes = 64 << 10 }, Deadline());
        await process.DisposeAsync();

        Assert.Equal(0, (await Sandbox.Processes.WaitAsync(process.Id, Deadline())).ExitCode);
        SandboxProcessInfo info = (await Sandbox.Processes.ListAsync(Deadline())).Single(p => p.Id == process.Id);
        Assert.Equal(count * 8L, info.OutputEnd);
        Assert.InRange(info.OutputEnd - info.OutputStart, 64 << 10, 128 << 10);
    }

    [SkippableFact]
    public async Task Log_ByOffset_IsReadPieceByPiece()
    {
        const int count = 100_000;
        await using SandboxProcess process = await StartCounterAsync(count, OutputDelivery.Lossy);
        var all = new List<byte>();
        SandboxProcessLog log;
        do
        {
            log = await Sandbox.Processes.ReadLogAsync(process.Id, all.Count, 77_777, Deadline());
            Assert.Equal(all.Count, log.Offset);
            Assert.Equal(log.Offset + log.Bytes.Length, log.NextOffset);
            Assert.InRange(log.Bytes.Length, 0, 77_777);
            all.AddRange(log.Bytes.Span);
        }
        while (!log.IsEnd);

        Assert.Equal(count * 8, all.Count);
        Check(all.ToArray(), 0);
        SandboxProcessLog beyond = await Sandbox.Processes.ReadLogAsync(process.Id, 10_000_000, cancellationToken: Deadline());
        Assert.Equal((0, count * 8L, true), (beyond.Bytes.Length, beyond.NextOffset, beyond.IsEnd));
    }

    [SkippableFact]
    public async Task Log_OfWhatIsGone_BeginsWithTheOldest()
    {
        await using SandboxProcess process = await StartCounterAsync(500_000, OutputDelivery.Lossy, 64 << 10);
        await process.WaitAsync(Deadline());
        SandboxProcessLog log = await Sandbox.Processes.ReadLogAsync(process.Id, 100, 1 << 20, Deadline());

        Assert.True(log.Offset > 100);
        Assert.Equal(log.FirstAvailable, log.Offset);
        Assert.Equal(4_000_000, log.NextOffset);
        Assert.InRange(log.Bytes.Length, 64 << 10, 128 << 10);
        Check(log.Bytes.Span, log.Offset);
    }

    [SkippableFact]
    public async Task Readers_ThatComeAndGo_DoNotDisturbTheOwner()
    {
        const int count = 2_000_000;
        await using SandboxProcess owner = await StartCounterAsync(count, OutputDelivery.Lossless, 128 << 10);
        Task<long> reading = CheckAsync(owner);
        byte[] buffer = new byte[1_000];
        int attached = 0;
        while (!reading.IsCompleted)
        {
            await using SandboxProcess guest = await Sandbox.Processes.AttachAsync(owner.Id, new AttachOptions { FromNow = attached % 2 == 0 }, Deadline());
            if (attached++ % 3 == 0)
            {
                await guest.ReadAsync(buffer, Deadline());
            }
        }

        Assert.Equal(count * 8L, await reading);
        Assert.True(attached > 3);
    }

    private Task<SandboxProcess> StartCounterAsync(int count, OutputDelivery delivery, int scrollback = 1 << 20) => Sandbox.StartAsync(
        ["python3", "-c", Counter, $"{count}"], new StartOptions { Delivery = delivery, ScrollbackBytes = scrollback }, Deadline());

    /// <summary>Reads to the end and checks every byte against its sequence number; from the handle's first on.</summary>
    private static async Task<long> CheckAsync(SandboxProcess process, List<SandboxOutput>? gaps = null)
    {
        byte[] buffer = new byte[65_536];
        long next = process.FirstSequence;
        while (true)
        {
            SandboxOutput piece = await process.ReadAsync(buffer, Deadline());
            Assert.Equal(next, piece.Sequence);
            switch (piece.Kind)
            {
                case SandboxOutputKind.End:
                    return next;
                case SandboxOutputKind.Gap:
                    Assert.NotNull(gaps);
                    gaps.Add(piece);
                    next += piece.Missing;
                    break;
                default:
                    Check(buffer.AsSpan(0, piece.Count), piece.Sequence);
                    next += piece.Count;
                    break;
            }
        }
    }

    private static void Check(ReadOnlySpan<byte> bytes, long sequence)
    {
        Span<byte> number = stackalloc byte[8];
        for (int i = 0; i < bytes.Length; i++)
        {
            if (i == 0 || (sequence + i) % 8 == 0)
            {
                BinaryPrimitives.WriteInt64LittleEndian(number, (sequence + i) / 8);
            }

            if (bytes[i] != number[(int)((sequence + i) % 8)])
            {
                Assert.Fail($"byte {sequence + i} is {bytes[i]}");
            }
        }
    }
}
