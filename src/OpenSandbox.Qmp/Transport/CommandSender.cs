using System.Net.Sockets;

namespace OpenSandbox.Qmp.Transport;

/// <summary>Puts batches on the wire. One send at a time: the client sees to that.</summary>
internal static class CommandSender
{
    /// <summary>White space between commands, which QEMU skips.</summary>
    private static readonly byte[] s_filler = " "u8.ToArray();

    /// <summary>Sends all of <paramref name="batch"/>, each descriptor with the first byte of its command.</summary>
    internal static async ValueTask SendAsync(Socket socket, OutgoingBatch batch)
    {
        ReadOnlyMemory<byte> bytes = batch.Bytes;
        int position = 0;
        for (int i = 0; i < (batch.Descriptors?.Count ?? 0); i++)
        {
            DescriptorMark mark = batch.Descriptors![i];
            await SendPlainAsync(socket, bytes[position..mark.Offset]).ConfigureAwait(false);
            int end = i + 1 < batch.Descriptors.Count ? batch.Descriptors[i + 1].Offset : bytes.Length;
            position = mark.Offset + await SendWithDescriptorAsync(socket, bytes[mark.Offset..end], mark).ConfigureAwait(false);
        }

        await SendPlainAsync(socket, bytes[position..]).ConfigureAwait(false);
    }

    private static async ValueTask SendPlainAsync(Socket socket, ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int sent = await socket.SendAsync(bytes, SocketFlags.None).ConfigureAwait(false);
            bytes = bytes[sent..];
        }
    }

    private static async ValueTask<int> SendWithDescriptorAsync(Socket socket, ReadOnlyMemory<byte> bytes, DescriptorMark mark)
    {
        while (true)
        {
            int sent = DescriptorSender.TrySend(socket.SafeHandle, bytes.Span, mark.Handle);
            if (sent > 0)
            {
                return sent;
            }

            // The socket is full. The runtime offers no wait for room as such, but sending a byte that means nothing is one:
            // the kernel reports room again once three quarters of the buffer are free, so this goes round once or twice.
            await SendPlainAsync(socket, s_filler).ConfigureAwait(false);
        }
    }
}
