using System.Runtime.CompilerServices;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Expiry;

namespace OpenSandbox.Vmm;

/// <content>Searching and watching.</content>
public sealed partial class SandboxFiles
{
    private const int MaxPatternLength = 1_024;

    /// <summary>Finds files by a glob, in the guest, one by one as it finds them, in no particular order.</summary>
    /// <param name="path">Absolute path of the directory to search.</param>
    /// <param name="pattern">
    /// The glob, 1 to 1,024 characters: <c>*</c> any characters of a name, <c>?</c> one, <c>[a-z]</c> one of a set, <c>[!a-z]</c> one that is
    /// not, <c>\</c> takes the next character as it is, and <c>**</c> as a whole name any number of directories. Without a slash it is
    /// matched with names (<c>*.py</c> at every depth), else with paths below <paramref name="path"/> (<c>src/**/*.py</c>). Case counts.
    /// </param>
    /// <param name="options">Default: see <see cref="FileSearchOptions"/>.</param>
    /// <param name="cancellationToken">Stops the search.</param>
    /// <returns>What was found. Directories that cannot be read are left out; symbolic links are not followed.</returns>
    public IAsyncEnumerable<SandboxFile> SearchAsync(
        string path, string pattern, FileSearchOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= FileSearchOptions.Default;
        options.Validate();
        GuestText.ValidatePath(path, nameof(path));
        ArgumentException.ThrowIfNullOrEmpty(pattern);
        if (pattern.Length > MaxPatternLength || pattern.Contains('\0', StringComparison.Ordinal))
        {
            throw new ArgumentException($"pattern of {pattern.Length} characters: at most {MaxPatternLength}, no NUL", nameof(pattern));
        }

        var request = new SearchRequest
        {
            Path = path,
            Pattern = pattern,
            Depth = options.Depth,
            MaxCount = options.MaxCount,
            AllKinds = options.AllKinds,
            SkipHidden = !options.IncludeHidden,
        };
        return EntriesAsync(new OpenRequest { Op = Operations.Search, Search = request }, $"searching {path}", cancellationToken);
    }

    /// <summary>Watches a file or a directory. When this returns, everything that happens from now on is told.</summary>
    /// <param name="path">Absolute path; a symbolic link is followed. Of a directory, what is directly in it is watched.</param>
    /// <param name="options">Default: see <see cref="FileWatchOptions"/>.</param>
    /// <param name="cancellationToken">Until the watch is in place.</param>
    /// <returns>The events; dispose of it to stop watching.</returns>
    public async Task<SandboxFileWatch> WatchAsync(string path, FileWatchOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= FileWatchOptions.Default;
        GuestText.ValidatePath(path, nameof(path));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxWatches, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.MaxWatches, 65_536, nameof(options));
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await OpenAsync(new OpenRequest
        {
            Op = Operations.Watch,
            Watch = new WatchRequest { Path = path, Recursive = options.Recursive, MaxWatches = options.MaxWatches },
        }).ConfigureAwait(false);
        using CancellationTokenSource deadline = Deadlines.Start(
            _sandbox.Options.RequestTimeout, _sandbox.Options.TimeProvider, cancellationToken);
        try
        {
            if (await stream.GetStartedAsync(deadline.Token).ConfigureAwait(false) is null)
            {
                // It ended before it began: the reason is its result.
                await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult, deadline.Token).ConfigureAwait(false);
            }

            return new SandboxFileWatch(_sandbox, stream, path);
        }
        catch (Exception failure)
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            if (failure is OperationCanceledException)
            {
                cancellationToken.ThrowIfCancellationRequested();
                throw new SandboxTimeoutException(_sandbox.Id, $"watching {path}", _sandbox.Options.RequestTimeout, failure);
            }

            if (GuestErrors.Concerns(failure))
            {
                throw await GuestErrors.TranslateAsync(_sandbox, $"watching {path}", failure).ConfigureAwait(false);
            }

            throw;
        }
    }
}
