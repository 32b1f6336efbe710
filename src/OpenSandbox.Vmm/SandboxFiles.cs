using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text.Json;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Expiry;

namespace OpenSandbox.Vmm;

/// <summary>The files of one sandbox. Paths are absolute and resolved inside the guest; this process never opens them.</summary>
/// <remarks>
/// Thread-safe. Content is streamed in both directions with bounded memory. All methods throw <see cref="SandboxOperationException"/> with
/// the guest's error number when the guest refuses, and <see cref="SandboxLostException"/> when the sandbox is gone. Calls that take as long
/// as there is content or as there are files end with the caller's token; all others give up after
/// <see cref="SandboxHostOptions.RequestTimeout"/>.
/// </remarks>
public sealed partial class SandboxFiles
{
    private const int CopySize = 131_072;
    private const int MaxEntryBytes = 65_536;
    private readonly Sandbox _sandbox;

    internal SandboxFiles(Sandbox sandbox) => _sandbox = sandbox;

    /// <summary>Writes a whole file, atomically: readers see the old content or the new.</summary>
    /// <param name="path">Absolute path.</param>
    /// <param name="content">The content.</param>
    /// <param name="options">Default: see <see cref="FileWriteOptions"/>.</param>
    /// <param name="cancellationToken">The file stays as it was.</param>
    /// <returns>When the file is in place.</returns>
    public async Task WriteAsync(
        string path, ReadOnlyMemory<byte> content, FileWriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        OpenRequest request = DescribeWriting(path, options);
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await OpenAsync(request).ConfigureAwait(false);
        try
        {
            if (content.IsEmpty || await stream.WriteAsync(content, cancellationToken).ConfigureAwait(false))
            {
                await stream.CompleteWritesAsync(cancellationToken).ConfigureAwait(false);
            }

            await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, $"writing {path}", failure).ConfigureAwait(false);
        }
        finally
        {
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Writes a whole file from a stream, atomically, whatever its size.</summary>
    /// <param name="path">Absolute path.</param>
    /// <param name="content">Read to its end.</param>
    /// <param name="options">Default: see <see cref="FileWriteOptions"/>.</param>
    /// <param name="cancellationToken">The file stays as it was.</param>
    /// <returns>Bytes written, when the file is in place.</returns>
    public async Task<long> WriteAsync(
        string path, Stream content, FileWriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(content);
        OpenRequest request = DescribeWriting(path, options);
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await OpenAsync(request).ConfigureAwait(false);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(CopySize);
        try
        {
            int count;
            bool open = true;
            while (open && (count = await content.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
            {
                open = await stream.WriteAsync(buffer.AsMemory(0, count), cancellationToken).ConfigureAwait(false);
            }

            if (open)
            {
                await stream.CompleteWritesAsync(cancellationToken).ConfigureAwait(false);
            }

            return (await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult, cancellationToken).ConfigureAwait(false)).Bytes;
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, $"writing {path}", failure).ConfigureAwait(false);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Writes text as UTF-8.</summary>
    /// <param name="path">Absolute path.</param>
    /// <param name="content">The text.</param>
    /// <param name="options">Default: see <see cref="FileWriteOptions"/>.</param>
    /// <param name="cancellationToken">The file stays as it was.</param>
    /// <returns>When the file is in place.</returns>
    public Task WriteTextAsync(string path, string content, FileWriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(content);
        return WriteAsync(path, System.Text.Encoding.UTF8.GetBytes(content).AsMemory(), options, cancellationToken);
    }

    /// <summary>Reads a whole file into memory.</summary>
    /// <param name="path">Absolute path of a regular file.</param>
    /// <param name="maxBytes">Largest content to accept. Default: 64 MiB; at most 1 GiB. Larger files: <see cref="ReadAsync"/>.</param>
    /// <param name="cancellationToken">Stops the transfer.</param>
    /// <returns>The content.</returns>
    /// <exception cref="SandboxOperationException">Also when the file is larger than <paramref name="maxBytes"/>.</exception>
    public async Task<byte[]> ReadAllBytesAsync(string path, int maxBytes = 64 << 20, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(maxBytes, ExecOptions.OutputLimit);
        GuestText.ValidatePath(path, nameof(path));
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await OpenReadAsync(path, null, null).ConfigureAwait(false);
        var content = new OutputBuffer(maxBytes);
        try
        {
            while (true)
            {
                using GuestData data = await stream.ReadAsync(cancellationToken).ConfigureAwait(false);
                if (data.IsEnd)
                {
                    break;
                }

                content.Append(data.Bytes.Span);
                if (content.Truncated)
                {
                    throw new SandboxOperationException(
                        SandboxErrorCode.LimitReached, _sandbox.Id, 0, $"sandbox {_sandbox.Id}: reading {path}: it is larger than {maxBytes} bytes");
                }
            }

            await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult, cancellationToken).ConfigureAwait(false);
            return content.Take();
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, $"reading {path}", failure).ConfigureAwait(false);
        }
        finally
        {
            content.Dispose();
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Reads a whole file as UTF-8 text; bytes that are not UTF-8 become U+FFFD.</summary>
    /// <param name="path">Absolute path of a regular file.</param>
    /// <param name="cancellationToken">Stops the transfer.</param>
    /// <returns>The text, at most 64 MiB of it.</returns>
    public async Task<string> ReadAllTextAsync(string path, CancellationToken cancellationToken = default) =>
        System.Text.Encoding.UTF8.GetString(await ReadAllBytesAsync(path, cancellationToken: cancellationToken).ConfigureAwait(false));

    /// <summary>Copies a file, or a range of it, to a stream, whatever its size.</summary>
    /// <param name="path">Absolute path of a regular file.</param>
    /// <param name="destination">Gets the content.</param>
    /// <param name="offset">First byte. Default: 0.</param>
    /// <param name="length">Number of bytes, fewer if the file ends. Default: to the end.</param>
    /// <param name="cancellationToken">Stops the transfer; part may have been written to the destination.</param>
    /// <returns>Bytes copied.</returns>
    public async Task<long> ReadAsync(
        string path, Stream destination, long offset = 0, long? length = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length ?? 0, nameof(length));
        GuestText.ValidatePath(path, nameof(path));
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await OpenReadAsync(path, offset == 0 ? null : offset, length).ConfigureAwait(false);
        long total = 0;
        try
        {
            while (true)
            {
                using GuestData data = await stream.ReadAsync(cancellationToken).ConfigureAwait(false);
                if (data.IsEnd)
                {
                    break;
                }

                await destination.WriteAsync(data.Bytes, cancellationToken).ConfigureAwait(false);
                total += data.Bytes.Length;
            }

            await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult, cancellationToken).ConfigureAwait(false);
            return total;
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, $"reading {path}", failure).ConfigureAwait(false);
        }
        finally
        {
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Describes a path; a symbolic link is described itself.</summary>
    /// <param name="path">Absolute path.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>What it is.</returns>
    public async Task<SandboxFile> StatAsync(string path, CancellationToken cancellationToken = default) =>
        SandboxFile.From(Require(
            await CallAsync(Operations.Stat, new FileRequest { Path = path }, "describing", cancellationToken).ConfigureAwait(false), path));

    /// <summary>Whether a path exists; a symbolic link counts itself.</summary>
    /// <param name="path">Absolute path.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>Whether it exists.</returns>
    public async Task<bool> ExistsAsync(string path, CancellationToken cancellationToken = default)
    {
        try
        {
            await StatAsync(path, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (SandboxOperationException missing) when (missing.Code == SandboxErrorCode.NotFound)
        {
            return false;
        }
    }

    /// <summary>Makes a directory; one that exists is no error when parents are made too.</summary>
    /// <param name="path">Absolute path.</param>
    /// <param name="parents">Make missing parents. Default: yes.</param>
    /// <param name="mode">Permission bits. Default: 0755.</param>
    /// <param name="user">Owner. Default: <c>sandbox</c> where the image has it, else root.</param>
    /// <param name="group">Group as name or number. Default: the owner's.</param>
    /// <param name="cancellationToken">Stops waiting; it may have been made.</param>
    /// <returns>What is there now.</returns>
    public async Task<SandboxFile> CreateDirectoryAsync(
        string path,
        bool parents = true,
        int? mode = null,
        string? user = null,
        string? group = null,
        CancellationToken cancellationToken = default)
    {
        FileResult result = await CallAsync(
            Operations.MakeDirectory,
            new FileRequest { Path = path, Recursive = parents, Mode = CheckMode(mode), User = user, Group = group },
            "making directory",
            cancellationToken).ConfigureAwait(false);
        return SandboxFile.From(Require(result, path));
    }

    /// <summary>Removes a file, a symbolic link or a directory.</summary>
    /// <param name="path">Absolute path.</param>
    /// <param name="recursive">Remove a directory with everything in it; symbolic links are not followed. Default: no.</param>
    /// <param name="ignoreMissing">A path that does not exist is no error. Default: no.</param>
    /// <param name="cancellationToken">Stops waiting; part may have been removed.</param>
    /// <returns>When it is gone.</returns>
    public async Task DeleteAsync(
        string path, bool recursive = false, bool ignoreMissing = false, CancellationToken cancellationToken = default) =>
        await CallAsync(
            Operations.Remove,
            new FileRequest { Path = path, Recursive = recursive, IgnoreMissing = ignoreMissing },
            "removing",
            cancellationToken).ConfigureAwait(false);

    /// <summary>Lists a directory, entry by entry as the guest finds them, in no particular order.</summary>
    /// <param name="path">Absolute path of a directory.</param>
    /// <param name="depth">Levels below it, 1 to 64. Default: 1. Symbolic links are not followed.</param>
    /// <param name="cancellationToken">Stops the listing.</param>
    /// <returns>The entries, without the directory itself.</returns>
    public IAsyncEnumerable<SandboxFile> ListAsync(string path, int depth = 1, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(depth, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(depth, 64);
        GuestText.ValidatePath(path, nameof(path));
        var request = new FileRequest { Path = path, Depth = depth };
        return EntriesAsync(new OpenRequest { Op = Operations.List, File = request }, $"listing {path}", cancellationToken);
    }

    private async IAsyncEnumerable<SandboxFile> EntriesAsync(
        OpenRequest request, string what, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await OpenAsync(request).ConfigureAwait(false);
        await using ConfiguredAsyncDisposable streamEnd = stream.ConfigureAwait(false);
        var lines = new LineSplitter(MaxEntryBytes);
        int total = 0;
        while (true)
        {
            List<SandboxFile> entries = [];
            bool end;
            try
            {
                using GuestData data = await stream.ReadAsync(cancellationToken).ConfigureAwait(false);
                end = data.IsEnd;
                if (end)
                {
                    ListResult result = await stream
                        .GetResultAsync(ProtocolJsonContext.Default.ListResult, cancellationToken)
                        .ConfigureAwait(false);
                    if (lines.HasRest || result.Count != total)
                    {
                        throw new InvalidDataException($"{total} entries came, the guest counted {result.Count}");
                    }
                }
                else
                {
                    lines.Add(data.Bytes.Span, line => entries.Add(SandboxFile.From(
                        JsonSerializer.Deserialize(line, ProtocolJsonContext.Default.FileEntry) ?? throw new JsonException("an entry is null"))));
                    total += entries.Count;
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

            foreach (SandboxFile entry in entries)
            {
                yield return entry;
            }

            if (end)
            {
                yield break;
            }
        }
    }

    private static int? CheckMode(int? mode)
    {
        if (mode is < 0 or > 0xFFF)
        {
            throw new ArgumentOutOfRangeException(nameof(mode), mode, "permission bits are 0 to 4095 (octal 7777)");
        }

        return mode;
    }

    private FileEntry Require(FileResult result, string path) => result.File ?? throw new SandboxOperationException(
        SandboxErrorCode.OperationFailed, _sandbox.Id, 0, $"sandbox {_sandbox.Id}: the guest did not describe {path}");

    private static OpenRequest DescribeWriting(string path, FileWriteOptions? options) =>
        new() { Op = Operations.Write, File = DescribeWrite(path, options) };

    private static FileRequest DescribeWrite(string path, FileWriteOptions? options)
    {
        options ??= FileWriteOptions.Default;
        GuestText.ValidatePath(path, nameof(path));
        return new FileRequest
        {
            Path = path,
            Mode = CheckMode(options.Mode),
            User = options.User,
            Group = options.Group,
            Recursive = options.CreateParents,
        };
    }

    private ValueTask<GuestStream> OpenReadAsync(string path, long? offset, long? length) =>
        OpenAsync(new OpenRequest { Op = Operations.Read, File = new FileRequest { Path = path, Offset = offset, Length = length } });

    private async Task<FileResult> CallAsync(string operation, FileRequest request, string what, CancellationToken cancellationToken)
    {
        GuestText.ValidatePath(request.Path, "path");
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        using CancellationTokenSource deadline = Deadlines.Start(
            _sandbox.Options.RequestTimeout, _sandbox.Options.TimeProvider, cancellationToken);
        GuestStream stream = await _sandbox.OpenStreamAsync(new OpenRequest { Op = operation, File = request }).ConfigureAwait(false);
        try
        {
            return await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult, deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException late)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new SandboxTimeoutException(_sandbox.Id, $"{what} {request.Path}", _sandbox.Options.RequestTimeout, late);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, $"{what} {request.Path}", failure).ConfigureAwait(false);
        }
        finally
        {
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }
}
