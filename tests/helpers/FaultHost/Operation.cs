using OpenSandbox.Integration.Tests;
using OpenSandbox.Vmm;

namespace OpenSandbox.FaultHost;

/// <summary>One operation on sandboxes, by its name.</summary>
internal sealed class Operation(SandboxHost host, ShiftableClock clock, string name, string checkpoint, CancellationToken cancellationToken)
{
    private const string Compaction = "compact";
    private const string Attached = "hibernate-attached";
    private const string Import = "import";
    private static readonly TimeSpan s_idle = TimeSpan.FromMinutes(4); // of which a quarter passes between two records of the last use
    private static readonly TimeSpan s_lifetime = TimeSpan.FromMinutes(2); // passes at once here; the next host, whose clock is right, has this long to renew it
    private readonly TaskCompletionSource _merged = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _recorded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Sandbox? _made;
    private bool _using;
    private bool _written;

    /// <summary>Whether it works on the sandbox that there is. Recovery finds it by itself.</summary>
    internal bool NeedsSandbox => name is not ("recover" or Attached or "create" or "fork-checkpoint" or "delete-checkpoint" or Import);

    /// <summary>Where archives are, beside the state directory that is looked through for what is left.</summary>
    private string Archive => Path.Combine(host.Options.RuntimeDirectory, "sandbox.archive");

    /// <summary>What there must be before, and is made by the process that is going to be killed.</summary>
    internal async Task PrepareAsync(Sandbox? sandbox)
    {
        if (name == Attached)
        {
            _made = await host.CreateAsync(cancellationToken: cancellationToken);
            await _made.ExecAsync("echo memory > /dev/shm/file; echo disk > /workspace/file; sync", cancellationToken: cancellationToken);
        }

        if (name == Import)
        {
            Sandbox made = await host.CreateAsync(cancellationToken: cancellationToken);
            await made.HibernateAsync(cancellationToken);
            await made.ExportAsync(Archive, cancellationToken: cancellationToken);
            await made.DeleteAsync(cancellationToken);
        }

        if (name == "expire-use")
        {
            await sandbox!.SetExpiryAsync(new SandboxExpiry { IdleTimeout = s_idle, Action = SandboxExpiryAction.Hibernate }, cancellationToken);
        }

        if (name == Compaction)
        {
            const int layers = 9;
            for (int i = 0; i < layers; i++)
            {
                SandboxCheckpoint made = await sandbox!.CheckpointAsync(new CheckpointOptions { Kind = CheckpointKind.DiskOnly }, cancellationToken);
                await host.DeleteCheckpointAsync(made.Id, cancellationToken);
            }
        }
    }

    /// <summary>A failpoint has been reached.</summary>
    internal void Reached(string point)
    {
        // Merging goes on behind the call: it is over with the commit after it.
        if (_written && point == "sandbox.committed")
        {
            _merged.TrySetResult();
        }

        _written |= point == "compaction.written";

        // So does writing down when it was last used.
        if (_using && point == "sandbox.committed")
        {
            _recorded.TrySetResult();
        }

        _using |= point == "expiry.use";
    }

    /// <summary>Carries it out.</summary>
    /// <returns>Ids of what it made.</returns>
    internal async Task<string> RunAsync(Sandbox? sandbox)
    {
        var detached = new ForkOptions { Lifetime = SandboxLifetime.Detached };
        switch (name)
        {
            case "create":
                return (await host.CreateAsync(new SandboxSpec { Lifetime = SandboxLifetime.Detached }, cancellationToken)).Id;
            case "hibernate":
                return (await sandbox!.HibernateAsync(cancellationToken)).SnapshotId;
            case Attached:
                return (await _made!.HibernateAsync(cancellationToken)).SnapshotId;
            case Compaction:
                await sandbox!.HibernateAsync(cancellationToken);
                await _merged.Task.WaitAsync(cancellationToken);
                return "";
            case "wake":
                return $"{(await sandbox!.WakeAsync(cancellationToken: cancellationToken)).MemoryRestored}";
            case "checkpoint":
                return (await sandbox!.CheckpointAsync(cancellationToken: cancellationToken)).Id;
            case "checkpoint-disk":
                return (await sandbox!.CheckpointAsync(new CheckpointOptions { Kind = CheckpointKind.DiskOnly }, cancellationToken)).Id;
            case "fork":
                return Ids(await sandbox!.ForkAsync(2, detached, cancellationToken));
            case "fork-checkpoint":
                return Ids(await host.ForkAsync(checkpoint, 2, detached, cancellationToken));
            case "restore":
                return $"{(await sandbox!.RestoreAsync(checkpoint, cancellationToken: cancellationToken)).MemoryRestored}";
            case "delete":
                await sandbox!.DeleteAsync(cancellationToken);
                return "";
            case "delete-checkpoint":
                return $"{await host.DeleteCheckpointAsync(checkpoint, cancellationToken)}";
            case "export":
                return $"{(await sandbox!.ExportAsync(Archive, cancellationToken: cancellationToken)).Bytes}";
            case Import:
                return (await host.ImportAsync(Archive, cancellationToken: cancellationToken)).Id;
            case "expire-set":
                await sandbox!.SetExpiryAsync(new SandboxExpiry { IdleTimeout = TimeSpan.FromHours(1), AutoWake = true }, cancellationToken);
                return "";
            case "expire-kill":
                return await ExpireAsync(sandbox!, SandboxExpiryAction.Kill, SandboxEventKind.Deleted);
            case "expire-hibernate":
                return await ExpireAsync(sandbox!, SandboxExpiryAction.Hibernate, SandboxEventKind.Hibernated);
            case "expire-use":
                clock.Shift(s_idle / 3);
                await _recorded.Task.WaitAsync(cancellationToken);
                return "";
            case "recover":
                RecoveryReport report = await host.RecoverAsync(cancellationToken);
                return $"{report.Adopted.Count} {report.Hibernated.Count} {report.Crashed.Count} {report.Problems.Count}";
            default:
                throw new ArgumentException($"there is no operation '{name}'", nameof(name));
        }
    }

    /// <summary>Its time is up: by the clock, which is set forward here, so that all of it happens in this flow, where faults do.</summary>
    private async Task<string> ExpireAsync(Sandbox sandbox, SandboxExpiryAction action, SandboxEventKind end)
    {
        using SandboxEventSubscription events = host.SubscribeEvents();
        await sandbox.SetExpiryAsync(new SandboxExpiry { Lifetime = s_lifetime, Action = action }, cancellationToken);
        clock.Shift(s_lifetime);
        await foreach (SandboxEvent happened in events.WithCancellation(cancellationToken))
        {
            if (happened.SandboxId == sandbox.Id && happened.Kind == end)
            {
                break;
            }

            if (happened.SandboxId == sandbox.Id && happened.Kind == SandboxEventKind.Crashed && action == SandboxExpiryAction.Hibernate)
            {
                throw new SandboxStateException(sandbox.Id, SandboxState.Crashed, SandboxState.Running); // there is nothing left to put away
            }
        }

        return "";
    }

    private static string Ids(IEnumerable<Sandbox> sandboxes) => string.Join(',', sandboxes.Select(static sandbox => sandbox.Id));
}
