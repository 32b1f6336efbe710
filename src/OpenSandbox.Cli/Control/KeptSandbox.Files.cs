namespace OpenSandbox.Cli.Control;

/// <summary>Files. All of these end with the caller's token, after which the connection is of no more use.</summary>
internal sealed partial class KeptSandbox
{
    /// <summary>Describes a path.</summary>
    internal async Task<ControlFileEntry> DescribeAsync(string path, CancellationToken cancellationToken)
    {
        await RequestAsync(Of(ControlOperation.Describe, new ControlFile { Path = path }), cancellationToken).ConfigureAwait(false);
        ControlFrame answer = await ExpectAsync(ControlFrameKind.Result, cancellationToken).ConfigureAwait(false);
        return ControlConnection.Parse(answer.Payload, ControlJsonContext.Default.ControlFileEntry);
    }

    /// <summary>Lists a directory.</summary>
    /// <exception cref="CliException">There is no room for its entries.</exception>
    internal async Task<List<ListedFile>> ListAsync(string path, ListingRoom room, CancellationToken cancellationToken)
    {
        await RequestAsync(Of(ControlOperation.List, new ControlFile { Path = path, Depth = 1 }), cancellationToken).ConfigureAwait(false);
        List<ListedFile> entries = [];
        try
        {
            await FillAsync(entries, path, room, cancellationToken).ConfigureAwait(false);
            return entries;
        }
        catch
        {
            room.Return(entries);
            throw;
        }
    }

    /// <summary>Makes a directory and its parents; one that exists is no error.</summary>
    internal async Task MakeDirectoryAsync(string path, int? mode, string? user, CancellationToken cancellationToken)
    {
        await RequestAsync(Of(ControlOperation.MakeDirectory, new ControlFile { Path = path, Mode = mode, User = user }), cancellationToken).ConfigureAwait(false);
        await ExpectAsync(ControlFrameKind.Result, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Copies a file's content to a stream.</summary>
    internal async Task ReadFileAsync(string path, Stream destination, CancellationToken cancellationToken)
    {
        await RequestAsync(Of(ControlOperation.Read, new ControlFile { Path = path }), cancellationToken).ConfigureAwait(false);
        while (true)
        {
            ControlFrame frame = await ReadAsync(cancellationToken).ConfigureAwait(false);
            switch (frame.Kind)
            {
                case ControlFrameKind.Data:
                    await destination.WriteAsync(frame.Payload, cancellationToken).ConfigureAwait(false);
                    break;
                case ControlFrameKind.Result:
                    return;
                default:
                    throw new ControlProtocolException($"a frame of kind {frame.Kind} came with a file");
            }
        }
    }

    /// <summary>Writes a file from a stream, whole or not at all.</summary>
    internal async Task WriteFileAsync(string path, Stream content, int? mode, string? user, CancellationToken cancellationToken)
    {
        await RequestAsync(Of(ControlOperation.Write, new ControlFile { Path = path, Mode = mode, User = user }), cancellationToken).ConfigureAwait(false);
        using var stopped = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task<ControlFrame> answer = Task.Run(() => ExpectAsync(ControlFrameKind.Result, stopped.Token), CancellationToken.None);
        try
        {
            byte[] buffer = new byte[ControlProtocol.MaxDataBytes];
            int count;

            // A refusal may come at any time: what has not been sent by then need not be.
            while (!answer.IsCompleted && (count = await content.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
            {
                await _connection.SendAsync(ControlFrameKind.Data, buffer.AsMemory(0, count), cancellationToken).ConfigureAwait(false);
            }

            await _connection.SendAsync(ControlFrameKind.DataEnd, ReadOnlyMemory<byte>.Empty, cancellationToken).ConfigureAwait(false);
            await answer.ConfigureAwait(false);
        }
        catch
        {
            await stopped.CancelAsync().ConfigureAwait(false);
            await ((Task)answer).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }
    }

    private async Task FillAsync(List<ListedFile> entries, string path, ListingRoom room, CancellationToken cancellationToken)
    {
        while (true)
        {
            ControlFrame frame = await ReadAsync(cancellationToken).ConfigureAwait(false);
            switch (frame.Kind)
            {
                case ControlFrameKind.Item:
                    var entry = ListedFile.From(ControlConnection.Parse(frame.Payload, ControlJsonContext.Default.ControlFileEntry));
                    if (!room.TryTake(entry))
                    {
                        throw new CliException($"{path} in sandbox {Id} has more entries than opensandbox copies");
                    }

                    entries.Add(entry);
                    break;
                case ControlFrameKind.Result:
                    return;
                default:
                    throw new ControlProtocolException($"a frame of kind {frame.Kind} came with a listing");
            }
        }
    }

    private static ControlRequest Of(string operation, ControlFile file) => new() { Operation = operation, File = file };
}
