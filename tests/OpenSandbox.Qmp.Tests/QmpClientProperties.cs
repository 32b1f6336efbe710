using FsCheck;
using FsCheck.Fluent;
using OpenSandbox.Qmp.Tests.Support;

namespace OpenSandbox.Qmp.Tests;

/// <summary>The same through the whole client and a real socket.</summary>
public sealed class QmpClientProperties
{
    [Fact]
    public void Client_AnyBytesAfterTheGreeting_EveryCallEndsAndTheClientWithThem() =>
        Prop.ForAll(QmpGen.Stream.ToArbitrary(), QmpGen.Cuts.ToArbitrary(), RunAsync)
            .Check(Cases.Config(share: 40));

    private static async Task<bool> RunAsync(byte[] bytes, int[] cuts)
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        using QmpEventSubscription events = qmp.Subscribe();
        Task[] calls =
        [
            qmp.QueryStatusAsync(), qmp.QueryMigrateAsync(), qmp.QueryMemoryDevicesAsync(), qmp.ContinueAsync(), qmp.ExecuteAsync("x"),
        ];
        try
        {
            for (int position = 0, i = 0; position < bytes.Length; i++)
            {
                int size = Math.Min(cuts[i % cuts.Length], bytes.Length - position);
                await peer.SendAsync(bytes.AsMemory(position, size));
                position += size;
            }
        }
        catch (System.Net.Sockets.SocketException)
        {
            // The client has had enough and hung up.
        }

        peer.Socket.Dispose();
        QmpConnectionException cause = await qmp.Completion.Soon();
        foreach (Task call in calls)
        {
            Exception? e = await Record.ExceptionAsync(() => call.Soon());
            if (e is not (null or QmpCommandException) && e != cause)
            {
                return false;
            }
        }

        return await Record.ExceptionAsync(async () =>
        {
            while (true)
            {
                await events.ReadAsync().Soon();
            }
        }) == cause;
    }
}
