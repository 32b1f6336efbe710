using System.Buffers;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm;

/// <summary>Carries bytes between a guest's connection and the one that the gateway made for it, each direction by itself.</summary>
/// <remarks>
/// What is in memory: at most a window of Data from the guest, held by the stream; one buffer towards the guest, and only while bytes are
/// there. A side that does not take bytes stops the other one's, and nobody else's.
/// </remarks>
internal static class EgressRelay
{
    private const int BufferSize = 64 * 1024;

    /// <summary>Runs until both directions have ended, or one has failed, and answers the stream.</summary>
    internal static async Task RunAsync(AgentStream stream, EgressConnection connection)
    {
        // Either direction may be waiting for the outside when the guest's program goes away.
        Task watch = AbortWhenBrokenAsync(stream, connection);
        Task up = EndOnFailureAsync(SendAsync(stream.Data, connection), stream, connection);
        Task down = EndOnFailureAsync(ReceiveAsync(stream.Data, connection), stream, connection);
        await Task.WhenAll(up, down).ConfigureAwait(false);
        if (connection.End is null)
        {
            stream.Complete(new HostReply());
        }

        connection.Dispose();
        await watch.ConfigureAwait(false);
    }

    private static async Task AbortWhenBrokenAsync(AgentStream stream, EgressConnection connection)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using (connection.Ended.UnsafeRegister(static state => ((TaskCompletionSource)state!).TrySetResult(), ended))
        {
            await Task.WhenAny(stream.Broken, ended.Task).ConfigureAwait(false);
        }

        connection.Abort(); // of one that has ended: nothing
    }

    /// <summary>A direction that fails takes the connection with it: the guest's program and the remote side both see a reset.</summary>
    private static async Task EndOnFailureAsync(Task direction, AgentStream stream, EgressConnection connection)
    {
        try
        {
            await direction.ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is EgressConnectionException or GuestOperationException or GuestChannelException or ObjectDisposedException)
        {
            connection.Abort();
            if (failure is EgressConnectionException)
            {
                stream.Fail(new AgentError { Code = AgentErrorCodes.System, Message = failure.Message });
            }
            else
            {
                await stream.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    private static async Task SendAsync(GuestStream guest, EgressConnection connection)
    {
        while (true)
        {
            using GuestData data = await guest.ReadAsync().ConfigureAwait(false);
            if (data.IsEnd)
            {
                connection.ShutdownSend();
                return;
            }

            await connection.SendAsync(data.Bytes, CancellationToken.None).ConfigureAwait(false);
        }
    }

    private static async Task ReceiveAsync(GuestStream guest, EgressConnection connection)
    {
        while (true)
        {
            await connection.WaitToReceiveAsync(CancellationToken.None).ConfigureAwait(false);
            byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
            try
            {
                int count;
                do
                {
                    count = await connection.ReceiveAsync(buffer, CancellationToken.None).ConfigureAwait(false);
                    if (count == 0)
                    {
                        await guest.CompleteWritesAsync().ConfigureAwait(false);
                        return;
                    }

                    if (!await guest.WriteAsync(buffer.AsMemory(0, count)).ConfigureAwait(false))
                    {
                        return; // the guest has closed; the other direction finds out how
                    }
                }
                while (count == buffer.Length);
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(buffer, clearArray: true);
            }
        }
    }
}
