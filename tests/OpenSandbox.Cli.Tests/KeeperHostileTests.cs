using System.Net.Sockets;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Tests.Support;

namespace OpenSandbox.Cli.Tests;

/// <summary>A real keeper against connections that break every rule: they end, and the sandbox goes on.</summary>
[Collection(Sandboxes.Name)]
public sealed class KeeperHostileTests(Sandboxes sandboxes)
{
    [SkippableFact]
    public async Task Keeper_ConnectionsThatBreakTheRules_AreEndedAndOthersServed()
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync();
        byte[] preamble = ControlProtocol.Preamble.ToArray();
        byte[] cat = [.. preamble, .. FakeKeeper.Frame(ControlFrameKind.Request, """{"operation":"execute","command":{"arguments":["sleep","1000"],"input":true}}""")];
        byte[] block = new byte[ControlProtocol.HeaderBytes + ControlProtocol.MaxDataBytes];
        ControlProtocol.WriteHeader(block, ControlFrameKind.Data, ControlProtocol.MaxDataBytes);
        byte[][] attacks =
        [
            "GET / HTTP/1.1\r\n\r\n"u8.ToArray(),
            "OSBKEEP\u0002"u8.ToArray(),
            [.. preamble, 99, 0, 0, 0, 0],
            [.. preamble, 1, 0xff, 0xff, 0xff, 0xff],
            [.. preamble, 1, 0xff, 0xff, 0xff, 0x7f],
            [.. preamble, .. FakeKeeper.Frame(ControlFrameKind.Result, "{}")],
            [.. preamble, .. FakeKeeper.Frame(ControlFrameKind.Request, "")],
            [.. preamble, .. FakeKeeper.Frame(ControlFrameKind.Request, "null")],
            [.. preamble, .. FakeKeeper.Frame(ControlFrameKind.Request, new string('[', 100_000))],
            [.. preamble, .. FakeKeeper.Frame(ControlFrameKind.Request, """{"operation":"no such thing"}""")],
            [.. preamble, .. FakeKeeper.Frame(ControlFrameKind.Request, """{"operation":"execute"}""")],
            [.. preamble, .. FakeKeeper.Frame(ControlFrameKind.Request, """{"operation":"pause"}""")],
            [.. preamble, .. FakeKeeper.Frame(ControlFrameKind.Request, """{"operation":"checkpoint","change":3}""")],
            [.. preamble, .. FakeKeeper.Frame(ControlFrameKind.Request, """{"operation":"restore","change":{}}""")],
            [.. preamble, .. FakeKeeper.Frame(ControlFrameKind.Request, """{"operation":"fork"}""")],
            [.. preamble, .. FakeKeeper.Frame(ControlFrameKind.Request, """{"operation":"fork","change":{"count":9999999999}}""")],
            [.. cat, 10, 4, 0, 0, 0, 0, 0, 0, 0],
            [.. cat, 11, 4, 0, 0, 0, 0, 0, 0, 0],
            [.. cat, 10, 2, 0, 0, 0, 0, 0],
            [.. cat, .. FakeKeeper.Frame(ControlFrameKind.Request, "{}")],

            // More input than there is credit for, also after all that the guest takes for a command that reads nothing; and input after its end.
            [.. cat, .. Enumerable.Repeat(block, 64).SelectMany(static bytes => bytes)],
            [.. cat, 8, 0, 0, 0, 0, .. block],
        ];
        foreach (byte[] attack in attacks)
        {
            await AttackAsync(kept.Id, attack);
        }

        // What makes no sense for the sandbox is refused by it, and the connection goes on.
        using (KeptSandbox connection = await KeptSandbox.ConnectAsync(new KeeperDirectory(Kept.StateDirectory), kept.Id, CancellationToken.None))
        {
            foreach (Func<Task> wrongly in (Func<Task>[])
            [
                () => connection.ForkAsync(0, CancellationToken.None),
                () => connection.ForkAsync(100_000, CancellationToken.None),
                () => connection.CheckpointAsync(new string('x', 100_000), diskOnly: true, CancellationToken.None),
                () => connection.RestoreAsync("../../../etc/passwd", requireMemory: false, fromDisk: false, CancellationToken.None),
                () => connection.RestoreAsync("sn-0000000000000000", requireMemory: true, fromDisk: true, CancellationToken.None),
                () => connection.RestoreAsync("sn-0000000000000000", requireMemory: false, fromDisk: false, CancellationToken.None),
            ])
            {
                await Assert.ThrowsAsync<KeptSandboxException>(() => wrongly().WaitAsync(CliProcess.Deadline));
            }

            await connection.ResumeAsync(CancellationToken.None).WaitAsync(CliProcess.Deadline);
        }

        // Arguments that are wrong are refused, and the connection goes on.
        CliResult wrong = await kept.ExecAsync(null, ["-e", "A=\u0001", "--user", "a b"], "true");
        Assert.Equal(125, wrong.ExitCode);
        Assert.Equal("fine\n", (await kept.ExecAsync("echo", "fine")).Text);
        Assert.Equal("", (await kept.ExecAsync("pgrep", "-x", "sleep")).Text);
    }

    /// <summary>Sends bytes, and waits until the keeper has ended the connection.</summary>
    private static async Task AttackAsync(string id, byte[] attack)
    {
        using var deadline = new CancellationTokenSource(CliProcess.Deadline);
        using Socket socket = new KeeperDirectory(Kept.StateDirectory).Connect(id, TimeSpan.FromSeconds(10));
        try
        {
            await socket.SendAsync(attack.AsMemory(), deadline.Token);
            byte[] answer = new byte[4_096];
            while (await socket.ReceiveAsync(answer.AsMemory(), deadline.Token) > 0)
            {
                // Its preamble, and what the command that was started says.
            }
        }
        catch (SocketException)
        {
            // It was ended before all had been sent.
        }
    }
}
