using System.Net.Sockets;
using System.Text;
using OpenSandbox.Qmp.Tests.Support;

namespace OpenSandbox.Qmp.Tests;

/// <summary>Greeting, negotiation, and the ways in which they fail.</summary>
public sealed class QmpClientConnectTests
{
    [Fact]
    public async Task Connect_GreetingByteByByte_IsUnderstood()
    {
        using var peer = new ScriptedPeer();
        Task<QmpClient> connecting = QmpClient.ConnectAsync(peer.Client);
        foreach (byte b in Encoding.UTF8.GetBytes(ScriptedPeer.Greeting))
        {
            await peer.SendAsync(new[] { b });
        }

        await peer.ReturnAsync((await peer.ReadAsync()).Id);
        await using QmpClient qmp = await connecting.Soon();
        Assert.Equal(new QmpVersion(7, 2, 22, "Debian 1:7.2"), qmp.Greeting.Version);
        Assert.Equal(["oob"], qmp.Greeting.Capabilities);
        Assert.False(qmp.Completion.IsCompleted);
    }

    [Fact]
    public async Task Connect_NonBlockingSocket_Works()
    {
        const int SOCK_NONBLOCK = 0x800;
        (Socket client, Socket other) = Native.SocketPair(SOCK_NONBLOCK);
        using (other)
        {
            Task<QmpClient> connecting = QmpClient.ConnectAsync(client);
            await other.SendAsync(Encoding.UTF8.GetBytes(ScriptedPeer.Greeting + "{\"return\": {}, \"id\": 1}\r\n"), SocketFlags.None).Soon();
            await using QmpClient qmp = await connecting.Soon();
            Assert.Equal(7, qmp.Greeting.Version.Major);
        }
    }

    [Fact]
    public async Task Connect_NegotiationRefused_ThrowsAndClosesTheSocket()
    {
        using var peer = new ScriptedPeer();
        Task<QmpClient> connecting = QmpClient.ConnectAsync(peer.Client);
        await peer.SendAsync(ScriptedPeer.Greeting);
        await peer.RefuseAsync((await peer.ReadAsync()).Id, "CommandNotFound", "no");
        QmpCommandException e = await Assert.ThrowsAsync<QmpCommandException>(() => connecting.Soon());
        Assert.Equal("qmp_capabilities", e.Command);
        await AssertClosedAsync(peer);
    }

    [Theory]
    [InlineData("{\"return\": {}, \"id\": 1}\r\n", "before its greeting")]
    [InlineData("{\"QMP\": []}\r\n", "not an object")]
    [InlineData("{\"QMP\": {}}\r\n", "version")]
    [InlineData("{\"QMP\": {\"version\": {\"qemu\": {\"major\": -1, \"minor\": 0, \"micro\": 0}, \"package\": \"\"}, \"capabilities\": []}}\r\n", "version")]
    [InlineData("{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 0, \"micro\": 0}, \"package\": \"\"}, \"capabilities\": [1]}}\r\n", "capability")]
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n", "not JSON")]
    [InlineData(ScriptedPeer.Greeting + ScriptedPeer.Greeting, "greeted twice")]
    public async Task Connect_PeerIsNotQmp_ThrowsAndClosesTheSocket(string said, string expected)
    {
        using var peer = new ScriptedPeer();
        Task<QmpClient> connecting = QmpClient.ConnectAsync(peer.Client);
        await peer.SendAsync(said);
        QmpProtocolException e = await Assert.ThrowsAsync<QmpProtocolException>(() => connecting.Soon());
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
        await AssertClosedAsync(peer);
    }

    [Fact]
    public async Task Connect_NoGreeting_TimesOutAndClosesTheSocket()
    {
        var clock = new ManualTimeProvider();
        using var peer = new ScriptedPeer();
        Task<QmpClient> connecting = QmpClient.ConnectAsync(
            peer.Client, new QmpClientOptions { ConnectTimeout = TimeSpan.FromSeconds(3), TimeProvider = clock });
        clock.Advance(TimeSpan.FromSeconds(2.9));
        Assert.False(connecting.IsCompleted);
        clock.Advance(TimeSpan.FromSeconds(0.2));
        QmpTimeoutException e = await Assert.ThrowsAsync<QmpTimeoutException>(() => connecting.Soon());
        Assert.Equal("greeting", e.Operation);
        Assert.Equal(TimeSpan.FromSeconds(3), e.Limit);
        await AssertClosedAsync(peer);
    }

    [Fact]
    public async Task Connect_Cancelled_ThrowsWithTheCallersTokenAndClosesTheSocket()
    {
        using var peer = new ScriptedPeer();
        using var cancel = new CancellationTokenSource();
        Task<QmpClient> connecting = QmpClient.ConnectAsync(peer.Client, cancellationToken: cancel.Token);
        await cancel.CancelAsync();
        OperationCanceledException e = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connecting.Soon());
        Assert.Equal(cancel.Token, e.CancellationToken);
        await AssertClosedAsync(peer);
    }

    [Fact]
    public async Task Connect_PeerCloses_ThrowsConnectionException()
    {
        using var peer = new ScriptedPeer();
        Task<QmpClient> connecting = QmpClient.ConnectAsync(peer.Client);
        peer.Socket.Dispose();
        await Assert.ThrowsAsync<QmpConnectionException>(() => connecting.Soon());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(86401)]
    public void Options_TimeoutOutOfRange_Throws(int seconds)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new QmpClientOptions { CommandTimeout = TimeSpan.FromSeconds(seconds) });
        Assert.Throws<ArgumentOutOfRangeException>(() => new QmpClientOptions { ConnectTimeout = TimeSpan.FromSeconds(seconds) });
    }

    private static async Task AssertClosedAsync(ScriptedPeer peer)
    {
        var buffer = new byte[4096];
        try
        {
            while (await peer.Socket.ReceiveAsync(buffer, SocketFlags.None).Soon() > 0)
            {
                // What was sent before the close.
            }
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            // Closed with bytes of ours unread: closed all the same.
        }
    }
}
