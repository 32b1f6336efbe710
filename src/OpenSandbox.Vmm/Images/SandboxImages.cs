using System.Buffers.Binary;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Images;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm;

/// <summary>
/// The root file system images under <c>&lt;state&gt;/images</c>: raw ext4, stored once per content, found by name. An image is never
/// changed; sandboxes write to overlays of their own above it.
/// </summary>
/// <remarks>Thread-safe, also between processes.</remarks>
public sealed class SandboxImages
{
    /// <summary>Name of the empty file system that every workspace starts from.</summary>
    public const string WorkspaceName = "workspace";

    private const string RootfsFile = "rootfs.raw";
    private const string ManifestFile = "manifest.json";
    private const int MaxJsonBytes = 65_536;
    private const int SuperblockMagicOffset = 1_024 + 56;
    private const ushort Ext4Magic = 0xEF53;

    private readonly string _directory;
    private readonly string _references;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly Lazy<StateStore> _state;

    internal SandboxImages(SandboxHostOptions options, ILogger logger)
    {
        _directory = Path.Combine(options.StateDirectory, "images");
        _references = Path.Combine(_directory, "refs");
        Directory.CreateDirectory(_references);
        _logger = logger;
        _time = options.TimeProvider;
        _state = new Lazy<StateStore>(() => StateStore.Open(options.StateDirectory));
    }

    /// <summary>Opens the images of a state directory without starting a host.</summary>
    /// <param name="options">Of which only the state directory and the clock count.</param>
    /// <param name="logger">Default: none.</param>
    /// <returns>The images.</returns>
    public static SandboxImages Open(SandboxHostOptions options, ILogger? logger = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new SandboxImages(options, logger ?? Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
    }

    /// <summary>All names with their images, sorted by name. A name whose image is damaged is left out.</summary>
    /// <returns>A snapshot of what is there.</returns>
    public IReadOnlyList<SandboxImage> List()
    {
        var images = new List<SandboxImage>();
        foreach (string path in Directory.EnumerateFiles(_references, "*.json").Order(StringComparer.Ordinal))
        {
            string name = Path.GetFileNameWithoutExtension(path);
            if (ReadReference(name) is ImageReference reference && ReadManifest(reference.Digest) is ImageManifest manifest)
            {
                images.Add(new SandboxImage(name, manifest.Digest, manifest.VirtualBytes, manifest.StoredBytes, manifest.CreatedAt));
            }
        }

        return images;
    }

    /// <summary>Whether a name exists and was built from <paramref name="sourceDigest"/>, so that a build can be skipped.</summary>
    /// <param name="name">The image's name.</param>
    /// <param name="sourceDigest">Digest of what it would be built from.</param>
    /// <returns>Whether there is nothing to do.</returns>
    public bool IsCurrent(string name, string sourceDigest) =>
        ReadReference(name) is ImageReference reference && reference.SourceDigest == sourceDigest && ReadManifest(reference.Digest) is not null;

    /// <summary>Copies a raw ext4 file into the store and lets a name point at it.</summary>
    /// <param name="name">1 to 64 lower-case letters, digits, dots, hyphens and underscores.</param>
    /// <param name="rawFile">A raw file system without partitions. It is read, never opened by QEMU, and not changed.</param>
    /// <param name="sourceDigest">Digest of what it was built from; see <see cref="IsCurrent"/>. Default: none.</param>
    /// <param name="cancellationToken">Leaves nothing behind.</param>
    /// <returns>The image.</returns>
    /// <exception cref="SandboxImageException">The file is not ext4, is too large, or cannot be read or stored.</exception>
    public async Task<SandboxImage> ImportAsync(
        string name, string rawFile, string? sourceDigest = null, CancellationToken cancellationToken = default)
    {
        ValidateName(name);
        using FileLock held = await FileLock.AcquireAsync(Path.Combine(_directory, "lock"), cancellationToken).ConfigureAwait(false);
        SweepIfAlone();
        string staging = DurableFile.TemporaryName(Path.Combine(_directory, "import"));
        try
        {
            Directory.CreateDirectory(staging, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            ImageManifest manifest = await Task.Run(
                () => Copy(rawFile, staging, DiskBytesFor(name), cancellationToken), cancellationToken).ConfigureAwait(false);
            string final = Path.Combine(_directory, manifest.Digest);
            if (IsWhole(manifest))
            {
                manifest = ReadManifest(manifest.Digest) ?? manifest;
            }
            else
            {
                // Not there, or damaged: what has just been copied and checked takes its place.
                if (Directory.Exists(final))
                {
                    Directory.Delete(final, recursive: true);
                }

                DurableFile.PublishDirectory(staging, final);
            }

            var reference = new ImageReference { Digest = manifest.Digest, SourceDigest = sourceDigest };
            DurableFile.Replace(
                ReferencePath(name), JsonSerializer.SerializeToUtf8Bytes(reference, VmmJsonContext.Default.ImageReference));
            VmmLog.ImageImported(_logger, manifest.Digest, name, manifest.StoredBytes);
            return new SandboxImage(name, manifest.Digest, manifest.VirtualBytes, manifest.StoredBytes, manifest.CreatedAt);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new SandboxImageException($"image '{name}' cannot be imported from {rawFile}: {failure.Message}", failure);
        }
        finally
        {
            if (Directory.Exists(staging))
            {
                Directory.Delete(staging, recursive: true);
            }
        }
    }

    /// <summary>
    /// Removes a name, and its image when no other name points at it. Sandboxes that run from it and end with their host keep it open and are not
    /// disturbed; the image goes when they have.
    /// </summary>
    /// <param name="name">The image's name.</param>
    /// <param name="cancellationToken">Before anything is removed.</param>
    /// <returns>Whether there was such a name.</returns>
    /// <exception cref="SandboxImageException">
    /// It is the image's last name, and a hibernated or detached sandbox or a checkpoint builds on it; or something saved cannot be read, and may.
    /// Nothing was removed.
    /// </exception>
    public async Task<bool> RemoveAsync(string name, CancellationToken cancellationToken = default)
    {
        ValidateName(name);
        using FileLock held = await FileLock.AcquireAsync(Path.Combine(_directory, "lock"), cancellationToken).ConfigureAwait(false);
        if (ReadReference(name) is not ImageReference reference)
        {
            return false;
        }

        // Alone in the state directory: nobody comes to use it between the question and its removal.
        using StateLease alone = await _state.Value.EnterExclusiveAsync(cancellationToken).ConfigureAwait(false);
        ImageUse use = StateSweeper.ImagesInUse(_state.Value, alone);
        if (!use.MayRemove(reference.Digest) && NamesOf(reference.Digest).All(other => other == name))
        {
            throw new SandboxImageException(use.Digests.Contains(reference.Digest)
                ? $"image '{name}' is still needed: saved or detached sandboxes, or checkpoints, build on it "
                    + $"({Describe(StateSweeper.UsersOf(_state.Value, alone, reference.Digest))}). Delete those first, or give the image another name"
                : $"image '{name}' may still be needed: {use.Damaged[0].Path} cannot be read. Repair or remove that first");
        }

        File.Delete(ReferencePath(name));
        DurableFile.SyncDirectory(_references);
        Sweep(use);
        return true;
    }

    /// <summary>Opens an image read-only for a sandbox; the descriptor keeps its content alive whatever happens to the name.</summary>
    /// <returns>The image's digest, and the file.</returns>
    /// <exception cref="SandboxImageException">There is none, or it is damaged.</exception>
    internal (string Digest, SafeFileHandle File) OpenRootfs(string nameOrDigest, long diskBytes)
    {
        string digest = IsDigest(nameOrDigest)
            ? nameOrDigest
            : ReadReference(nameOrDigest)?.Digest ?? throw new SandboxImageException(
                $"there is no image '{nameOrDigest}'. Build or import it: opensandbox image build {nameOrDigest}");
        ImageManifest manifest = ReadManifest(digest)
            ?? throw new SandboxImageException($"image '{nameOrDigest}' ({digest}) has no readable manifest. Import it anew");
        SafeFileHandle file;
        try
        {
            file = File.OpenHandle(Path.Combine(_directory, digest, RootfsFile));
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new SandboxImageException($"image '{nameOrDigest}' cannot be opened: {failure.Message}", failure);
        }

        long length = RandomAccess.GetLength(file);
        if (length != manifest.VirtualBytes || length != diskBytes)
        {
            file.Dispose();
            throw new SandboxImageException(
                $"image '{nameOrDigest}' has {length} bytes; its manifest says {manifest.VirtualBytes} and the disk has {diskBytes}. Import it anew");
        }

        return (digest, file);
    }

    /// <summary>Whether an image is stored as its manifest says.</summary>
    private bool IsWhole(ImageManifest manifest) =>
        ReadManifest(manifest.Digest) is ImageManifest stored
            && new FileInfo(Path.Combine(_directory, manifest.Digest, RootfsFile)) is { Exists: true } file && file.Length == stored.VirtualBytes;

    private static long DiskBytesFor(string name) => name == WorkspaceName ? VmShape.DefaultWorkspaceBytes : VmShape.DefaultRootfsBytes;

    private static bool IsDigest(string text) => text.Length == 64 && text.All(char.IsAsciiHexDigitLower);

    private static void ValidateName(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (!IsValidName(name))
        {
            throw new ArgumentException($"image name '{name}': 1 to 64 lower-case letters, digits, dots, hyphens and underscores", nameof(name));
        }
    }

    private static bool IsValidName(string name) =>
        name.Length is > 0 and <= 64 && name[0] != '.' && !IsDigest(name)
            && name.All(static c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '.' or '-' or '_');

    private ImageManifest Copy(string rawFile, string staging, long diskBytes, CancellationToken cancellationToken)
    {
        using SafeFileHandle source = File.OpenHandle(rawFile);
        long length = RandomAccess.GetLength(source);
        if (length > diskBytes)
        {
            throw new InvalidDataException($"it has {length} bytes, more than the disk's {diskBytes}");
        }

        Span<byte> magic = stackalloc byte[sizeof(ushort)];
        if (RandomAccess.Read(source, magic, SuperblockMagicOffset) != magic.Length || BinaryPrimitives.ReadUInt16LittleEndian(magic) != Ext4Magic)
        {
            throw new InvalidDataException("it is not a raw ext4 file system without partitions");
        }

        string path = Path.Combine(staging, RootfsFile);
        string digest;
        using (SafeFileHandle target = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite))
        {
            if (Libc.FTruncate(target, diskBytes) != 0)
            {
                throw Errno.LastError($"ftruncate {path}");
            }

            digest = SparseDigest.Compute(source, length, target, cancellationToken);

            // Nobody writes to it again, whatever the umask: it lies below the disks of every sandbox.
            File.SetUnixFileMode(target, UnixFileMode.UserRead);
            DurableFile.Sync(target, path);
        }

        long stored;
        using (SafeFileHandle target = File.OpenHandle(path))
        {
            stored = DataExtents.Of(target, diskBytes, 4_096).Sum(static extent => extent.End - extent.Start);
        }

        var manifest = new ImageManifest
        {
            Format = ImageManifest.CurrentFormat,
            Digest = digest,
            VirtualBytes = diskBytes,
            StoredBytes = stored,
            CreatedAt = _time.GetUtcNow(),
        };
        DurableFile.Replace(
            Path.Combine(staging, ManifestFile), JsonSerializer.SerializeToUtf8Bytes(manifest, VmmJsonContext.Default.ImageManifest));
        return manifest;
    }

    /// <summary>Removes images without a name that nothing uses, and unfinished imports.</summary>
    /// <param name="dryRun">Only says what would be removed.</param>
    /// <param name="cancellationToken">Before anything is removed.</param>
    internal async Task<IReadOnlyList<SweepEntry>> SweepAsync(bool dryRun, CancellationToken cancellationToken)
    {
        using FileLock held = await FileLock.AcquireAsync(Path.Combine(_directory, "lock"), cancellationToken).ConfigureAwait(false);
        using StateLease alone = await _state.Value.EnterExclusiveAsync(cancellationToken).ConfigureAwait(false);
        return Sweep(StateSweeper.ImagesInUse(_state.Value, alone), dryRun);
    }

    /// <summary>Whether an image is here.</summary>
    internal bool Has(string digest) => ReadManifest(digest) is not null;

    /// <summary>Removes images that nothing uses. The lock is held.</summary>
    private void SweepIfAlone()
    {
        // While an operation is under way its sandbox may use any image, and no manifest says so yet: the next sweep will do.
        using StateLease? alone = _state.Value.TryEnterExclusive();
        Sweep(alone is null ? null : StateSweeper.ImagesInUse(_state.Value, alone));
    }

    private IEnumerable<string> NamesOf(string digest) => Directory.EnumerateFiles(_references, "*.json")
        .Select(static path => Path.GetFileNameWithoutExtension(path))
        .Where(name => ReadReference(name)?.Digest == digest);

    private static string Describe(IReadOnlyList<string> users)
    {
        const int shown = 3;
        return $"{string.Join(", ", users.Take(shown))}{(users.Count > shown ? $" and {users.Count - shown} more" : "")}";
    }

    /// <summary>Removes images without a name that nothing uses, and unfinished imports. The lock is held.</summary>
    /// <param name="use">What saved sandboxes use; <see langword="null"/>: not known, no image is removed.</param>
    /// <param name="dryRun">Only says what would be removed.</param>
    private List<SweepEntry> Sweep(ImageUse? use, bool dryRun = false)
    {
        var removed = new List<SweepEntry>();
        var used = new HashSet<string>(StringComparer.Ordinal);
        bool complete = true;
        foreach (string path in Directory.EnumerateFiles(_references, "*.json"))
        {
            if (ReadReference(Path.GetFileNameWithoutExtension(path)) is ImageReference reference)
            {
                used.Add(reference.Digest);
            }
            else
            {
                // It may point at any image, so none is removed while it cannot be read.
                complete = false;
                VmmLog.ReferenceUnreadable(_logger, path);
            }
        }

        foreach (string path in Directory.EnumerateDirectories(_directory))
        {
            string name = Path.GetFileName(path);
            if ((complete && IsDigest(name) && !used.Contains(name) && use?.MayRemove(name) == true && !IsOpen(path)) || name.EndsWith(DurableFile.TemporaryEnding, StringComparison.Ordinal))
            {
                try
                {
                    long bytes = StateSweeper.SizeOf(path);
                    if (!dryRun)
                    {
                        Directory.Delete(path, recursive: true);
                    }

                    removed.Add(new SweepEntry(SweepKind.Image, path, "no name leads to it, and nothing is built on it", bytes));
                }
                catch (IOException failure)
                {
                    VmmLog.SweepFailed(_logger, path, failure);
                }
            }
        }

        return removed;
    }

    /// <summary>Whether a disk of a host's is built on an image: it holds a shared lock on it as long (<see cref="Disks.FrozenDisk"/>).</summary>
    private static bool IsOpen(string directory)
    {
        using SafeFileHandle file = Libc.Open(Path.Combine(directory, RootfsFile), Libc.O_RDONLY | Libc.O_CLOEXEC | Libc.O_NOFOLLOW, 0);
        return !file.IsInvalid && Libc.FLock(file, Libc.LOCK_EX | Libc.LOCK_NB) != 0;
    }

    private string ReferencePath(string name) => Path.Combine(_references, $"{name}.json");

    private ImageReference? ReadReference(string name) =>
        IsValidName(name) ? Read(ReferencePath(name), VmmJsonContext.Default.ImageReference) : null;

    private ImageManifest? ReadManifest(string digest) =>
        IsDigest(digest)
        && Read(Path.Combine(_directory, digest, ManifestFile), VmmJsonContext.Default.ImageManifest) is { Format: ImageManifest.CurrentFormat } manifest
        && manifest.Digest == digest
            ? manifest
            : null;

    private static T? Read<T>(string path, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return new FileInfo(path) is { Exists: true, Length: <= MaxJsonBytes }
                ? JsonSerializer.Deserialize(File.ReadAllBytes(path), type)
                : null;
        }
        catch (Exception unreadable) when (unreadable is IOException or JsonException)
        {
            // Damaged counts as absent: callers say what to do about it.
            return null;
        }
    }
}
