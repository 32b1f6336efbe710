using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using Xunit.Abstractions;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>A host process that is killed with many sandboxes under load.</summary>
[Collection(HostFixture.Collection)]
[Trait("Category", "Faults")]
public sealed class AdoptionTests(HostFixture fixture, ITestOutputHelper output)
{
    // What is promised is measured in the long run, which has the machine for itself.
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(FaultCampaign.Runs > 0 ? 2 : 10);

    [SkippableFact]
    public async Task Host_KilledWithTwentySandboxesUnderLoad_AllAreAdoptedAndNoOutputIsLost()
    {
        _ = fixture.HostWithImage;
        const int count = 20;
        await using var state = new OwnState();
        await using FaultHostProcess killed = FaultHostProcess.Start(state.Options, "crowd", $"{count}");
        await killed.SaidAsync("under-load");
        IReadOnlyList<(string Sandbox, string Process)> made = killed.Made;
        Assert.Equal(count, made.Count);
        await using SandboxHost next = await state.StartHostAsync();
        await killed.KillAsync();

        long started = Stopwatch.GetTimestamp();
        RecoveryReport report = await next.RecoverAsync(ExecTests.Deadline());
        TimeSpan whole = Stopwatch.GetElapsedTime(started);

        Assert.Empty(report.Problems);
        Assert.Equal(made.Select(static vm => vm.Sandbox).Order(StringComparer.Ordinal), report.Adopted.Select(static vm => vm.Id).Order(StringComparer.Ordinal));
        var lines = new ConcurrentBag<int>();
        await Parallel.ForEachAsync(made, async (vm, _) =>
        {
            Assert.True(next.TryGet(vm.Sandbox, out Sandbox? sandbox));
            lines.Add(await CheckAsync(sandbox, vm.Process));
        });
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{count} sandboxes adopted in {report.Duration.TotalMilliseconds:0} ms ({whole.TotalMilliseconds:0} ms with sweeping); {lines.Sum()} lines of output, none lost"));
        Assert.True(report.Duration < s_limit, $"adopting {count} sandboxes took {report.Duration}");
        await Task.WhenAll(report.Adopted.Select(static sandbox => sandbox.DeleteAsync()));
    }

    /// <summary>Everything from the first line on is there, without a gap, and more comes; the file has all that was printed.</summary>
    private static async Task<int> CheckAsync(Sandbox sandbox, string processId)
    {
        await using SandboxProcess process = await sandbox.Processes.AttachAsync(
            processId, new AttachOptions { FromSequence = 0 }, ExecTests.Deadline(60));
        Assert.Equal(0, process.FirstSequence);
        var text = new StringBuilder();
        byte[] buffer = new byte[16_384];
        long beyond = process.ReplayEnd;
        long next = 0;
        while (next <= beyond + 1)
        {
            SandboxOutput piece = await process.ReadAsync(buffer, ExecTests.Deadline(60));
            Assert.Equal((0L, next, false), (piece.Missing, piece.Sequence, piece.IsEnd));
            text.Append(Encoding.ASCII.GetString(buffer, 0, piece.Count));
            next += piece.Count;
        }

        int[] lines = [.. text.ToString().Split('\n').SkipLast(1).Select(static line => int.Parse(line, CultureInfo.InvariantCulture))];
        Assert.Equal(Enumerable.Range(1, lines.Length), lines);
        string file = (await sandbox.ExecAsync("cat /workspace/lines", cancellationToken: ExecTests.Deadline(60))).StandardOutput;
        int[] written = [.. file.Split('\n').SkipLast(1).Select(static line => int.Parse(line, CultureInfo.InvariantCulture))];
        Assert.Equal(Enumerable.Range(1, written.Length), written);
        Assert.True(written.Length >= lines.Length, $"{lines.Length} lines were printed, {written.Length} are in the file");
        return lines.Length;
    }
}
