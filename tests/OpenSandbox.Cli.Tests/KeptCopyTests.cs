using OpenSandbox.Cli.Tests.Support;

namespace OpenSandbox.Cli.Tests;

/// <summary>The verb <c>cp</c> of the built program with a real sandbox.</summary>
[Collection(Sandboxes.Name)]
public sealed class KeptCopyTests(Sandboxes sandboxes) : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [SkippableFact]
    public async Task Copy_TreeInAndOut_KeepsContentModesAndLinks()
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync();
        string source = Path.Combine(_directory, "src");
        Directory.CreateDirectory(Path.Combine(source, "sub", "deep"));
        byte[] big = new byte[3_000_000];
        Random.Shared.NextBytes(big);
        Write("src/sub/big", big, 0x180);
        Write("src/a \"odd' näme", [1, 2, 3], 0x1E9);
        Write("src/empty", [], 0x124);
        File.CreateSymbolicLink(Path.Combine(source, "sub", "link"), "../a \"odd' näme");
        File.SetUnixFileMode(Path.Combine(source, "sub"), (UnixFileMode)0x1C9);

        Assert.Equal((0, "", ""), await CopyAsync(source, $"{kept.Id}:/workspace"));
        CliResult inside = await kept.ExecAsync("sh", "-c", "cd src && stat -c '%n %a %U' sub 'a \"odd'\"'\"' näme' empty sub/big && readlink sub/link");
        Assert.Equal("sub 711 sandbox\na \"odd' näme 751 sandbox\nempty 444 sandbox\nsub/big 600 sandbox\n../a \"odd' näme\n", inside.Text);

        string target = Path.Combine(_directory, "out");
        Assert.Equal((0, "", ""), await CopyAsync($"{kept.Id}:/workspace/src", target));
        Assert.Equal(big, await File.ReadAllBytesAsync(Path.Combine(target, "sub", "big")));
        Assert.Equal((UnixFileMode)0x1C9, File.GetUnixFileMode(Path.Combine(target, "sub")));
        Assert.Equal((UnixFileMode)0x1E9, File.GetUnixFileMode(Path.Combine(target, "a \"odd' näme")));
        Assert.Equal("../a \"odd' näme", new FileInfo(Path.Combine(target, "sub", "link")).LinkTarget);
        Assert.Empty(await File.ReadAllBytesAsync(Path.Combine(target, "empty")));
        Assert.True(Directory.Exists(Path.Combine(target, "sub", "deep")));
    }

    [SkippableFact]
    public async Task Copy_Files_GoWhereCpWouldPutThem()
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync();
        Write("one", "1"u8.ToArray(), 0x1A4);
        string one = Path.Combine(_directory, "one");
        Assert.Equal((0, "", ""), await CopyAsync(one, $"{kept.Id}:/tmp"));
        Assert.Equal((0, "", ""), await CopyAsync(one, $"{kept.Id}:/tmp/two"));
        Assert.Equal("/tmp/one\n/tmp/two\n", (await kept.ExecAsync("sh", "-c", "ls /tmp/one /tmp/two")).Text);
        Assert.Equal((0, "", ""), await CopyAsync($"{kept.Id}:/tmp/two", _directory + "/"));
        Assert.Equal((0, "", ""), await CopyAsync($"{kept.Id}:/tmp/two", Path.Combine(_directory, "three")));
        Assert.Equal("1", await File.ReadAllTextAsync(Path.Combine(_directory, "two")));
        Assert.Equal("1", await File.ReadAllTextAsync(Path.Combine(_directory, "three")));

        // A link that the user names is followed, into files and into directories.
        await kept.ExecAsync("sh", "-c", "ln -s two /tmp/l; mkdir /tmp/d; echo x >/tmp/d/x; ln -s d /tmp/ld");
        Assert.Equal((0, "", ""), await CopyAsync($"{kept.Id}:/tmp/l", Path.Combine(_directory, "l")));
        Assert.Equal((0, "", ""), await CopyAsync($"{kept.Id}:/tmp/ld/.", Path.Combine(_directory, "ld")));
        Assert.Equal("1", await File.ReadAllTextAsync(Path.Combine(_directory, "l")));
        Assert.Equal("x\n", await File.ReadAllTextAsync(Path.Combine(_directory, "ld", "x")));

        (int code, string _, string error) = await CopyAsync($"{kept.Id}:/tmp/nothing", _directory);
        Assert.Equal(125, code);
        Assert.Matches(@"\Aopensandbox: [^\n]*/tmp/nothing[^\n]*\n\z", error);
        (code, _, error) = await CopyAsync(Path.Combine(_directory, "nothing"), $"{kept.Id}:/tmp");
        Assert.Equal((125, $"opensandbox: {_directory}/nothing: no such file or directory\n"), (code, error));
    }

    [SkippableFact]
    public async Task Copy_StandardStreams_CarryAnyByte()
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync();
        byte[] content = new byte[1_000_000];
        Random.Shared.NextBytes(content);
        CliResult into = await CliProcess.RunAsync(content, null, null, "cp", "-u", "root", "-", $"{kept.Id}:/tmp/f");
        Assert.Equal((0, "", ""), (into.ExitCode, into.Text, into.Error));
        Assert.Equal("root\n", (await kept.ExecAsync("stat", "-c", "%U", "/tmp/f")).Text);
        CliResult outOf = await CliProcess.RunAsync("cp", $"{kept.Id}:/tmp/f", "-");
        Assert.Equal((0, ""), (outOf.ExitCode, outOf.Error));
        Assert.Equal(content, outOf.Output);
    }

    [SkippableFact]
    public async Task Copy_TreeWithEverything_TakesWhatCanBeTakenAndSaysWhatNot()
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync();
        CliResult made = await kept.ExecAsync(
            null, ["-u", "root"], "sh", "-c", "mkdir /tmp/t && cd /tmp/t && echo f >f && mkfifo p && mknod n c 1 3 && ln -s /etc/shadow abs && ln -s ../.. up && ln -s f ok && chmod 4755 f && touch \"$(printf 'bad\\377')\"");
        Assert.True(made.ExitCode == 0, made.Error);
        (int code, string _, string error) = await CopyAsync($"{kept.Id}:/tmp/t", Path.Combine(_directory, "t"));
        Assert.Equal(1, code);
        foreach (string left in (string[])["/tmp/t/p: a device, FIFO or socket", "/tmp/t/n: a device, FIFO or socket", "/tmp/t/abs: a symbolic link that leads out", "/tmp/t/up: a symbolic link that leads out"])
        {
            Assert.Contains($"opensandbox: left out {left}", error, StringComparison.Ordinal);
        }

        Assert.Equal(5, error.Count(static c => c == '\n'));
        Assert.Equal(["f", "ok"], Directory.EnumerateFileSystemEntries(Path.Combine(_directory, "t")).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal((UnixFileMode)0x1ED, File.GetUnixFileMode(Path.Combine(_directory, "t", "f")));
    }

    [SkippableFact]
    public async Task Copy_GuestDiskIsFull_SaysSoAndLeavesNoPart()
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync();
        CliResult mounted = await kept.ExecAsync(null, ["-u", "root"], "sh", "-c", "mkdir /tmp/s && mount -t tmpfs -o size=64k none /tmp/s && echo ok");
        Assert.True(mounted.Text == "ok\n", mounted.Error);
        Write("big", new byte[5_000_000], 0x1A4);
        (int code, string _, string error) = await CopyAsync(Path.Combine(_directory, "big"), $"{kept.Id}:/tmp/s/big");
        Assert.Equal(125, code);
        Assert.Matches(@"\Aopensandbox: [^\n]*No space left[^\n]*\n\z", error);
        Assert.Equal("", (await kept.ExecAsync("ls", "-A", "/tmp/s")).Text);
    }

    private static async Task<(int Code, string Output, string Error)> CopyAsync(string source, string destination)
    {
        CliResult result = await CliProcess.RunAsync("cp", source, destination);
        return (result.ExitCode, result.Text, result.Error);
    }

    private void Write(string name, byte[] content, int mode)
    {
        string path = Path.Combine(_directory, name);
        File.WriteAllBytes(path, content);
        File.SetUnixFileMode(path, (UnixFileMode)mode);
    }
}
