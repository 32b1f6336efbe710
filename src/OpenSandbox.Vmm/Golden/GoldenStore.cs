using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Golden;

/// <summary>The golden snapshots under <c>&lt;state&gt;/golden</c>, one directory per identity; built when missing, rebuilt when damaged.</summary>
internal sealed class GoldenStore
{
    private const string RamFile = "ram";
    private const string StateFile = "device-state";
    private const string ManifestFile = "manifest.json";
    private const long MaxDeviceStateBytes = 64 << 20;
    private const int MaxManifestBytes = 65_536;

    private readonly VmmContext _context;
    private readonly string _directory;

    internal GoldenStore(VmmContext context)
    {
        _context = context;
        _directory = Path.Combine(context.Options.StateDirectory, "golden");
        Directory.CreateDirectory(_directory);
    }

    /// <summary>Loads the snapshot for an identity, or builds it. Processes that want the same one at once build it once.</summary>
    /// <param name="identity">What it must be.</param>
    /// <param name="buildLimit">How long a build may take.</param>
    /// <param name="proveBoot">Build it even if there is one: a boot is the only proof that the accelerator works.</param>
    /// <param name="cancellationToken">Ends a build and leaves nothing behind.</param>
    internal async Task<GoldenImage> GetAsync(
        GoldenIdentity identity, TimeSpan buildLimit, bool proveBoot, CancellationToken cancellationToken)
    {
        string key = identity.ComputeKey();
        string directory = Path.Combine(_directory, key);
        using FileLock held = await FileLock.AcquireAsync(Path.Combine(_directory, $"{key}.lock"), cancellationToken).ConfigureAwait(false);
        SweepStaging(key);
        if (proveBoot && Directory.Exists(directory))
        {
            Directory.Delete(directory, recursive: true);
        }

        if (Directory.Exists(directory))
        {
            try
            {
                return Load(directory, identity, key, cancellationToken);
            }
            catch (GoldenImageException rejected)
            {
                VmmLog.GoldenRejected(_context.Logger, key, rejected.Message);
                Directory.Delete(directory, recursive: true);
            }
        }

        return await BuildAsync(identity, key, directory, buildLimit, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Loads a snapshot that must be there: one that a saved sandbox needs is never built anew, its memory would not be the same.</summary>
    /// <exception cref="GoldenImageException">It is missing, damaged, or made for another host; says everything that is.</exception>
    internal GoldenImage LoadExisting(GoldenIdentity identity, string key, CancellationToken cancellationToken)
    {
        string directory = Path.Combine(_directory, key);
        return Directory.Exists(directory)
            ? Load(directory, identity, key, cancellationToken)
            : throw new GoldenImageException($"golden snapshot {key}", [$"{directory} does not exist any more"]);
    }

    /// <summary>Loads a snapshot and checks all of it.</summary>
    /// <exception cref="GoldenImageException">Something is missing, damaged, or made for another host; says everything that is.</exception>
    internal static GoldenImage Load(string directory, GoldenIdentity wanted, string key, CancellationToken cancellationToken)
    {
        GoldenManifest manifest = ReadManifest(directory);
        List<string> mismatches = wanted.Compare(manifest.Identity);
        RamTemplate? ram = null;
        SafeFileHandle? state = null;
        try
        {
            long ramBytes = (long)manifest.Identity.BaseMemoryMib << 20;
            if (manifest.RamBytes != ramBytes)
            {
                mismatches.Add($"the manifest gives {manifest.RamBytes} bytes of RAM instead of {ramBytes}");
            }

            ram = LoadRam(Path.Combine(directory, RamFile), ramBytes, manifest.RamSha256, mismatches, cancellationToken);
            state = LoadState(Path.Combine(directory, StateFile), manifest, mismatches);
            if (mismatches.Count > 0 || ram is null || state is null)
            {
                throw new GoldenImageException($"golden snapshot {directory} does not fit", mismatches);
            }

            var image = new GoldenImage(key, manifest, ram, state);
            ram = null;
            state = null;
            return image;
        }
        finally
        {
            ram?.Dispose();
            state?.Dispose();
        }
    }

    private static GoldenManifest ReadManifest(string directory)
    {
        string path = Path.Combine(directory, ManifestFile);
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > MaxManifestBytes })
            {
                throw new InvalidDataException($"it is longer than {MaxManifestBytes} bytes");
            }

            return JsonSerializer.Deserialize(File.ReadAllBytes(path), VmmJsonContext.Default.GoldenManifest)
                ?? throw new InvalidDataException("it is empty");
        }
        catch (Exception unreadable) when (unreadable is IOException or JsonException or InvalidDataException)
        {
            throw new GoldenImageException($"golden snapshot {directory}", [$"its manifest cannot be read: {unreadable.Message}"], unreadable);
        }
    }

    private static RamTemplate? LoadRam(
        string path, long length, string expected, List<string> mismatches, CancellationToken cancellationToken)
    {
        try
        {
            (RamTemplate template, string actual) = RamTemplate.Load(path, length, cancellationToken);
            if (actual != expected)
            {
                mismatches.Add($"the RAM's digest is {actual} instead of {expected}");
            }

            return template;
        }
        catch (Exception unreadable) when (unreadable is IOException or InvalidDataException)
        {
            mismatches.Add($"the RAM cannot be loaded: {unreadable.Message}");
            return null;
        }
    }

    private static SafeFileHandle? LoadState(string path, GoldenManifest manifest, List<string> mismatches)
    {
        try
        {
            long length = new FileInfo(path).Length;
            if (length != manifest.DeviceStateBytes || length > MaxDeviceStateBytes)
            {
                mismatches.Add($"the device state has {length} bytes instead of {manifest.DeviceStateBytes}");
                return null;
            }

            byte[] content = File.ReadAllBytes(path);
            string actual = Convert.ToHexStringLower(SHA256.HashData(content));
            if (actual != manifest.DeviceStateSha256)
            {
                mismatches.Add($"the device state's digest is {actual} instead of {manifest.DeviceStateSha256}");
                return null;
            }

            SafeFileHandle memory = Libc.MemfdCreate("opensandbox-device-state", Libc.MFD_CLOEXEC | Libc.MFD_ALLOW_SEALING);
            if (memory.IsInvalid)
            {
                throw Errno.LastError("memfd_create for the device state");
            }

            RandomAccess.Write(memory, content, 0);
            SealState(memory);
            return memory;
        }
        catch (IOException unreadable)
        {
            mismatches.Add($"the device state cannot be loaded: {unreadable.Message}");
            return null;
        }
    }

    private static void SealState(SafeFileHandle state)
    {
        if (Libc.Fcntl(state, Libc.F_ADD_SEALS, Libc.F_SEAL_SEAL | Libc.F_SEAL_SHRINK | Libc.F_SEAL_GROW | Libc.F_SEAL_WRITE) != 0)
        {
            throw Errno.LastError("fcntl F_ADD_SEALS on the device state");
        }
    }

    private async Task<GoldenImage> BuildAsync(
        GoldenIdentity identity, string key, string directory, TimeSpan limit, CancellationToken cancellationToken)
    {
        VmmLog.GoldenBuilding(_context.Logger, identity.Accelerator);
        long started = _context.Options.TimeProvider.GetTimestamp();
        var shape = new VmShape(
            identity.MachineType, identity.Accelerator, identity.VcpuCount, identity.BaseMemoryMib, identity.MaxMemoryMib,
            identity.RootfsBytes, identity.WorkspaceBytes);
        GoldenCut cut = await CutAsync(shape, limit, cancellationToken).ConfigureAwait(false);
        try
        {
            if (cut.Hello.Generation < ProtocolConstants.Generation)
            {
                throw new GoldenImageException(
                    "the agent in the initramfs is too old",
                    [$"it speaks protocol generation {cut.Hello.Generation}, this library {ProtocolConstants.Generation}"]);
            }

            GoldenManifest manifest = Save(identity, directory, cut, cancellationToken);
            cut.Ram.Seal();
            SealState(cut.DeviceState);
            VmmLog.GoldenBuilt(
                _context.Logger,
                key,
                (long)_context.Options.TimeProvider.GetElapsedTime(started).TotalMilliseconds,
                manifest.RamBytes,
                manifest.DeviceStateBytes);
            return new GoldenImage(key, manifest, cut.Ram, cut.DeviceState);
        }
        catch
        {
            cut.Ram.Dispose();
            cut.DeviceState.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Boots and cuts, under TCG a second time if the first guest stands still: before 8.1 QEMU can run code that a guest's kernel has replaced
    /// (docs/golden-images.md), and a kernel that boots replaces much.
    /// </summary>
    private async Task<GoldenCut> CutAsync(VmShape shape, TimeSpan limit, CancellationToken cancellationToken)
    {
        if (shape.Accelerator != Accelerators.Tcg)
        {
            return await GoldenBuilder.BuildAsync(_context, shape, limit, cancellationToken).ConfigureAwait(false);
        }

        try
        {
            return await GoldenBuilder.BuildAsync(_context, shape, limit / 2, cancellationToken).ConfigureAwait(false);
        }
        catch (SandboxStartException late) when (late.InnerException is OperationCanceledException)
        {
            VmmLog.GoldenTriedAgain(_context.Logger, late);
            return await GoldenBuilder.BuildAsync(_context, shape, limit / 2, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Writes the files beside their final place and publishes them by one rename.</summary>
    private GoldenManifest Save(GoldenIdentity identity, string directory, GoldenCut cut, CancellationToken cancellationToken)
    {
        string staging = DurableFile.TemporaryName(directory);
        Directory.CreateDirectory(staging, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        try
        {
            byte[] state = new byte[RandomAccess.GetLength(cut.DeviceState)];
            RandomAccess.Read(cut.DeviceState, state, 0);
            string ramSha256;
            string ramPath = Path.Combine(staging, RamFile);
            using (SafeFileHandle ram = File.OpenHandle(ramPath, FileMode.CreateNew, FileAccess.ReadWrite))
            {
                if (Libc.FTruncate(ram, cut.Ram.Length) != 0)
                {
                    throw Errno.LastError($"ftruncate {ramPath}");
                }

                ramSha256 = SparseDigest.Compute(cut.Ram.File, cut.Ram.Length, ram, cancellationToken);
                File.SetUnixFileMode(ram, UnixFileMode.UserRead);
                DurableFile.Sync(ram, ramPath);
            }

            var manifest = new GoldenManifest
            {
                Identity = identity,
                RamBytes = cut.Ram.Length,
                RamSha256 = ramSha256,
                DeviceStateBytes = state.Length,
                DeviceStateSha256 = Convert.ToHexStringLower(SHA256.HashData(state)),
                KernelRelease = cut.Hello.KernelRelease,
                AgentVersion = cut.Hello.AgentVersion,
                CreatedAt = _context.Options.TimeProvider.GetUtcNow(),
                CreatedBy = typeof(GoldenStore).Assembly.GetName().Version?.ToString(3) ?? "0",
            };
            DurableFile.Replace(Path.Combine(staging, StateFile), state);
            DurableFile.Replace(
                Path.Combine(staging, ManifestFile), JsonSerializer.SerializeToUtf8Bytes(manifest, VmmJsonContext.Default.GoldenManifest));
            DurableFile.PublishDirectory(staging, directory);
            return manifest;
        }
        catch
        {
            Directory.Delete(staging, recursive: true);
            throw;
        }
    }

    /// <summary>Removes what a build that was killed left. The lock is held, so nobody is building this key.</summary>
    private void SweepStaging(string key)
    {
        foreach (string leftover in Directory.EnumerateDirectories(_directory, $"{key}.*{DurableFile.TemporaryEnding}"))
        {
            try
            {
                Directory.Delete(leftover, recursive: true);
            }
            catch (IOException failure)
            {
                VmmLog.SweepFailed(_context.Logger, leftover, failure);
            }
        }
    }
}
