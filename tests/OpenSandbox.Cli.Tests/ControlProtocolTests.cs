using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Tests.Support;

namespace OpenSandbox.Cli.Tests;

/// <summary>The control protocol against other ends that are wrong, hostile or gone. Needs no sandbox.</summary>
public sealed class ControlProtocolTests
{
    [Fact]
    public void Constants_OnTheWire_StayWhatTheyAre()
    {
        // A change here is a change of the protocol: raise ControlProtocol.Version.
        Assert.Equal("OSBKEEP\u0001"u8.ToArray(), ControlProtocol.Preamble.ToArray());
        Assert.Equal(ControlProtocol.Version, ControlProtocol.Preamble[^1]);
        Assert.Equal(
            [
                "None=0", "Request=1", "Result=2", "Failure=3", "Started=4", "Item=5", "Data=6", "ErrorData=7", "DataEnd=8", "Credit=9", "Signal=10",
                "Resize=11",
            ],
            Enum.GetValues<ControlFrameKind>().Select(static kind => $"{kind}={(int)kind}"));
        Assert.Equal((5, 65_536, 262_144, 4 << 20), (ControlProtocol.HeaderBytes, ControlProtocol.MaxDataBytes, ControlProtocol.Window, ControlProtocol.MaxJsonBytes));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(12, 0)]
    [InlineData(255, 0)]
    [InlineData(6, 65_537)]
    [InlineData(8, 1)]
    [InlineData(9, 5)]
    [InlineData(1, (4 << 20) + 1)]
    [InlineData(2, -1)]
    public void Header_OfNoKindOrTooLong_IsRefused(byte kind, int length)
    {
        byte[] header = new byte[ControlProtocol.HeaderBytes];
        header[0] = kind;
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(1), length);
        Assert.Throws<ControlProtocolException>(() => ControlProtocol.ReadHeader(header));
    }

    [Fact]
    public void Header_OfEveryKind_ComesBack()
    {
        foreach (ControlFrameKind kind in Enum.GetValues<ControlFrameKind>().Where(static kind => kind != ControlFrameKind.None))
        {
            byte[] header = new byte[ControlProtocol.HeaderBytes];
            int length = ControlProtocol.MaxPayload(kind);
            ControlProtocol.WriteHeader(header, kind, length);
            Assert.Equal((kind, length), ControlProtocol.ReadHeader(header));
        }
    }

    [Fact]
    public void Request_WrittenByHand_IsWhatTheGeneratedReaderReads()
    {
        var request = new ControlRequest
        {
            Operation = ControlOperation.Execute,
            Command = new ControlCommand
            {
                Arguments = ["sh", "-c", "echo \"ä\u0001\" \\ </x>"],
                Environment = new Dictionary<string, string> { ["A"] = "1\n", ["Ü"] = "" },
                WorkingDirectory = "/w",
                User = "root",
                TimeoutMilliseconds = 1.5,
            },
            File = new ControlFile { Path = "/p", Mode = 7, User = "u", Depth = 3 },
        };
        AssertSame(request);
        AssertSame(new ControlRequest { Operation = ControlOperation.Info });

        static void AssertSame(ControlRequest request)
        {
            ControlRequest? read = JsonSerializer.Deserialize(ControlText.Write(request).Span, ControlJsonContext.Default.ControlRequest);
            Assert.Equal(
                JsonSerializer.Serialize(request, ControlJsonContext.Default.ControlRequest), JsonSerializer.Serialize(read, ControlJsonContext.Default.ControlRequest));
        }
    }

    [Fact]
    public void Exit_ReadByHand_IsWhatTheGeneratedWriterWrites()
    {
        foreach (ControlExit exit in (ControlExit[])
            [
                new ControlExit { ExitCode = 137, Signal = 9, TimedOut = true, OutOfMemory = true, WallMilliseconds = 1.25, CpuMilliseconds = 0.5 },
                new ControlExit { ExitCode = 0 },
            ])
        {
            Assert.Equal(exit, ControlText.ReadExit(JsonSerializer.SerializeToUtf8Bytes(exit, ControlJsonContext.Default.ControlExit)));
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{\"exitCode\":\"1\"}")]
    [InlineData("{\"exitCode\":1e99}")]
    [InlineData("{\"exitCode\":1,\"signal\":{}}")]
    public void Exit_Malformed_IsAProtocolError(string json) =>
        Assert.Throws<ControlProtocolException>(() => ControlText.ReadExit(System.Text.Encoding.UTF8.GetBytes(json)));

    [Fact]
    public async Task Connect_AnotherVersion_SaysSoAndWhatToDo()
    {
        await using var keeper = new FakeKeeper(static async (socket, ending) =>
        {
            await socket.SendAsync("OSBKEEP\u0009"u8.ToArray(), ending);
            await socket.ReceiveAsync(new byte[100], ending);
        });
        CliResult result = await ExecAsync(keeper);
        Assert.Equal(125, result.ExitCode);
        Assert.Matches(@"\Aopensandbox: sandbox sb-0123abcd is kept by another version of opensandbox \(control protocol 9; this one speaks 1\)[^\n]*fuser -k[^\n]*\n\z", result.Error);
    }

    [Fact]
    public async Task Connect_SomethingElse_SaysSo()
    {
        await using var keeper = new FakeKeeper(static async (socket, ending) =>
        {
            await socket.SendAsync("SSH-2.0-x\r\n"u8.ToArray(), ending);
            await socket.ReceiveAsync(new byte[100], ending);
        });
        CliResult result = await ExecAsync(keeper);
        Assert.Equal((125, "opensandbox: the other side of the control socket is not opensandbox\n"), (result.ExitCode, result.Error));
    }

    [Theory]
    [InlineData(2, "{}")]
    [InlineData(5, "{}")]
    [InlineData(3, "{}")]
    [InlineData(3, "no json")]
    public async Task Exec_KeeperAnswersNonsense_IsOneLineAndNotAnInternalError(int kind, string json)
    {
        await using var keeper = new FakeKeeper(async (socket, ending) =>
        {
            await socket.SendAsync(ControlProtocol.Preamble.ToArray(), ending);
            await socket.SendAsync(FakeKeeper.Frame((ControlFrameKind)kind, json), ending);
            await socket.ReceiveAsync(new byte[10_000], ending);
        });
        CliResult result = await ExecAsync(keeper);
        Assert.Equal((125, ""), (result.ExitCode, result.Text));
        Assert.Matches(@"\Aopensandbox: [^\n]+\n\z", result.Error);
        Assert.DoesNotContain("internal error", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Exec_KeeperIsGoneInTheMiddle_SaysSo()
    {
        await using var keeper = new FakeKeeper(static async (socket, ending) =>
        {
            await socket.SendAsync(ControlProtocol.Preamble.ToArray(), ending);
            await socket.SendAsync(FakeKeeper.Frame(ControlFrameKind.Started, "{}"), ending);
        });
        CliResult result = await ExecAsync(keeper);
        Assert.Equal(125, result.ExitCode);
        Assert.Matches(@"\Aopensandbox: (sandbox sb-0123abcd is gone|the keeper of the sandbox has closed the connection)[^\n]*\n\z", result.Error);
    }

    [Fact]
    public async Task List_StaleSocketAndForeignFiles_ShowsNothingAndRemovesTheSocket()
    {
        string state = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;
        try
        {
            var directory = new KeeperDirectory(state);
            directory.Prepare();
            directory.Listen("sb-00000001").Dispose();
            await File.WriteAllTextAsync(directory.LogOf("sb-00000001"), "log");
            await File.WriteAllTextAsync(Path.Combine(directory.Folder, "other.sock"), "");
            CliResult result = await CliProcess.RunAsync(null, Environment(state), null, "ls", "--json");
            Assert.Equal((0, "[]\n", ""), (result.ExitCode, result.Text, result.Error));
            Assert.Equal(["other.sock"], Directory.EnumerateFileSystemEntries(directory.Folder).Select(Path.GetFileName));
        }
        finally
        {
            Directory.Delete(state, recursive: true);
        }
    }

    [Fact]
    public async Task List_FolderOpenToOthers_IsRefused()
    {
        string state = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;
        try
        {
            Directory.CreateDirectory(Path.Combine(state, "run"));
            File.SetUnixFileMode(Path.Combine(state, "run"), (UnixFileMode)0x1FF);
            CliResult result = await CliProcess.RunAsync(null, Environment(state), null, "ls");
            Assert.Equal((125, ""), (result.ExitCode, result.Text));
            Assert.Contains("chmod 700", result.Error, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(state, recursive: true);
        }
    }

    [Fact]
    public async Task Socket_InAFolderWithAVeryLongName_IsReachedAllTheSame()
    {
        string state = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;
        try
        {
            string deep = Path.Combine(state, new string('x', 100), new string('y', 100));
            Directory.CreateDirectory(deep);
            var directory = new KeeperDirectory(deep);
            directory.Prepare();
            using Socket listener = directory.Listen(FakeKeeper.Id);
            using var deadline = new CancellationTokenSource(CliProcess.Deadline);
            using Socket socket = directory.Connect(FakeKeeper.Id, TimeSpan.FromSeconds(10));
            using Socket accepted = await listener.AcceptAsync(deadline.Token);
            Assert.True(PeerCredentials.IsTrusted(accepted));
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(directory.SocketOf(FakeKeeper.Id)));
        }
        finally
        {
            Directory.Delete(state, recursive: true);
        }
    }

    [Fact]
    public async Task Credit_Taken_IsNeverMoreThanGiven()
    {
        var credit = new ControlCredit(10);
        Assert.Equal(7, await credit.TakeAsync(7, CancellationToken.None));
        Assert.Equal(3, await credit.TakeAsync(7, CancellationToken.None));
        ValueTask<int> waiting = credit.TakeAsync(7, CancellationToken.None);
        Assert.False(waiting.IsCompleted);
        credit.Give(2);
        Assert.Equal(2, await waiting.AsTask().WaitAsync(CliProcess.Deadline));
        using var cancelled = new CancellationTokenSource();
        ValueTask<int> never = credit.TakeAsync(1, cancelled.Token);
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await never);
    }

    [Theory]
    [InlineData("sb-1234abcd", true)]
    [InlineData("sb-1234ABCD", false)]
    [InlineData("sb-1234abc", false)]
    [InlineData("sb-1234abcde", true)]
    [InlineData("sb-0123456789abcdef0123456789abcdef", true)]
    [InlineData("sb-0123456789abcdef0123456789abcdef0", false)]
    [InlineData("sb-1234abcd/", false)]
    [InlineData("sb-../../ab", false)]
    [InlineData("xx-1234abcd", false)]
    [InlineData("", false)]
    public void Id_OnlyOfTheirForm_IsOne(string text, bool expected) => Assert.Equal(expected, KeeperDirectory.IsId(text));

    private static Task<CliResult> ExecAsync(FakeKeeper keeper) =>
        CliProcess.RunAsync(null, Environment(keeper.State), null, "exec", FakeKeeper.Id, "--", "true");

    private static Dictionary<string, string> Environment(string state) => new() { ["OPENSANDBOX_STATE"] = state };
}
