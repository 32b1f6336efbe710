using OpenSandbox.Cli.Control;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Keeping;

/// <summary>Processes in the background, and what all use.</summary>
internal sealed partial class ControlSession
{
    private async Task ListProcessesAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<SandboxProcessInfo> processes = await server.Sandbox.Processes.ListAsync(cancellationToken).ConfigureAwait(false);
        ProcessRow[] rows = [.. processes.Select(static process => new ProcessRow
        {
            Id = process.Id,
            Pid = process.Pid,
            User = process.User,
            Command = [.. process.Command],
            StartedAt = process.StartedAt,
            Running = process.IsRunning,
            ExitCode = process.Exit?.ExitCode,
            Detached = process.IsDetached,
            Terminal = process.HasTerminal,
            CpuMilliseconds = process.CpuTime?.TotalMilliseconds,
            MemoryBytes = process.MemoryBytes,
            OutputStart = process.OutputStart,
            OutputEnd = process.OutputEnd,
        })];
        await connection.SendAsync(ControlFrameKind.Result, rows, ControlJsonContext.Default.ProcessRowArray, cancellationToken).ConfigureAwait(false);
    }

    private async Task SendUsageAsync(CancellationToken cancellationToken)
    {
        SandboxUsage usage = await server.Sandbox.GetUsageAsync(cancellationToken).ConfigureAwait(false);
        var row = new UsageRow
        {
            Id = server.Sandbox.Id,
            At = TimeProvider.System.GetUtcNow(),
            CpuMilliseconds = usage.CpuTime.TotalMilliseconds,
            MemoryBytes = usage.MemoryBytes,
            MemoryPeakBytes = usage.MemoryPeakBytes,
            MemoryLimitBytes = usage.MemoryLimitBytes,
            Processes = usage.Processes,
            ProcessLimit = usage.ProcessLimit,
            DiskReadBytes = usage.DiskReadBytes,
            DiskWrittenBytes = usage.DiskWrittenBytes,
            OutOfMemoryKills = usage.OutOfMemoryKills,
            RefusedForks = usage.RefusedForks,
        };
        await connection.SendAsync(ControlFrameKind.Result, row, ControlJsonContext.Default.UsageRow, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Sends a process's output; ends early when the other side goes.</summary>
    private async Task SendOutputAsync(ControlOutput wanted, CancellationToken ending)
    {
        string id = wanted.Process ?? await FindLastAsync(ending).ConfigureAwait(false);
        SandboxProcess process = await server.Sandbox.Processes
            .AttachAsync(id, new AttachOptions { FromSequence = wanted.From }, ending).ConfigureAwait(false);
        await using (process.ConfigureAwait(false))
        {
            using var over = CancellationTokenSource.CreateLinkedTokenSource(ending);
            Task watching = WatchForEndAsync(over);
            try
            {
                byte[] buffer = new byte[ControlProtocol.MaxDataBytes];
                long next = process.FirstSequence;
                while (wanted.Follow || next < process.ReplayEnd)
                {
                    SandboxOutput piece = await process.ReadAsync(buffer, over.Token).ConfigureAwait(false);
                    if (piece.IsEnd)
                    {
                        break;
                    }

                    next = piece.Sequence + piece.Count + piece.Missing;
                    await SendAsync(piece, buffer, over.Token).ConfigureAwait(false);
                }

                await SendDoneAsync(over.Token).ConfigureAwait(false);
            }
            finally
            {
                await over.CancelAsync().ConfigureAwait(false);
                await watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private Task SendAsync(SandboxOutput piece, byte[] buffer, CancellationToken cancellationToken) => piece.Kind switch
    {
        SandboxOutputKind.Gap => connection.SendAsync(
            ControlFrameKind.Item, new ControlGap { Bytes = piece.Missing }, ControlJsonContext.Default.ControlGap, cancellationToken),
        SandboxOutputKind.StandardError => connection.SendAsync(ControlFrameKind.ErrorData, buffer.AsMemory(0, piece.Count), cancellationToken),
        _ => connection.SendAsync(ControlFrameKind.Data, buffer.AsMemory(0, piece.Count), cancellationToken),
    };

    /// <summary>The other side has nothing to say any more: whatever comes from it is its end, or against the protocol.</summary>
    private async Task WatchForEndAsync(CancellationTokenSource over)
    {
        try
        {
            await connection.ReadAsync(over.Token).ConfigureAwait(false);
        }
        finally
        {
            await over.CancelAsync().ConfigureAwait(false);
        }
    }

    private async Task<string> FindLastAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<SandboxProcessInfo> processes = await server.Sandbox.Processes.ListAsync(cancellationToken).ConfigureAwait(false);
        return processes.LastOrDefault(static process => process.IsDetached)?.Id
            ?? throw new ArgumentException($"sandbox {server.Sandbox.Id} has no process in the background. Start one: opensandbox exec --detach");
    }
}
