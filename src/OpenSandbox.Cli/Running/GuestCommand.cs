using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Running;

/// <summary>One command in a sandbox, joined to this program's standard streams.</summary>
internal static class GuestCommand
{
    // As much as one frame of the protocol carries twice: fewer system calls than frames, small enough to be shown at once.
    private const int BufferBytes = 65_536;

    /// <summary>Runs the command to its end.</summary>
    /// <param name="sandbox">Where.</param>
    /// <param name="request">What.</param>
    /// <param name="sink">Where its output goes.</param>
    /// <param name="errors">Where it is told that standard input cannot be read.</param>
    /// <param name="cancellationToken">Stops at once, also where a write waits; the command is killed.</param>
    /// <returns>How it ended; all its output has been written.</returns>
    internal static async Task<SandboxProcessExit> RunAsync(
        Sandbox sandbox, RunRequest request, OutputSink sink, ErrorWriter errors, CancellationToken cancellationToken)
    {
        SandboxProcess process = await sandbox.StartAsync(request.Command, Options(request.Exec), cancellationToken).ConfigureAwait(false);
        await using (process.ConfigureAwait(false))
        {
            if (request.PassInput && StandardStreams.WasInherited(StandardStreams.Input))
            {
                // It ends when the input or the command does; nobody waits for it, as a read from a terminal may last for ever.
                _ = SendInputAsync(process, errors, cancellationToken);
            }
            else
            {
                await process.CompleteInputAsync(cancellationToken).ConfigureAwait(false);
            }

            // On a thread of its own from the start: a write that waits must not keep this method from being cancelled.
            await Task.Run(() => WriteOutputAsync(process, sink, cancellationToken), cancellationToken).WaitAsync(cancellationToken).ConfigureAwait(false);
            return await process.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private static StartOptions Options(ExecOptions exec) => new()
    {
        EnvironmentVariables = exec.EnvironmentVariables,
        WorkingDirectory = exec.WorkingDirectory,
        User = exec.User,
        Timeout = exec.Timeout,
    };

    private static async Task WriteOutputAsync(SandboxProcess process, OutputSink sink, CancellationToken cancellationToken)
    {
        // Not pooled: when the wait for this is given up, a write from it may still be under way.
        byte[] buffer = new byte[BufferBytes];
        while (true)
        {
            SandboxOutput piece = await process.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
            if (piece.IsEnd)
            {
                return;
            }

            sink.Write(piece.IsError, buffer.AsSpan(0, piece.Count));
        }
    }

    private static async Task SendInputAsync(SandboxProcess process, ErrorWriter errors, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[BufferBytes];
        try
        {
            while (true)
            {
                int count = await Task.Run(() => StandardStreams.Read(buffer), cancellationToken).ConfigureAwait(false);
                if (count == 0)
                {
                    break;
                }

                if (!await process.WriteAsync(buffer.AsMemory(0, count), cancellationToken).ConfigureAwait(false))
                {
                    return;
                }
            }

            await process.CompleteInputAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (IOException unreadable)
        {
            errors.Failure(unreadable);
            await CompleteAfterFailureAsync(process).ConfigureAwait(false);
        }
        catch (Exception ended) when (ended is SandboxException or ObjectDisposedException or OperationCanceledException)
        {
            // Whoever reads the output meets the same end and reports it.
            return;
        }
    }

    private static async Task CompleteAfterFailureAsync(SandboxProcess process)
    {
        try
        {
            await process.CompleteInputAsync().ConfigureAwait(false);
        }
        catch (Exception ended) when (ended is SandboxException or ObjectDisposedException)
        {
            // As above.
            return;
        }
    }
}
