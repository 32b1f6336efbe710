using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text.Json;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Expiry;

namespace OpenSandbox.Vmm;

/// <content>Several files in one request: one round trip, whatever their number.</content>
public sealed partial class SandboxFiles
{
    private const int MaxPaths = 10_000;
    private const int MaxReplacements = 1_000;
    private const int LargestRequest = 768 << 10; // of text, below the protocol's 1 MiB of JSON
    private const int RecordBuffer = 128 << 10;

    /// <summary>Writes many files in one request, each atomically, with bounded memory in the guest.</summary>
    /// <param name="files">The files, at most 100,000; taken one after the other as they are sent.</param>
    /// <param name="cancellationToken">Files that were complete stay.</param>
    /// <returns>What became of each file, in their order. One that failed does not concern the others.</returns>
    public async Task<IReadOnlyList<SandboxFileResult>> WriteManyAsync(
        IEnumerable<FileContent> files, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(files);
        const string what = "writing several files";
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await OpenAsync(new OpenRequest { Op = Operations.WriteMany }).ConfigureAwait(false);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var results = new List<SandboxFileResult>();
        try
        {
            // The answers come while the files are being sent, and must be taken for the guest to go on.
            Task<int> sending = SendRecordsAsync(stream, files, stop);
            try
            {
                await ReadLinesAsync(stream, what, reply => results.Add(From(what, reply)), stop.Token).ConfigureAwait(false);
                await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult, stop.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                await sending.ConfigureAwait(false); // what came of the caller's files is the reason
                throw;
            }
            finally
            {
                await stop.CancelAsync().ConfigureAwait(false);
                await ((Task)sending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            int sent = await sending.ConfigureAwait(false);
            return results.Count == sent ? results : throw Malformed(what, new InvalidDataException($"{results.Count} answers came to {sent} files"));
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, what, failure).ConfigureAwait(false);
        }
        finally
        {
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Reads many files in one request.</summary>
    /// <param name="paths">Absolute paths of regular files, 1 to 10,000.</param>
    /// <param name="maxFileBytes">Larger files are an error of their own. Default: 64 MiB; at most 1 GiB.</param>
    /// <param name="cancellationToken">Stops the transfer.</param>
    /// <returns>The files in the order of their paths, each as soon as it is there. One that failed does not concern the others.</returns>
    public async IAsyncEnumerable<SandboxFileResult> ReadManyAsync(
        IReadOnlyList<string> paths, int maxFileBytes = 64 << 20, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxFileBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(maxFileBytes, ExecOptions.OutputLimit);
        const string what = "reading several files";
        var request = new OpenRequest
        {
            Op = Operations.ReadMany,
            Many = new PathsRequest { Paths = CheckPaths(paths), MaxFileBytes = maxFileBytes },
        };
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await OpenAsync(request).ConfigureAwait(false);
        await using ConfiguredAsyncDisposable streamEnd = stream.ConfigureAwait(false);
        using var records = new FileRecords(_sandbox, paths, maxFileBytes);
        while (true)
        {
            bool end;
            try
            {
                using GuestData data = await stream.ReadAsync(cancellationToken).ConfigureAwait(false);
                end = data.IsEnd;
                if (end)
                {
                    await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult, cancellationToken).ConfigureAwait(false);
                    records.RequireAll();
                }
                else
                {
                    records.Add(data.Bytes.Span);
                }
            }
            catch (Exception malformed) when (malformed is JsonException or InvalidDataException)
            {
                throw Malformed(what, malformed);
            }
            catch (Exception failure) when (GuestErrors.Concerns(failure))
            {
                throw await GuestErrors.TranslateAsync(_sandbox, what, failure).ConfigureAwait(false);
            }

            while (records.TryTake(out SandboxFileResult? file))
            {
                yield return file;
            }

            if (end)
            {
                yield break;
            }
        }
    }

    /// <summary>Describes many paths in one request; symbolic links are described themselves.</summary>
    /// <param name="paths">Absolute paths, 1 to 10,000.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>What each is, in their order. One that does not exist does not concern the others.</returns>
    public async Task<IReadOnlyList<SandboxFileResult>> StatManyAsync(IReadOnlyList<string> paths, CancellationToken cancellationToken = default)
    {
        var request = new OpenRequest { Op = Operations.StatMany, Many = new PathsRequest { Paths = CheckPaths(paths) } };
        return await CollectLinesAsync(request, paths.Count, "describing several paths", cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Replaces text or bytes in several files, each atomically, with mode and owner kept; a file that does not have them is not touched.
    /// Files, and results, of more than 64 MiB are refused.
    /// </summary>
    /// <param name="replacements">The files, 1 to 1,000, dealt with one after the other; together less than 768 KiB of paths and texts.</param>
    /// <param name="cancellationToken">Files that were done stay done.</param>
    /// <returns>How often bytes were replaced in each, in their order. One that failed does not concern the others.</returns>
    public async Task<IReadOnlyList<SandboxFileResult>> ReplaceAsync(
        IReadOnlyList<FileReplacement> replacements, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(replacements);
        var items = new ReplaceItem[replacements.Count];
        long bytes = 0;
        for (int i = 0; i < items.Length; i++)
        {
            FileReplacement replacement = replacements[i];
            GuestText.ValidatePath(replacement.Path, nameof(replacements));
            if (replacement.Old.IsEmpty)
            {
                throw new ArgumentException($"{replacement.Path}: there must be something to look for", nameof(replacements));
            }

            items[i] = new ReplaceItem { Path = replacement.Path, Old = replacement.Old.ToArray(), New = replacement.New.ToArray() };
            bytes += ((replacement.Old.Length + replacement.New.Length) * 4L / 3) + JsonBytes(replacement.Path) + 64;
        }

        if (items.Length is 0 or > MaxReplacements || bytes > LargestRequest)
        {
            throw new ArgumentException($"1 to {MaxReplacements} files, and at most {LargestRequest} bytes together", nameof(replacements));
        }

        var request = new OpenRequest { Op = Operations.Replace, Replace = new ReplaceRequest { Files = items } };
        return await CollectLinesAsync(request, items.Length, "replacing text", cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Sends the files; when that fails, nobody waits for answers any more.</summary>
    private static async Task<int> SendRecordsAsync(GuestStream stream, IEnumerable<FileContent> files, CancellationTokenSource stop)
    {
        try
        {
            return await SendRecordsAsync(stream, files, stop.Token).ConfigureAwait(false);
        }
        catch
        {
            await stop.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <returns>Files that were sent.</returns>
    private static async Task<int> SendRecordsAsync(GuestStream stream, IEnumerable<FileContent> files, CancellationToken cancellationToken)
    {
        int sent = 0;
        var buffer = new ArrayBufferWriter<byte>(RecordBuffer);
        var record = new RecordWriter(buffer);
        foreach (FileContent file in files)
        {
            ArgumentNullException.ThrowIfNull(file);
            record.WriteHead(JsonSerializer.SerializeToUtf8Bytes(
                new ItemHead { File = DescribeWrite(file.Path, file.Options) }, ProtocolJsonContext.Default.ItemHead));
            for (ReadOnlyMemory<byte> rest = file.Content; !rest.IsEmpty;)
            {
                int count = Math.Min(rest.Length, RecordBuffer);
                record.WriteContent(rest.Span[..count]);
                rest = rest[count..];
                if (buffer.WrittenCount >= RecordBuffer && !await FlushAsync().ConfigureAwait(false))
                {
                    return sent; // the request has ended; its reader finds out why
                }
            }

            record.WriteEnd();
            sent++;
        }

        if (await FlushAsync().ConfigureAwait(false))
        {
            await stream.CompleteWritesAsync(cancellationToken).ConfigureAwait(false);
        }

        return sent;

        async ValueTask<bool> FlushAsync()
        {
            bool open = buffer.WrittenCount == 0 || await stream.WriteAsync(buffer.WrittenMemory, cancellationToken).ConfigureAwait(false);
            buffer.ResetWrittenCount();
            return open;
        }
    }

    private async Task<IReadOnlyList<SandboxFileResult>> CollectLinesAsync(
        OpenRequest request, int expected, string what, CancellationToken cancellationToken)
    {
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await OpenAsync(request).ConfigureAwait(false);
        var results = new List<SandboxFileResult>();
        try
        {
            await ReadLinesAsync(stream, what, reply => results.Add(From(what, reply)), cancellationToken).ConfigureAwait(false);
            await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult, cancellationToken).ConfigureAwait(false);
            return results.Count == expected
                ? results
                : throw Malformed(what, new InvalidDataException($"{results.Count} answers came instead of {expected}"));
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, what, failure).ConfigureAwait(false);
        }
        finally
        {
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task ReadLinesAsync(GuestStream stream, string what, Action<ItemReply> handle, CancellationToken cancellationToken)
    {
        var lines = new LineSplitter(MaxEntryBytes);
        while (true)
        {
            using GuestData data = await stream.ReadAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                if (data.IsEnd)
                {
                    if (lines.HasRest)
                    {
                        throw new InvalidDataException("the last line has no end");
                    }

                    return;
                }

                lines.Add(data.Bytes.Span, line => handle(
                    JsonSerializer.Deserialize(line, ProtocolJsonContext.Default.ItemReply) ?? throw new JsonException("a reply is null")));
            }
            catch (Exception malformed) when (malformed is JsonException or InvalidDataException)
            {
                throw Malformed(what, malformed);
            }
        }
    }

    private SandboxFileResult From(string what, ItemReply reply) => new(
        reply.Path,
        reply.File is FileEntry file ? SandboxFile.From(file) : null,
        reply.Error is ItemError error ? GuestErrors.Translate(_sandbox, $"{what}: {reply.Path}", error) : null)
    {
        Count = reply.Count,
    };

    private SandboxOperationException Malformed(string what, Exception malformed) => new(
        SandboxErrorCode.OperationFailed, _sandbox.Id, 0, $"sandbox {_sandbox.Id}: {what}: the guest sent no valid answer", malformed);

    private ValueTask<GuestStream> OpenAsync(OpenRequest request) => _sandbox.OpenStreamAsync(request);

    private static string[] CheckPaths(IReadOnlyList<string> paths)
    {
        ArgumentNullException.ThrowIfNull(paths);
        long bytes = 0;
        foreach (string path in paths)
        {
            GuestText.ValidatePath(path, nameof(paths));
            bytes += JsonBytes(path);
        }

        return paths.Count is 0 or > MaxPaths || bytes > LargestRequest
            ? throw new ArgumentException($"1 to {MaxPaths} paths, and at most {LargestRequest} bytes together", nameof(paths))
            : [.. paths];
    }

    /// <summary>What a string takes in JSON.</summary>
    private static int JsonBytes(string text) => JsonEncodedText.Encode(text).EncodedUtf8Bytes.Length + 3;
}
