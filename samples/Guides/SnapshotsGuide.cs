using OpenSandbox.Vmm;

namespace Guides;

/// <summary>The code of docs/snapshots.md.</summary>
internal static class SnapshotsGuide
{
    internal static async Task HibernateAsync(SandboxHost host, CancellationToken cancellationToken)
    {
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: cancellationToken);
        await sandbox.StartAsync("python3 -m http.server 8000", cancellationToken: cancellationToken);

        await sandbox.HibernateAsync(cancellationToken);
        SandboxWake woken = await sandbox.WakeAsync(cancellationToken: cancellationToken);
        if (!woken.MemoryRestored)
        {
            Console.WriteLine($"booted from its disks: {string.Join("; ", woken.Reasons)}");
        }
    }

    internal static async Task CheckpointAsync(Sandbox sandbox, CancellationToken cancellationToken)
    {
        SandboxCheckpoint before = await sandbox.CheckpointAsync(
            new CheckpointOptions { Name = "before the upgrade", KeepLast = 5 }, cancellationToken);
        ExecResult upgrade = await sandbox.ExecAsync("pip install --upgrade -r requirements.txt", cancellationToken: cancellationToken);
        if (upgrade.ExitCode != 0)
        {
            await sandbox.RestoreAsync(before.Id, cancellationToken: cancellationToken);
        }
    }

    internal static async Task ForkAsync(SandboxHost host, Sandbox prepared, string checkpointId, CancellationToken cancellationToken)
    {
        IReadOnlyList<Sandbox> attempts = await prepared.ForkAsync(10, cancellationToken: cancellationToken);
        IReadOnlyList<Sandbox> later = await host.ForkAsync(checkpointId, 3, cancellationToken: cancellationToken);
        foreach (Sandbox fork in attempts.Concat(later))
        {
            await fork.DisposeAsync();
        }
    }

    internal static async Task CarryAsync(Sandbox sandbox, SandboxHost elsewhere, CancellationToken cancellationToken)
    {
        await sandbox.HibernateAsync(cancellationToken);
        await sandbox.ExportAsync("work.osa", cancellationToken: cancellationToken);

        await using Sandbox copy = await elsewhere.ImportAsync("work.osa", new ImportOptions { Egress = EgressPolicy.DenyAll }, cancellationToken);
        await copy.WakeAsync(cancellationToken: cancellationToken);
    }

    internal static async Task ServeAsync(SandboxHostOptions options, CancellationToken cancellationToken)
    {
        await using SandboxHost host = await SandboxHost.StartAsync(options, cancellationToken: cancellationToken);
        RecoveryReport report = await host.RecoverAsync(cancellationToken);
        Console.WriteLine($"{report.Adopted.Count} sandboxes were running, {report.Hibernated.Count} are hibernated");
        await host.CreateAsync(new SandboxSpec { Lifetime = SandboxLifetime.Detached }, cancellationToken);
    }
}
