using OpenSandbox.Cli.Reporting;

namespace OpenSandbox.Cli.Running;

/// <summary>This program's standard input. What cannot be read counts as its end, and is reported.</summary>
internal sealed class StandardInput(ErrorWriter errors) : IInputSource
{
    /// <inheritdoc/>
    public async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            // It cannot be interrupted: whoever stops waiting leaves a thread behind, which ends with the program.
            return await Task.Run(() => StandardStreams.Read(buffer.Span), cancellationToken).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (IOException unreadable)
        {
            errors.Failure(unreadable);
            return 0;
        }
    }
}
