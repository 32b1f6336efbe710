using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Tests.Support;

namespace OpenSandbox.Cli.Tests;

/// <summary>Sandboxes that are put away, saved, copied and carried off, with the built program and real sandboxes.</summary>
[Collection(Sandboxes.Name)]
public sealed class SavedTests(Sandboxes sandboxes)
{
    private const string Counter = "i=0; while :; do i=$((i+1)); echo $i >/dev/shm/new; mv /dev/shm/new /dev/shm/count; sleep 0.05; done";

    [SkippableFact]
    public async Task Hibernate_Wake_GoesOnUnderTheSameIdWithANewKeeper()
    {
        sandboxes.Require();
        await using Kept kept = await CountingAsync();
        int before = await CountAsync(kept);
        int keeper = (await Kept.ListAsync())[kept.Id];
        (int Pid, string Started, string Name)[] all = [.. CliProcess.DescendantsOf(keeper), CliProcess.Describe(keeper)];

        CliResult hibernate = await CliProcess.RunAsync("hibernate", kept.Id);
        Assert.Equal((0, "", ""), (hibernate.ExitCode, hibernate.Text, hibernate.Error));
        Assert.DoesNotContain(all, CliProcess.IsAlive);
        Assert.Equal("hibernated", await kept.StateAsync());
        Assert.Matches($@"(?m)^{kept.Id} +default +hibernated +\S+ +512 MiB +- +-$", (await CliProcess.RunAsync("ls")).Text);
        CliResult exec = await kept.ExecAsync("true");
        Assert.Equal((125, $"opensandbox: sandbox {kept.Id} is hibernated. Wake it: opensandbox wake {kept.Id}\n"), (exec.ExitCode, exec.Error));

        // Once more is nothing to do.
        Assert.Equal(0, (await CliProcess.RunAsync("hibernate", kept.Id)).ExitCode);

        CliResult wake = await CliProcess.RunAsync("wake", "--require-memory", "--json", kept.Id);
        Assert.Equal((0, ""), (wake.ExitCode, wake.Error));
        using (JsonDocument json = JsonDocument.Parse(wake.Output))
        {
            Assert.True(json.RootElement.GetProperty("memoryRestored").GetBoolean());
            Assert.Equal(kept.Id, json.RootElement.GetProperty("id").GetString());
        }

        Assert.True(await CountAsync(kept) >= before);
        Assert.Equal("running", await kept.StateAsync());
        Assert.Equal((0, ""), await EndAsync("wake", kept.Id)); // it runs
    }

    [SkippableFact]
    public async Task Wake_FromDisk_SaysThatItsMemoryIsLost()
    {
        sandboxes.Require();
        await using Kept kept = await CountingAsync();
        Assert.Equal(0, (await kept.ExecAsync("sh", "-c", "echo kept >/workspace/file")).ExitCode);
        Assert.Equal((0, ""), await EndAsync("hibernate", kept.Id));
        Assert.Equal((0, $"opensandbox: sandbox {kept.Id} has booted from its disks\n"), await EndAsync("wake", "--from-disk", kept.Id));
        Assert.Equal("kept\n", (await kept.ExecAsync("sh", "-c", "cat /workspace/file /dev/shm/count 2>/dev/null")).Text);
        (int code, string error) = await EndAsync("wake", "--from-disk", "--require-memory", kept.Id);
        Assert.Equal((2, "opensandbox: option --from-disk: it contradicts --require-memory\n"), (code, error));
    }

    [SkippableFact]
    public async Task RunKeep_Foreground_HibernatedFromElsewhere_EndsAndCanBeWoken()
    {
        sandboxes.Require();
        using CliProcess cli = CliProcess.Start(null, "run", "--keep", "--", "sh", "-c", "echo here >/dev/shm/file; echo over; exit 5");
        Assert.Equal("over", await cli.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        await using Kept kept = Kept.Of(Assert.Single(await Kept.ListAsync(), pair => pair.Value == cli.Id).Key);
        Assert.Equal((0, ""), await EndAsync("hibernate", kept.Id));
        CliEnd end = await cli.WaitAsync();
        Assert.Equal(5, end.ExitCode);
        Assert.EndsWith($"opensandbox: sandbox {kept.Id} has been put away. It comes back with 'opensandbox wake {kept.Id}'\n", end.Error, StringComparison.Ordinal);
        Assert.Equal((0, ""), await EndAsync("wake", kept.Id));
        Assert.Equal("here\n", (await kept.ExecAsync("cat", "/dev/shm/file")).Text);
    }

    [SkippableFact]
    public async Task Pause_Resume_StandsStillAndGoesOn()
    {
        sandboxes.Require();
        await using Kept kept = await CountingAsync();
        Assert.Equal((0, ""), await EndAsync("pause", kept.Id));
        Assert.Equal("paused", await kept.StateAsync());
        (int code, string error) = await EndAsync("exec", kept.Id, "--", "true");
        Assert.Equal(125, code);
        Assert.Contains("Paused", error, StringComparison.Ordinal);
        Assert.Equal((0, ""), await EndAsync("resume", kept.Id));
        Assert.True(await CountAsync(kept) > 0);
        CliResult json = await CliProcess.RunAsync("pause", "--page-out", "--json", kept.Id);
        Assert.Equal((0, ""), (json.ExitCode, json.Error));
        Assert.Contains("\"pagedOutBytes\":", json.Text, StringComparison.Ordinal);
        Assert.Equal((0, ""), await EndAsync("resume", kept.Id));
    }

    [SkippableFact]
    public async Task Checkpoint_CreateListRestoreForkRemove_DoWhatTheySay()
    {
        sandboxes.Require();
        await using Kept kept = await CountingAsync();
        Assert.Equal(0, (await kept.ExecAsync("sh", "-c", "echo one >/workspace/file")).ExitCode);
        CliResult created = await CliProcess.RunAsync("checkpoint", "create", kept.Id, "--name", "before");
        Assert.Equal((0, ""), (created.ExitCode, created.Error));
        string checkpoint = created.Text.TrimEnd();
        Assert.Matches("^sn-[0-9a-f]{16}$", checkpoint);
        Assert.Matches($@"(?m)^{checkpoint} +{kept.Id} +memory +\S+ \w+ +\S+ \S+ +before$", (await CliProcess.RunAsync("checkpoint", "ls", kept.Id)).Text);
        Assert.Equal(0, (await kept.ExecAsync("sh", "-c", "echo two >/workspace/file")).ExitCode);

        Assert.Equal((0, ""), await EndAsync("checkpoint", "restore", kept.Id, checkpoint));
        Assert.Equal("one\n", (await kept.ExecAsync("cat", "/workspace/file")).Text);

        // A hibernated sandbox goes back to it, too.
        Assert.Equal((0, ""), await EndAsync("hibernate", kept.Id));
        Assert.Equal((0, ""), await EndAsync("checkpoint", "restore", kept.Id, checkpoint));
        Assert.True(await CountAsync(kept) > 0);

        CliResult forked = await CliProcess.RunAsync("fork", checkpoint, "-n", "2");
        Assert.Equal((0, ""), (forked.ExitCode, forked.Error));
        await AssertForksAsync(forked.Text, 2);

        Assert.Equal((0, ""), await EndAsync("checkpoint", "rm", checkpoint));
        Assert.Equal(
            (125, $"opensandbox: there is no checkpoint {checkpoint}. See 'opensandbox checkpoint ls'\n"), await EndAsync("checkpoint", "rm", checkpoint));
        Assert.DoesNotContain(checkpoint, (await CliProcess.RunAsync("checkpoint", "ls")).Text, StringComparison.Ordinal);
        (int code, string error) = await EndAsync("checkpoint", "restore", kept.Id, checkpoint);
        Assert.Equal(125, code);
        Assert.Contains(checkpoint, error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Fork_OfARunningSandbox_GivesSandboxesWithKeepersOfTheirOwn()
    {
        sandboxes.Require();
        await using Kept kept = await CountingAsync();
        CliResult forked = await CliProcess.RunAsync("fork", kept.Id, "-n", "3");
        Assert.Equal((0, ""), (forked.ExitCode, forked.Error));
        await AssertForksAsync(forked.Text, 3);
        Assert.True(await CountAsync(kept) > 0);
        Assert.Equal(
            (2, "opensandbox: option --count: '0' is not a number from 1 to 64. See 'opensandbox fork --help'\n"), await EndAsync("fork", kept.Id, "-n", "0"));
    }

    [SkippableFact]
    public async Task Export_Import_FileAndPipe_ComeBackAsOtherSandboxes()
    {
        sandboxes.Require();
        string folder = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;
        try
        {
            string file = Path.Combine(folder, "one.osa");
            await using Kept kept = await CountingAsync();
            Assert.Equal(0, (await kept.ExecAsync("sh", "-c", "echo kept >/workspace/file")).ExitCode);
            Assert.Equal(
                (125, $"opensandbox: sandbox {kept.Id} is not hibernated. Put it away first: opensandbox hibernate {kept.Id}\n"),
                await EndAsync("export", kept.Id, file));
            Assert.Empty(Directory.GetFileSystemEntries(folder));
            Assert.Equal((0, ""), await EndAsync("hibernate", kept.Id));
            Assert.Equal((0, ""), await EndAsync("export", kept.Id, file));
            Assert.Equal((125, $"opensandbox: {file} exists already. Replace it with --force\n"), await EndAsync("export", kept.Id, file));
            CliResult piped = await CliProcess.RunAsync("export", "--disk-only", kept.Id, "-");
            Assert.Equal((0, ""), (piped.ExitCode, piped.Error));
            Assert.Equal("OSBOXARC"u8.ToArray(), piped.Output[..8]);

            CliResult imported = await CliProcess.RunAsync("import", "--require-memory", file);
            Assert.Equal((0, ""), (imported.ExitCode, imported.Error));
            await using (Kept other = Kept.Of(imported.Text.TrimEnd()))
            {
                Assert.NotEqual(kept.Id, other.Id);
                Assert.Equal("hibernated", await other.StateAsync());
                Assert.Equal((0, ""), await EndAsync("wake", "--require-memory", other.Id));
                Assert.Equal("kept\n", (await other.ExecAsync("cat", "/workspace/file")).Text);
                Assert.True(await CountAsync(other) > 0);
            }

            CliResult disks = await CliProcess.RunAsync(piped.Output, null, null, "import", "--no-network", "-");
            Assert.Equal((0, ""), (disks.ExitCode, disks.Error));
            await using (Kept other = Kept.Of(disks.Text.TrimEnd()))
            {
                Assert.Equal(
                    (0, $"opensandbox: sandbox {other.Id} has booted from its disks: it was imported without its memory\n"), await EndAsync("wake", other.Id));
                Assert.Equal("kept\n", (await other.ExecAsync("cat", "/workspace/file")).Text);
            }

            byte[] damaged = await File.ReadAllBytesAsync(file);
            damaged[^1000] ^= 1;
            await File.WriteAllBytesAsync(file, damaged);
            (int code, string error) = await EndAsync("import", file);
            Assert.Equal(125, code);
            Assert.Matches(@"\Aopensandbox: the archive is refused: archive: [^\n]+\n\z", error);
            (code, error) = await EndAsync("import", "--keep-id", Path.Combine(folder, "none"));
            Assert.Equal((125, $"opensandbox: there is no file {folder}/none\n"), (code, error));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [SkippableFact]
    public async Task Prune_WithGarbage_SaysWhatItFreesAndLeavesWhatIsNeeded()
    {
        sandboxes.Require();
        await using Kept kept = await CountingAsync();
        Assert.Equal((0, ""), await EndAsync("hibernate", kept.Id));
        string garbage = Path.Combine(Kept.StateDirectory, "layers", "ly-00000000deadbeef.qcow2");
        await File.WriteAllBytesAsync(garbage, new byte[100_000]);

        CliResult dry = await CliProcess.RunAsync("prune", "--dry-run");
        Assert.Equal((0, ""), (dry.ExitCode, dry.Error));
        Assert.Matches($@"(?m)^layer +\S+ \w+ +{garbage} +no manifest names it$", dry.Text);
        Assert.EndsWith("would be freed\n", dry.Text, StringComparison.Ordinal);
        Assert.True(File.Exists(garbage));

        CliResult pruned = await CliProcess.RunAsync("prune", "--json");
        Assert.Equal((0, ""), (pruned.ExitCode, pruned.Error));
        using JsonDocument json = JsonDocument.Parse(pruned.Output);
        Assert.False(json.RootElement.GetProperty("dryRun").GetBoolean());
        Assert.True(json.RootElement.GetProperty("freedBytes").GetInt64() >= 100_000);
        Assert.False(File.Exists(garbage));
        Assert.Equal((0, ""), await EndAsync("wake", "--require-memory", kept.Id));
    }

    [SkippableFact]
    public async Task Remove_Hibernated_DeletesItAndWhatItHadOnDisk()
    {
        sandboxes.Require();
        await using Kept kept = await CountingAsync();
        Assert.Equal((0, ""), await EndAsync("hibernate", kept.Id));
        Assert.Equal((0, ""), await EndAsync("rm", kept.Id));
        Assert.Null(await kept.StateAsync());
        Assert.False(Directory.Exists(Path.Combine(Kept.StateDirectory, "sandboxes", kept.Id)));
        Assert.Equal((125, $"opensandbox: there is no sandbox {kept.Id} here. See 'opensandbox ls'\n"), await EndAsync("wake", kept.Id));
    }

    [SkippableFact]
    public async Task ImageRemove_SomethingSavedBuildsOnIt_IsRefused()
    {
        sandboxes.Require();
        await using Kept kept = await CountingAsync();
        Assert.Equal((0, ""), await EndAsync("hibernate", kept.Id));
        (int code, string error) = await EndAsync("image", "rm", "default");
        Assert.Equal(125, code);
        Assert.Matches($@"\Aopensandbox: image 'default' is still needed: [^\n]*{kept.Id}[^\n]*\n\z", error);
        Assert.Equal((0, ""), await EndAsync("wake", kept.Id));
    }

    [Theory]
    [InlineData("""{"id":"sb-0123abcd","milliseconds":"x"}""")]
    [InlineData("null")]
    [InlineData("{")]
    [InlineData("{}")]
    public async Task Hibernate_KeeperThatAnswersNonsense_IsAnErrorAndNoHang(string answer)
    {
        await using FakeKeeper keeper = FakeKeeper.Answering((_, connection, ending) =>
            connection.SendAsync(ControlFrameKind.Result, System.Text.Encoding.UTF8.GetBytes(answer), ending));
        using KeptSandbox kept = await KeptSandbox.ConnectAsync(keeper.Directory, FakeKeeper.Id, CancellationToken.None);
        await Assert.ThrowsAsync<ControlProtocolException>(() => kept.HibernateAsync(CancellationToken.None).WaitAsync(CliProcess.Deadline));
    }

    [Theory]
    [InlineData("""{"ids":["../../etc"]}""")]
    [InlineData("""{"ids":["sb-0123abcd",null]}""")]
    [InlineData("""{"ids":null}""")]
    public async Task Fork_KeeperThatSendsIdsThatAreNone_IsAnError(string answer)
    {
        await using FakeKeeper keeper = FakeKeeper.Answering((_, connection, ending) =>
            connection.SendAsync(ControlFrameKind.Result, System.Text.Encoding.UTF8.GetBytes(answer), ending));
        using KeptSandbox kept = await KeptSandbox.ConnectAsync(keeper.Directory, FakeKeeper.Id, CancellationToken.None);
        await Assert.ThrowsAsync<ControlProtocolException>(() => kept.ForkAsync(1, CancellationToken.None).WaitAsync(CliProcess.Deadline));
    }

    private static async Task AssertForksAsync(string printed, int count)
    {
        string[] ids = printed.TrimEnd('\n').Split('\n');
        Dictionary<string, int> listed = await Kept.ListAsync();
        try
        {
            Assert.Equal(count, ids.Distinct().Count());
            Assert.Equal(count, ids.Select(id => listed[id]).Where(static pid => pid != 0).Distinct().Count());
            foreach (string id in ids)
            {
                Kept fork = Kept.Of(id);
                Assert.Equal($"{id}\n", (await fork.ExecAsync("hostname")).Text);
                Assert.True(await CountAsync(fork) > 0);
            }
        }
        finally
        {
            Assert.Equal((0, ""), await EndAsync(["rm", .. ids]));
        }
    }

    /// <summary>A kept sandbox in which a process counts.</summary>
    private static async Task<Kept> CountingAsync()
    {
        Kept kept = await Kept.StartAsync();
        CliResult started = await kept.ExecAsync(null, ["--detach"], "sh", "-c", Counter);
        Assert.True(started.ExitCode == 0, started.Error);
        Assert.True(await CountAsync(kept) > 0);
        return kept;
    }

    /// <summary>Waits in the guest until it has counted on.</summary>
    private static async Task<int> CountAsync(Kept kept)
    {
        CliResult result = await kept.ExecAsync(
            null,
            ["--timeout", "60s"],
            "sh",
            "-c",
            "until [ -s /dev/shm/count ]; do sleep 0.05; done; a=$(cat /dev/shm/count); while b=$(cat /dev/shm/count); [ \"$b\" = \"$a\" ]; do sleep 0.05; done; echo $b");
        Assert.True(result.ExitCode == 0, result.Error);
        return int.Parse(result.Text);
    }

    private static async Task<(int ExitCode, string Error)> EndAsync(params string[] arguments)
    {
        CliResult result = await CliProcess.RunAsync(arguments);
        return (result.ExitCode, result.Error);
    }
}
