using System.Globalization;
using OpenSandbox.Vmm;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.FaultHost;

/// <summary>
/// A host process for tests to end at a failpoint. It starts a host on the state directory that the environment names, says <c>ready</c>, and
/// reads one line: the operation, a sandbox, a checkpoint, a process in the sandbox whose output is to be passed on, the number of the first
/// byte of that, what happens at which failpoint, and processes to spare; <c>-</c> stands for nothing. It says <c>opened</c>, and after a
/// line more it carries the operation out. What it says on the way: <c>ack BYTES</c> for output, <c>reached NAME COUNT</c> for failpoints,
/// and <c>done RESULT</c> or <c>failed TYPE MESSAGE</c> at the end. With the arguments <c>crowd COUNT</c> it keeps so many sandboxes under
/// load until it is killed (see <see cref="Crowd"/>).
/// </summary>
internal static class Program
{
    private const int ExitFailed = 3;
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);
    private static readonly Lock s_saying = new();

    private static async Task<int> Main(string[] arguments)
    {
        int firstUid = int.Parse(Environment.GetEnvironmentVariable("OPENSANDBOX_TEST_UID")!, CultureInfo.InvariantCulture);
        var clock = new Integration.Tests.ShiftableClock();

        // A clock that is set forward is no agent that does not answer.
        var options = new SandboxHostOptions { FirstUid = firstUid, TimeProvider = clock, HeartbeatInterval = Timeout.InfiniteTimeSpan };
        await using SandboxHost host = await SandboxHost.StartAsync(options);
        Say("ready");
        if (arguments is ["crowd", string count])
        {
            using var end = new CancellationTokenSource(s_patience + s_patience);
            await Crowd.KeepAsync(host, int.Parse(count, CultureInfo.InvariantCulture), Say, end.Token);
        }

        string[] words = (await Console.In.ReadLineAsync())?.Split(' ') ?? [];
        if (words.Length == 0)
        {
            return 0; // it was not needed
        }

        using var deadline = new CancellationTokenSource(s_patience);
        var operation = new Operation(host, clock, words[0], words[2], deadline.Token);
        Sandbox? sandbox = words[1] == "-" || !operation.NeedsSandbox ? null : await host.OpenAsync(words[1], deadline.Token);
        await operation.PrepareAsync(sandbox);
        Task passing = sandbox is { State: SandboxState.Running } && words[3] != "-"
            ? PassOnAsync(sandbox, words[3], long.Parse(words[4], CultureInfo.InvariantCulture), deadline.Token)
            : Task.CompletedTask;
        List<FaultStep> steps = FaultStep.ParseAll(words[5]);
        var spared = words[6].Split(',').Where(static pid => pid != "-").Select(static pid => int.Parse(pid, CultureInfo.InvariantCulture)).ToHashSet();
        Say("opened");
        if (await Console.In.ReadLineAsync() is null)
        {
            return 0;
        }

        try
        {
            string result;
            using (Fault.ArmFlow(FaultPlan.Observe((point, count) => Reach(operation, steps, firstUid, spared, point, count))))
            {
                result = await operation.RunAsync(sandbox);
            }

            Say($"done {result}");
            return 0;
        }
        catch (Exception failure)
        {
            Say($"failed {failure.GetType().Name} {failure.Message.ReplaceLineEndings(" ")}");
            return ExitFailed;
        }
        finally
        {
            await host.DisposeAsync();
            await passing;
        }
    }

    private static void Reach(Operation operation, List<FaultStep> steps, int firstUid, HashSet<int> spared, string point, int count)
    {
        Say($"reached {point} {count}");
        operation.Reached(point);
        switch (steps.Find(step => step.Point == point && step.At == count)?.Action)
        {
            case "kill":
                Interop.Libc.KillSelf();
                break;
            case "qemu":
                Say($"killed {VmKiller.KillAll(firstUid, spared)}");
                break;
            case "eio":
                throw new IOException($"failpoint {point}", Interop.Errno.EIO);
            case "enospc":
                throw new IOException($"failpoint {point}", Interop.Errno.ENOSPC);
            default:
                break;
        }
    }

    /// <summary>Passes on what a process writes, until it or its machine ends.</summary>
    private static async Task PassOnAsync(Sandbox sandbox, string process, long from, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[16_384];
        try
        {
            await using SandboxProcess output = await sandbox.Processes.AttachAsync(process, new AttachOptions { FromSequence = from }, cancellationToken);
            while (await output.ReadAsync(buffer, cancellationToken) is { IsEnd: false } piece)
            {
                Say(piece.Missing > 0 ? $"gap {piece.Sequence} {piece.Missing}" : $"ack {piece.Sequence} {Convert.ToBase64String(buffer.AsSpan(0, piece.Count))}");
            }
        }
        catch (Exception ended) when (ended is SandboxException or OperationCanceledException or ObjectDisposedException)
        {
            Say($"silent {ended.GetType().Name}");
        }
    }

    private static void Say(string line)
    {
        lock (s_saying)
        {
            Console.Out.WriteLine(line);
            Console.Out.Flush();
        }
    }
}
