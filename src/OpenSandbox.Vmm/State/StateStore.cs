using OpenSandbox.Interop;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.State;

/// <summary>
/// What is kept of sandboxes on disk: manifests, snapshots and layers. Manifests are the only source of truth, and the rename of one is the
/// only point at which a change happens; whatever none of them names is garbage. docs/durability.md says how it all fits together.
/// </summary>
/// <remarks>
/// Thread-safe; several processes may share a state directory, each with a store of its own. Calls block on the disk (an fsync may take
/// seconds), so that asynchronous code makes them on the thread pool. What is thrown are <see cref="StateFileException"/> where files are not
/// what they should be, and <see cref="IOException"/> where the system refused.
/// </remarks>
internal sealed partial class StateStore
{
    private StateStore(StateLayout layout) => Layout = layout;

    /// <summary>Where things are.</summary>
    internal StateLayout Layout { get; }

    /// <summary>Opens a state directory, making what is missing of it.</summary>
    /// <exception cref="StateFileException">It belongs to somebody else.</exception>
    /// <exception cref="IOException">It cannot be made.</exception>
    internal static StateStore Open(string stateDirectory) => new(Prepare(stateDirectory));

    /// <summary>As the other, with another patience of the sweeper, for tests.</summary>
    internal static StateStore Open(string stateDirectory, TimeSpan sweepPatience) =>
        new(Prepare(stateDirectory)) { SweepPatience = sweepPatience };

    private static StateLayout Prepare(string stateDirectory)
    {
        var layout = new StateLayout(stateDirectory);
        Directory.CreateDirectory(layout.Root, StateFiles.DirectoryMode);
        foreach (string directory in (ReadOnlySpan<string>)[layout.Sandboxes, layout.Snapshots, layout.Layers])
        {
            StateFiles.EnsureDirectory(directory);
        }

        return layout;
    }

    /// <summary>How long a sweeper waits for a moment without operations before it keeps new ones from beginning. Default: 30 s.</summary>
    internal TimeSpan SweepPatience { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a sweeper keeps new operations from beginning before it lets them go on. Default: 5 s.</summary>
    internal TimeSpan SweepInsistence { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Waits until nothing is being swept, and keeps it so until the lease is disposed.</summary>
    /// <remarks>
    /// One operation takes one lease and passes it on. A second one inside the first may have to wait for as long as a sweeper insists
    /// (<see cref="SweepInsistence"/>).
    /// </remarks>
    /// <param name="cancellationToken">Gives up the wait.</param>
    internal async Task<StateLease> EnterAsync(CancellationToken cancellationToken)
    {
        using FileLock place = await FileLock.AcquireAsync(Layout.StateQueue, shared: true, cancellationToken).ConfigureAwait(false);
        return new StateLease(
            this, await FileLock.AcquireAsync(Layout.StateLock, shared: true, cancellationToken).ConfigureAwait(false), exclusive: false);
    }

    /// <summary>As <see cref="EnterAsync"/>, if nothing is being swept now and no sweeper insists.</summary>
    internal StateLease? TryEnter()
    {
        using FileLock? place = FileLock.TryAcquire(Layout.StateQueue, shared: true);
        return place is not null && FileLock.TryAcquire(Layout.StateLock, shared: true) is FileLock held
            ? new StateLease(this, held, exclusive: false)
            : null;
    }

    /// <summary>The sweeper's lease, if nobody has one.</summary>
    internal StateLease? TryEnterExclusive() =>
        FileLock.TryAcquire(Layout.StateLock) is FileLock held ? new StateLease(this, held, exclusive: true) : null;

    /// <summary>
    /// The sweeper's lease. Waits for a moment at which nobody has one; where there is none for long, new operations are kept from beginning
    /// for a while, again and again, until the running ones have ended within it.
    /// </summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    internal async Task<StateLease> EnterExclusiveAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (await AcquireWithinAsync(SweepPatience, cancellationToken).ConfigureAwait(false) is FileLock free)
            {
                return new StateLease(this, free, exclusive: true);
            }

            using FileLock queue = await FileLock.AcquireAsync(Layout.StateQueue, shared: false, cancellationToken).ConfigureAwait(false);
            if (await AcquireWithinAsync(SweepInsistence, cancellationToken).ConfigureAwait(false) is FileLock insisted)
            {
                return new StateLease(this, insisted, exclusive: true);
            }
        }
    }

    private async Task<FileLock?> AcquireWithinAsync(TimeSpan limit, CancellationToken cancellationToken)
    {
        using var within = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        within.CancelAfter(limit);
        try
        {
            return await FileLock.AcquireAsync(Layout.StateLock, shared: false, within.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return null;
        }
    }

    /// <summary>Reads what a directory of manifests has, by the names of its entries; never fails because of one of them.</summary>
    private static StateListing<T> List<T>(string directory, Func<string?, bool> isId, Func<string, T?> load)
        where T : class
    {
        var items = new List<T>();
        var damaged = new List<DamagedEntry>();
        foreach (string path in Directory.EnumerateFileSystemEntries(directory).Order(StringComparer.Ordinal))
        {
            string name = Path.GetFileName(path);
            if (name.EndsWith(DurableFile.TemporaryEnding, StringComparison.Ordinal))
            {
                continue; // being made, or being removed
            }

            if (!isId(name))
            {
                damaged.Add(new DamagedEntry(null, path, "its name is none that this library gives"));
                continue;
            }

            try
            {
                if (load(name) is T item)
                {
                    items.Add(item);
                }
                else if (Path.Exists(path))
                {
                    damaged.Add(new DamagedEntry(name, path, "it has no manifest"));
                }
            }
            catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
            {
                damaged.Add(new DamagedEntry(name, path, unreadable.Message));
            }
        }

        return new StateListing<T>(items, damaged);
    }

    /// <summary>Turns what is wrong with a manifest that is to be written into an error that says which one.</summary>
    private static byte[] Encode<T>(T manifest, string path)
        where T : class, IManifest<T>
    {
        try
        {
            return ManifestFile.Encode(manifest);
        }
        catch (InvalidDataException wrong)
        {
            throw new ArgumentException($"this {T.Description} for {path} is not written: {wrong.Message}", nameof(manifest), wrong);
        }
    }

    /// <exception cref="StateFileException">The manifest is one of another directory, moved or copied here.</exception>
    private static void RequireId(string path, string expected, string actual)
    {
        if (expected != actual)
        {
            throw new StateFileException(
                path, $"it is the manifest of {actual}, not of {expected}", "It was copied or moved here; put the right one in its place");
        }
    }
}
