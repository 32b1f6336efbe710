using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Disks;

namespace OpenSandbox.Vmm.Tests.State.Model;

/// <summary>
/// What a VM is to the state directory: memory that goes with it, and an active layer that it writes to. It outlives the host that started it.
/// A disk's content is the numbers that have been written to its layers, one after the other.
/// </summary>
internal sealed class FakeMachine(string nonce, int ram, string active, SafeFileHandle layer) : IDisposable
{
    private static readonly long s_empty = LengthOfAnEmptyLayer();

    private SafeFileHandle _layer = layer;

    internal string Nonce { get; } = nonce;

    internal int Ram { get; private set; } = ram;

    /// <summary>Id of the layer that it writes to, which is all that the next host can ask it.</summary>
    internal string Active { get; private set; } = active;

    /// <summary>It stands still.</summary>
    internal bool Stopped { get; set; }

    /// <summary>Its guest writes a number to disk and keeps it in memory.</summary>
    internal void Write(int number)
    {
        if (Stopped)
        {
            throw new InvalidOperationException("a machine that stands still cannot write");
        }

        byte[] bytes = new byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, number);
        RandomAccess.Write(_layer, bytes, RandomAccess.GetLength(_layer));
        Ram = number;
    }

    /// <summary>Writes to another layer from now on.</summary>
    internal void Switch(string active, SafeFileHandle layer)
    {
        _layer.Dispose();
        (Active, _layer) = (active, layer);
    }

    public void Dispose() => _layer.Dispose();

    /// <summary>The numbers in a layer.</summary>
    internal static List<int> Read(SafeFileHandle layer)
    {
        byte[] bytes = new byte[RandomAccess.GetLength(layer) - s_empty];
        RandomAccess.Read(layer, bytes, s_empty);
        return [.. Enumerable.Range(0, bytes.Length / sizeof(int)).Select(i => BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(i * sizeof(int))))];
    }

    private static long LengthOfAnEmptyLayer()
    {
        using SafeFileHandle file = UnnamedFile.Create(Path.GetTempPath());
        Qcow2Overlay.Format(file, ModelHost.DiskBytes);
        return RandomAccess.GetLength(file);
    }
}
