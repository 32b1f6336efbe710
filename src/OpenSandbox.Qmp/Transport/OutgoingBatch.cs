using System.Buffers;

namespace OpenSandbox.Qmp.Transport;

/// <summary>Bytes taken for sending: whole commands, in the order of their ids. Whoever takes it releases it.</summary>
internal readonly struct OutgoingBatch(byte[] buffer, int length, List<DescriptorMark>? descriptors)
{
    /// <summary>The commands' bytes.</summary>
    internal ReadOnlyMemory<byte> Bytes => buffer.AsMemory(0, length);

    /// <summary>Descriptors by rising offset; null when there are none.</summary>
    internal IReadOnlyList<DescriptorMark>? Descriptors => descriptors;

    /// <summary>Gives the buffer and the references to the descriptors back.</summary>
    internal void Release()
    {
        OutgoingCommands.ReleaseHandles(descriptors);
        ArrayPool<byte>.Shared.Return(buffer);
    }
}
