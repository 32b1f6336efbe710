using OpenSandbox.Cli.Control;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Keeping;

/// <summary>Operations on the sandbox as a whole.</summary>
internal sealed partial class ControlSession
{
    private async Task HibernateAsync(CancellationToken ending)
    {
        SandboxHibernation saved = await server.Sandbox.HibernateAsync(ending).ConfigureAwait(false);

        // It is on disk now and nobody's: this process has nothing to keep any more.
        server.RemoveSocket();
        await server.Sandbox.DisposeAsync().ConfigureAwait(false);
        var row = new HibernationRow
        {
            Id = server.Sandbox.Id,
            MemoryPages = saved.MemoryPages,
            MemoryBytes = saved.MemoryBytes,
            Milliseconds = saved.Duration.TotalMilliseconds,
        };
        await connection.SendAsync(ControlFrameKind.Result, row, ControlJsonContext.Default.HibernationRow, ending).ConfigureAwait(false);

        // Whoever wakes it needs its lock: the other side waits for the end of this process.
        server.KeepUntilExit(connection);
    }

    private async Task PauseAsync(ControlChange change, CancellationToken ending)
    {
        SandboxPause pause = await server.Sandbox.PauseAsync(new PauseOptions { PageOut = change.PageOut }, ending).ConfigureAwait(false);
        var row = new PauseRow { Id = server.Sandbox.Id, PagedOutBytes = pause.PagedOutBytes };
        await connection.SendAsync(ControlFrameKind.Result, row, ControlJsonContext.Default.PauseRow, ending).ConfigureAwait(false);
    }

    private async Task ResumeAsync(CancellationToken ending)
    {
        await server.Sandbox.ResumeAsync(ending).ConfigureAwait(false);
        await SendDoneAsync(ending).ConfigureAwait(false);
    }

    private async Task CheckpointAsync(ControlChange change, CancellationToken ending)
    {
        var options = new CheckpointOptions { Name = change.Name, Kind = change.DiskOnly ? CheckpointKind.DiskOnly : CheckpointKind.Full };
        SandboxCheckpoint checkpoint = await server.Sandbox.CheckpointAsync(options, ending).ConfigureAwait(false);
        CheckpointRow row = CheckpointRow.From(checkpoint) with { StoppedMilliseconds = checkpoint.Stopped.TotalMilliseconds };
        await connection.SendAsync(ControlFrameKind.Result, row, ControlJsonContext.Default.CheckpointRow, ending).ConfigureAwait(false);
    }

    private async Task RestoreAsync(ControlChange change, CancellationToken ending)
    {
        SandboxWake woken = await server.Sandbox.RestoreAsync(
            Require(change.Checkpoint), new WakeOptions { RequireMemory = change.RequireMemory, FromDisk = change.FromDisk }, ending).ConfigureAwait(false);
        await connection.SendAsync(
            ControlFrameKind.Result, WakeRow.From(server.Sandbox.Id, woken), ControlJsonContext.Default.WakeRow, ending).ConfigureAwait(false);
    }

    private async Task ForkAsync(ControlChange change, CancellationToken ending)
    {
        IReadOnlyList<Sandbox> forks = await server.Sandbox
            .ForkAsync(change.Count, new ForkOptions { Lifetime = SandboxLifetime.Detached }, ending).ConfigureAwait(false);
        foreach (Sandbox fork in forks)
        {
            // They run on, and get keepers of their own.
            await fork.DisposeAsync().ConfigureAwait(false);
        }

        var row = new ForkRow { Ids = [.. forks.Select(static fork => fork.Id)] };
        await connection.SendAsync(ControlFrameKind.Result, row, ControlJsonContext.Default.ForkRow, ending).ConfigureAwait(false);
    }
}
