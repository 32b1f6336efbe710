using OpenSandbox.Cli.Control;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Keeping;

/// <summary>Operations on files.</summary>
internal sealed partial class ControlSession
{
    /// <summary>A file could not be written, and part of its content is still to come.</summary>
    private bool _contentLeft;

    private async Task DescribeAsync(ControlFile file, CancellationToken cancellationToken)
    {
        ControlFileEntry entry = ToEntry(await server.Sandbox.Files.StatAsync(file.Path, cancellationToken).ConfigureAwait(false));
        await connection.SendAsync(ControlFrameKind.Result, entry, ControlJsonContext.Default.ControlFileEntry, cancellationToken).ConfigureAwait(false);
    }

    private async Task ListAsync(ControlFile file, CancellationToken cancellationToken)
    {
        await foreach (SandboxFile found in server.Sandbox.Files.ListAsync(file.Path, file.Depth ?? 1, cancellationToken).ConfigureAwait(false))
        {
            await connection.SendAsync(ControlFrameKind.Item, ToEntry(found), ControlJsonContext.Default.ControlFileEntry, cancellationToken).ConfigureAwait(false);
        }

        await SendDoneAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task MakeDirectoryAsync(ControlFile file, CancellationToken cancellationToken)
    {
        await server.Sandbox.Files.CreateDirectoryAsync(file.Path, parents: true, file.Mode, file.User, cancellationToken: cancellationToken).ConfigureAwait(false);
        await SendDoneAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task ReadAsync(ControlFile file, CancellationToken cancellationToken)
    {
        var content = new ControlDataStream(connection);
        await using (content.ConfigureAwait(false))
        {
            await server.Sandbox.Files.ReadAsync(file.Path, content, cancellationToken: cancellationToken).ConfigureAwait(false);
        }

        await SendDoneAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task WriteAsync(ControlFile file, CancellationToken cancellationToken)
    {
        var content = new ControlDataStream(connection);
        await using (content.ConfigureAwait(false))
        {
            try
            {
                var options = new FileWriteOptions { Mode = file.Mode, User = file.User };
                await server.Sandbox.Files.WriteAsync(file.Path, content, options, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception failure) when (failure is SandboxException or ArgumentException)
            {
                _contentLeft = !content.Ended;
                throw;
            }
        }

        await SendDoneAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>After a failed write: what the other side had sent before it could know.</summary>
    private async Task SkipDataAsync(CancellationToken cancellationToken)
    {
        ControlFrame frame;
        do
        {
            frame = await connection.ReadAsync(cancellationToken).ConfigureAwait(false);
        }
        while (frame.Kind == ControlFrameKind.Data);

        if (frame.Kind != ControlFrameKind.DataEnd)
        {
            throw new ControlProtocolException("a file's content has no end");
        }
    }

    private static ControlFileEntry ToEntry(SandboxFile file) => new()
    {
        Path = file.Path,
        Kind = file.Kind,
        Size = file.Size,
        Mode = file.Mode,
        Target = file.LinkTarget,
    };
}
