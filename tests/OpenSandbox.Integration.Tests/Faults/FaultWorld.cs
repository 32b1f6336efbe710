using System.Diagnostics;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>
/// A state directory with one sandbox that operations are made on, and two that they are not: one runs, one is hibernated. All are detached.
/// Its host is in this process between two faults, and in another one while a fault happens.
/// </summary>
internal sealed class FaultWorld : IAsyncDisposable
{
    private const int MaxFiles = 1_500; // beyond that each check takes too long

    private readonly OwnState _state = new();
    private string _bystanderBoot = "";
    private Dictionary<string, string> _sleeperFiles = [];
    private FaultHostProcess? _next;
    private bool _hosting;
    private int _recovered;
    private int _bystanderPid;

    internal SandboxHostOptions Options => _state.Options;

    /// <summary>The host in this process.</summary>
    internal SandboxHost Host { get; private set; } = null!;

    /// <summary>The sandbox that operations are made on; nothing after it has been deleted.</summary>
    internal Sandbox? Subject { get; private set; }

    internal string SubjectId { get; private set; } = "";

    internal GuestWriter Writer { get; set; } = null!;

    /// <summary>The boot that the subject's guest is in.</summary>
    internal string Boot { get; set; } = "";

    /// <summary>A full checkpoint of the subject, if an operation needs one.</summary>
    internal string? Checkpoint { get; set; }

    /// <summary>The last file that the checkpoint has for certain.</summary>
    internal int CheckpointAcknowledged { get; private set; }

    /// <summary>The writer that ran then.</summary>
    internal GuestWriter? CheckpointWriter { get; private set; }

    /// <summary>The boot that the guest was in then.</summary>
    internal string CheckpointBoot { get; private set; } = "";

    /// <summary>Checkpoints that there were before the fault.</summary>
    internal HashSet<string> CheckpointsBefore { get; private set; } = [];

    /// <summary>Sandboxes that the last fault has left beside the three.</summary>
    internal List<Sandbox> Others { get; } = [];

    /// <summary>How long the last host took until all sandboxes could be used.</summary>
    internal double RecoveryMilliseconds { get; private set; }

    internal int Acknowledged { get; private set; }

    internal Sandbox Bystander { get; private set; } = null!;

    internal Sandbox Sleeper { get; private set; } = null!;

    internal GuestWriter BystanderWriter { get; private set; } = null!;

    private static SandboxSpec Detached => new() { Lifetime = SandboxLifetime.Detached };

    internal static async Task<FaultWorld> StartAsync()
    {
        var world = new FaultWorld();
        try
        {
            world.Host = await world._state.StartHostAsync();
            world._hosting = true;
            world.Bystander = await world.Host.CreateAsync(Detached, Deadline());
            world.BystanderWriter = await GuestWriter.StartAsync(world.Bystander);
            (_, world._bystanderBoot) = await world.BystanderWriter.CheckAsync(world.Bystander);
            world.Sleeper = await world.Host.CreateAsync(Detached, Deadline());
            await world.Sleeper.ExecAsync("echo memory > /dev/shm/file; echo disk > /workspace/file", cancellationToken: Deadline());
            await world.Sleeper.HibernateAsync(Deadline());
            return world;
        }
        catch
        {
            await world.DisposeAsync();
            throw;
        }
    }

    /// <summary>There is a subject, it runs, and so does its writer.</summary>
    internal async Task RunSubjectAsync()
    {
        if (Subject is not null && Writer.Acknowledged > MaxFiles)
        {
            await DeleteSubjectAsync();
        }

        if (Subject is null)
        {
            await DeleteSubjectAsync(); // it may be gone, and its checkpoint is not
            Subject = await Host.CreateAsync(Detached, Deadline());
            SubjectId = Subject.Id;
            Writer = await GuestWriter.StartAsync(Subject);
            (_, Boot) = await Writer.CheckAsync(Subject);
        }
        else if (Subject.State == SandboxState.Hibernated)
        {
            Assert.True((await Subject.WakeAsync(new WakeOptions { RequireMemory = true }, Deadline())).MemoryRestored);
        }
        else if (Subject.State == SandboxState.Crashed)
        {
            await Subject.WakeAsync(cancellationToken: Deadline());
        }
    }

    internal async Task DeleteSubjectAsync()
    {
        if (Subject is not null)
        {
            await Subject.DeleteAsync(Deadline());
            Forget();
        }

        if (Checkpoint is not null)
        {
            await Host.DeleteCheckpointAsync(Checkpoint, Deadline());
            Checkpoint = null;
        }
    }

    /// <summary>The subject has been deleted.</summary>
    internal void Forget() => Subject = null;

    /// <summary>There is a checkpoint of the running subject, and the subject has gone on since.</summary>
    internal async Task MakeCheckpointAsync()
    {
        if (Checkpoint is null)
        {
            await Subject!.ExecAsync("rm -f /dev/shm/later", cancellationToken: Deadline());
            (CheckpointAcknowledged, CheckpointWriter, CheckpointBoot) = (Writer.Acknowledged, Writer, Boot);
            Checkpoint = (await Subject.CheckpointAsync(cancellationToken: Deadline())).Id;
        }

        await Subject!.ExecAsync("echo later > /dev/shm/later", cancellationToken: Deadline());
    }

    /// <summary>Carries an operation out in another process, with something happening at a failpoint.</summary>
    /// <param name="operation">As the helper process knows it.</param>
    /// <param name="steps">What happens where.</param>
    /// <param name="around">What is done around it: gets the process, and what lets it begin and waits for its end.</param>
    internal async Task<FaultRun> RunAsync(string operation, string steps, Func<int, Func<Task<FaultRun>>, Task<FaultRun>>? around = null)
    {
        // What is left to the background of the host in this process ends before the next one begins.
        if (_hosting)
        {
            CheckpointsBefore = [.. Host.ListCheckpoints().Select(static checkpoint => checkpoint.Id)];
            _sleeperFiles = FilesOf(Sleeper);
            _bystanderPid = await Bystander.Machine.GetQemuPidAsync(Deadline());
            _hosting = false;
            await Host.DisposeAsync();
        }

        await using FaultHostProcess process = _next ?? FaultHostProcess.Start(Options);
        _next = null;
        await process.PrepareAsync(operation, Subject is null ? null : SubjectId, Checkpoint, Subject is null ? null : Writer, steps, [_bystanderPid]);
        FaultRun run = await (around is null ? GoAsync() : around(process.Id, GoAsync));
        if (Subject is not null)
        {
            Writer.Learn(process.Acks);
            Acknowledged += process.Acks.Count;
        }

        return run;

        async Task<FaultRun> GoAsync()
        {
            (int exitCode, string? end) = await process.RunAsync();
            return new FaultRun(exitCode, end, process.Reached);
        }
    }

    /// <summary>A new host finds what there is; what operations do not concern is as it was, and nothing is too much.</summary>
    internal async Task RecoverAsync()
    {
        Host = await _state.StartHostAsync();
        _hosting = true;
        _next = FaultHostProcess.Start(Options);
        long started = Stopwatch.GetTimestamp();
        RecoveryReport report = await Host.RecoverAsync(Deadline(60));
        RecoveryMilliseconds = report.Duration.TotalMilliseconds;
        Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(60));
        Assert.Empty(report.Problems);
        Assert.Empty(report.Elsewhere);

        Dictionary<string, Sandbox> all = report.Adopted.Concat(report.Hibernated).Concat(report.Crashed).ToDictionary(static sandbox => sandbox.Id);
        Assert.True(all.Remove(Bystander.Id, out Sandbox? bystander) && bystander.State == SandboxState.Running, "the sandbox beside it does not run");
        Assert.True(all.Remove(Sleeper.Id, out Sandbox? sleeper) && sleeper.State == SandboxState.Hibernated, "the sandbox beside it does not sleep");
        (Bystander, Sleeper) = (bystander, sleeper);
        (int last, string boot) = await BystanderWriter.CheckAsync(Bystander);
        Assert.Equal(_bystanderBoot, boot);
        await BystanderWriter.GoesOnAsync(Bystander);
        if (last > MaxFiles)
        {
            await ReplaceBystanderAsync();
        }

        Assert.Equal(_sleeperFiles, FilesOf(Sleeper));
        if (++_recovered % 16 == 0)
        {
            await WakeSleeperAsync();
        }

        Subject = Subject is not null && all.Remove(SubjectId, out Sandbox? subject) ? subject : null;
        Others.Clear();
        Others.AddRange(all.Values);
        await CheckLeaksAsync();
    }

    /// <summary>Nothing is there that no manifest names, once everything has been swept.</summary>
    internal async Task CheckLeaksAsync()
    {
        // Nobody can have it while an operation is under way, or one that was killed has left its lock to somebody.
        CancellationToken deadline = Deadline(30);
        List<string> leaks;
        do
        {
            using StateLease alone = await Host.Store.EnterExclusiveAsync(deadline);
            StateSweeper.Sweep(Host.Store, alone, null);
            leaks = FaultLedger.FindLeaks(Host);
        }
        while (leaks.Count > 0 && !deadline.IsCancellationRequested); // digests are written down without a lease
        Assert.True(leaks.Count == 0, string.Join('\n', leaks));
    }

    /// <summary>Lets other processes be killed in the middle of something, one after the other.</summary>
    internal async Task InterruptAsync(IReadOnlyList<(string Operation, string Steps)> before)
    {
        foreach ((string operation, string steps) in before)
        {
            FaultRun run = await RunAsync(operation, steps);
            Assert.True(run.WasKilled, $"{operation} was to be killed at {steps}: {run.End}");
        }
    }

    /// <summary>The subject runs and everything that it has acknowledged is there; with its memory, unless that may be lost.</summary>
    internal async Task CheckSubjectAsync(bool memory)
    {
        Assert.NotNull(Subject);
        (_, string boot) = await Writer.CheckAsync(Subject);
        if (memory)
        {
            Assert.Equal(Boot, boot);
            await Writer.GoesOnAsync(Subject);
        }
        else if (boot != Boot)
        {
            Boot = boot;
            Writer = await GuestWriter.StartAsync(Subject);
        }
        else
        {
            await Writer.GoesOnAsync(Subject);
        }
    }

    /// <summary>Keeps what whoever looks into a failure wants to see.</summary>
    /// <returns>Where, for the message.</returns>
    internal async Task<string> SaveAsync(string title, string plan, FaultRun? run, Exception failure)
    {
        string directory = Path.Combine(AppContext.BaseDirectory, "fault-artifacts");
        Directory.CreateDirectory(directory);
        string file = Path.Combine(directory, $"{title}-{plan.Replace(':', '-').Replace('=', '-').Replace(',', '-')}.txt");
        string reached = run is null ? "" : string.Join(' ', run.Reached.Select(static place => $"{place.Point}:{place.Count}"));
        await File.WriteAllTextAsync(file, $"{title} {plan}\n{run?.ExitCode} {run?.End}\n{reached}\n{failure}\n{Describe()}\n");
        return $"\n(kept in {file})";
    }

    public async ValueTask DisposeAsync()
    {
        if (_next is not null)
        {
            await _next.DisposeAsync();
        }

        if (Host is not null)
        {
            await Host.DisposeAsync();
        }

        await _state.DisposeAsync();
    }

    private string Describe() => string.Join('\n', Directory
        .EnumerateFiles(Options.StateDirectory, "*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.ReparsePoint })
        .Select(static path => path.EndsWith("manifest.json", StringComparison.Ordinal) ? $"{path}: {File.ReadAllText(path)}" : $"{path}: {new FileInfo(path).Length} bytes"));

    /// <summary>What has slept all the time has everything.</summary>
    private async Task WakeSleeperAsync()
    {
        Assert.True((await Sleeper.WakeAsync(new WakeOptions { RequireMemory = true }, Deadline())).MemoryRestored);
        Assert.Equal(
            "memory\ndisk\n", (await Sleeper.ExecAsync("cat /dev/shm/file /workspace/file", cancellationToken: Deadline())).StandardOutput);
        await Sleeper.HibernateAsync(Deadline());
    }

    private async Task ReplaceBystanderAsync()
    {
        await Bystander.DeleteAsync(Deadline());
        Bystander = await Host.CreateAsync(Detached, Deadline());
        BystanderWriter = await GuestWriter.StartAsync(Bystander);
        (_, _bystanderBoot) = await BystanderWriter.CheckAsync(Bystander);
    }

    /// <summary>The files of a hibernated sandbox, each with its digest.</summary>
    private Dictionary<string, string> FilesOf(Sandbox sandbox)
    {
        SandboxManifest manifest = Host.Store.LoadSandbox(sandbox.Id);
        string[] paths =
        [
            Host.Store.Layout.SandboxManifest(sandbox.Id),
            .. Directory.GetFiles(Host.Store.Layout.Snapshot(manifest.SnapshotId!)).Where(static path => !path.EndsWith("manifest.json", StringComparison.Ordinal)),
            .. manifest.Disks.All().SelectMany(static chain => chain.Layers).Select(layer => Host.Store.Layout.Layer(layer.Id)),
        ];
        return paths.ToDictionary(static path => path, static path => $"{new FileInfo(path).Length} {File.GetLastWriteTimeUtc(path):O}", StringComparer.Ordinal);
    }

    private static CancellationToken Deadline(int seconds = 60) => ExecTests.Deadline(seconds);
}

/// <summary>How an operation went in another process.</summary>
/// <param name="ExitCode">Of the process; 137 if it was killed.</param>
/// <param name="End">What it said at the end, if it came so far.</param>
/// <param name="Reached">The failpoints that it came to.</param>
internal sealed record FaultRun(int ExitCode, string? End, IReadOnlyList<(string Point, int Count)> Reached)
{
    internal bool WasKilled => ExitCode == FaultHostProcess.Killed;

    internal bool Succeeded => ExitCode == 0 && End is not null && End.StartsWith("done", StringComparison.Ordinal);
}
