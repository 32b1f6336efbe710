using System.Net.Sockets;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Qmp.Tests.Support;

namespace OpenSandbox.Qmp.Tests;

/// <summary>File descriptors on their way to QEMU.</summary>
public sealed class QmpDescriptorTests
{
    [Fact]
    public async Task GetFd_Descriptor_IsTheSameFileAndComesWithTheCommand()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        using SafeFileHandle file = Native.MemFd("hello");
        Task call = qmp.GetFdAsync("state", file);

        var buffer = new byte[4096];
        int count = Native.Receive(peer.Socket, buffer, out SafeFileHandle? received);
        Assert.Equal("""{"execute":"getfd","arguments":{"fdname":"state"},"id":2}""" + "\r\n", Encoding.UTF8.GetString(buffer, 0, count));
        using (received)
        {
            Assert.NotNull(received);
            Assert.Equal("hello", ReadAll(received));
            RandomAccess.Write(file, "HELLO"u8, 0);
            Assert.Equal("HELLO", ReadAll(received));
        }

        await peer.ReturnAsync(2);
        await call.Soon();
        Assert.False(file.IsClosed);
    }

    [Fact]
    public async Task AddFd_Descriptor_ComesWithTheCommandAndItsNumbersAreReported()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        using SafeFileHandle file = Native.MemFd("disk");
        Task<QmpAddedDescriptor> call = qmp.AddFdAsync(file, fdSetId: 7, opaque: "rdwr");
        var buffer = new byte[4096];
        int count = Native.Receive(peer.Socket, buffer, out SafeFileHandle? received);
        Assert.Equal(
            """{"execute":"add-fd","arguments":{"fdset-id":7,"opaque":"rdwr"},"id":2}""" + "\r\n", Encoding.UTF8.GetString(buffer, 0, count));
        using (received)
        {
            Assert.Equal("disk", ReadAll(received!));
        }

        await peer.ReturnAsync(2, """{"fdset-id": 7, "fd": 12}""");
        Assert.Equal(new QmpAddedDescriptor(7, 12), await call.Soon());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Descriptors_BetweenOtherCommandsWhileTheSocketIsFull_ComeWithTheFirstByteOfTheirCommands(bool descriptorFirst)
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        Fill(peer.Client);
        var calls = new List<Task>();
        if (!descriptorFirst)
        {
            calls.Add(qmp.StopAsync());
        }

        // The handles are closed before anything can have been sent: the client keeps the files open until it has.
        for (int i = 0; i < 3; i++)
        {
            using SafeFileHandle file = Native.MemFd($"file {i}");
            calls.Add(qmp.GetFdAsync($"f{i}", file));
            calls.Add(qmp.ContinueAsync());
        }

        // Byte by byte, as QEMU reads: where each descriptor turns up is then exact.
        var stream = new StringBuilder();
        var descriptors = new List<(int Position, string Content)>();
        var one = new byte[1];
        for (int lines = 0; lines < calls.Count;)
        {
            Assert.Equal(1, Native.Receive(peer.Socket, one, out SafeFileHandle? received));
            if (received is not null)
            {
                using (received)
                {
                    descriptors.Add((stream.Length, ReadAll(received)));
                }
            }

            stream.Append((char)one[0]);
            lines += one[0] == (byte)'\n' ? 1 : 0;
        }

        string text = stream.ToString();
        Assert.Equal(
            Enumerable.Range(0, 3).Select(i => (
                text.LastIndexOf('{', text.IndexOf($"\"f{i}\"", StringComparison.Ordinal) - "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":".Length + 1),
                $"file {i}")),
            descriptors);
        for (int id = 2; id < 2 + calls.Count; id++)
        {
            await peer.ReturnAsync(id);
        }

        await Task.WhenAll(calls).Soon();
    }

    [Fact]
    public async Task GetFd_ClosedHandle_ThrowsAndSendsNothing()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        SafeFileHandle file = Native.MemFd("gone");
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => { _ = qmp.GetFdAsync("state", file); });
        Task next = qmp.StopAsync();
        PeerCommand command = await peer.ReadAsync();
        Assert.Equal(("stop", 2L), (command.Name, command.Id));
        await peer.ReturnAsync(command.Id);
        await next.Soon();
    }

    [Fact]
    public async Task GetFd_ConnectionLostBeforeItIsSent_LetsGoOfTheHandle()
    {
        using var peer = new ScriptedPeer();
        QmpClient qmp = await peer.ConnectAsync();
        Fill(peer.Client);
        SafeFileHandle file = Native.MemFd("kept");
        int number = (int)file.DangerousGetHandle();
        Task call = qmp.GetFdAsync("state", file);
        file.Dispose();
        Assert.True(Path.Exists($"/proc/self/fd/{number}"));
        await qmp.DisposeAsync().AsTask().Soon();
        await Assert.ThrowsAsync<QmpConnectionException>(() => call.Soon());

        // The number may have been taken again by another test's file: then it is not this one.
        string? target = new FileInfo($"/proc/self/fd/{number}").LinkTarget;
        Assert.True(target is null || !target.Contains("qmp-test", StringComparison.Ordinal) || !string.Equals(ReadNumber(number), "kept", StringComparison.Ordinal));
    }

    private static string ReadNumber(int number)
    {
        try
        {
            return File.ReadAllText($"/proc/self/fd/{number}");
        }
        catch (IOException)
        {
            return string.Empty;
        }
    }

    /// <summary>Fills the socket with white space until it takes no more.</summary>
    private static void Fill(Socket socket)
    {
        byte[] filler = "        "u8.ToArray();
        socket.Blocking = false;
        while (socket.Send(filler, SocketFlags.None, out SocketError error) > 0 || error == SocketError.Success)
        {
            // Until it would block.
        }
    }

    private static string ReadAll(SafeFileHandle file)
    {
        var bytes = new byte[64];
        return Encoding.UTF8.GetString(bytes, 0, RandomAccess.Read(file, bytes, 0));
    }
}
