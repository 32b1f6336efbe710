using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>A machine's state as it lies on disk. Every byte is compared with the manifest before the guest runs.</summary>
/// <remarks>Thread-safe; dispose it.</remarks>
internal sealed class SavedMachine : IMachineMemory, IDisposable
{
    private readonly SafeFileHandle _memory;
    private readonly SnapshotMemory _description;
    private readonly MemoryFileLayout _layout;

    private SavedMachine(SafeFileHandle memory, SnapshotMemory description, MemoryFileLayout layout, byte[] deviceState)
    {
        _memory = memory;
        _description = description;
        _layout = layout;
        DeviceState = deviceState;
    }

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> DeviceState { get; }

    /// <inheritdoc/>
    public long PluggedBytes => _description.PluggedBytes;

    /// <summary>Opens what a snapshot has saved.</summary>
    /// <param name="store">Where it is.</param>
    /// <param name="snapshotId">The snapshot.</param>
    /// <param name="memory">Its memory part.</param>
    /// <param name="shape">The machine that it is loaded into.</param>
    /// <exception cref="StateFileException">A file is missing or not what was saved.</exception>
    internal static SavedMachine Open(StateStore store, string snapshotId, SnapshotMemory memory, VmShape shape)
    {
        byte[] state = ReadState(store, snapshotId, memory.DeviceState);

        // Its digest is checked in the pass that loads it, and nothing of it runs before that is over.
        SafeFileHandle file = store.OpenSnapshotFileUnchecked(snapshotId, memory.Memory);
        return new SavedMachine(file, memory, LayoutOf(shape), state);
    }

    /// <summary>The regions of a machine.</summary>
    internal static MemoryFileLayout LayoutOf(VmShape shape) => new((long)shape.BaseMemoryMib << 20, shape.PluggableBytes);

    /// <inheritdoc/>
    public void FillPlugged(SafeFileHandle plugged)
    {
        if (_description.PluggedPages > 0)
        {
            Read(MemoryTarget.Into(plugged));
        }
    }

    /// <inheritdoc/>
    public void FillRam(RamMapping ram) => Read(MemoryTarget.Into(ram));

    public void Dispose() => _memory.Dispose();

    private void Read(IMemoryTarget target)
    {
        string sha256 = _description.Memory.Sha256
            ?? throw new MemoryFileException("its manifest has no digest of the memory file");
        MemoryFileReader.Read(_memory, _description.Memory.Bytes, _layout, sha256, target, CancellationToken.None);
    }

    private static byte[] ReadState(StateStore store, string snapshotId, SavedFile description)
    {
        const long largest = 64 << 20;
        string name = $"device state of snapshot {snapshotId}";
        using SafeFileHandle file = store.OpenSnapshotFileUnchecked(snapshotId, description);
        if (description.Bytes is 0 or > largest || RandomAccess.GetLength(file) != description.Bytes)
        {
            throw new MemoryFileException($"the {name} has {RandomAccess.GetLength(file)} bytes instead of {description.Bytes}");
        }

        byte[] state = new byte[description.Bytes];
        int read = RandomAccess.Read(file, state, 0);
        string digest = Convert.ToHexStringLower(SHA256.HashData(state));
        return read == state.Length && digest == description.Sha256
            ? state
            : throw new MemoryFileException($"the digest of the {name} is {digest} instead of {description.Sha256}");
    }
}
