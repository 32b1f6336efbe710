using System.Diagnostics;
using System.Globalization;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Integration.Tests;

/// <summary>Sandboxes that are written into archives, and come back elsewhere.</summary>
[Collection(HostFixture.Collection)]
public sealed class ArchiveTests(HostFixture fixture)
{
    private const string Counter = """
        import os, time
        i = 0
        while True:
            i += 1
            open('/tmp/count.new', 'w').write(str(i))
            os.replace('/tmp/count.new', '/tmp/count')
            time.sleep(0.01)
        """;

    [SkippableFact]
    public async Task ExportImport_OtherStateDirectory_GoesOnWithMemoryProcessesAndFiles()
    {
        _ = fixture.HostWithImage;
        await using var here = new OwnState();
        await using var there = new OwnState();
        string archive = Path.Combine(here.Options.StateDirectory, "one.osa");
        string digest, id;
        int before;
        await using (SandboxHost host = await here.StartHostAsync())
        {
            await using Sandbox sandbox = await CreateAsync(host, new SandboxSpec { Labels = Of("owner", "me"), EnvironmentVariables = Of("GREETING", "hello") });
            await sandbox.ExecAsync("echo first > /workspace/file", cancellationToken: Deadline());
            await sandbox.HibernateAsync(Deadline());
            await sandbox.WakeAsync(cancellationToken: Deadline()); // two layers
            await sandbox.ExecAsync("echo second >> /workspace/file; echo root > /home/root-file", new ExecOptions { User = "root" }, Deadline());
            digest = (await sandbox.ExecAsync("head -c 3000000 /dev/urandom | tee /dev/shm/data | sha256sum", cancellationToken: Deadline())).StandardOutput;
            before = await CountAsync(sandbox);

            SandboxStateException running = await Assert.ThrowsAsync<SandboxStateException>(() => sandbox.ExportAsync(archive, cancellationToken: Deadline()));
            Assert.Contains("hibernate it first", running.Message, StringComparison.Ordinal);
            await sandbox.HibernateAsync(Deadline());
            var progress = new LastProgress();
            SandboxExport export = await sandbox.ExportAsync(archive, new ExportOptions { Progress = progress }, Deadline(120));
            Assert.True(export.HasMemory);
            Assert.Equal((new FileInfo(archive).Length, export.Bytes), (export.Bytes, progress.Last));
            Assert.Equal([archive], Directory.GetFiles(here.Options.StateDirectory, "*osa*"));
            id = sandbox.Id;

            // It is still there.
            Assert.True((await sandbox.WakeAsync(cancellationToken: Deadline())).MemoryRestored);
            await sandbox.DeleteAsync();
        }

        await using SandboxHost other = await there.StartHostAsync();
        await using Sandbox imported = await other.ImportAsync(archive, new ImportOptions { RequireMemory = true }, Deadline(120));
        Assert.Equal(SandboxState.Hibernated, imported.State);
        Assert.NotEqual(id, imported.Id);
        Assert.Equal("me", imported.Spec.Labels["owner"]);
        Assert.Single(other.List());
        SandboxWake woken = await imported.WakeAsync(new WakeOptions { RequireMemory = true }, Deadline());
        Assert.True(woken.MemoryRestored);
        Assert.Equal(digest, (await imported.ExecAsync("sha256sum < /dev/shm/data", cancellationToken: Deadline())).StandardOutput);
        ExecResult files = await imported.ExecAsync("cat /workspace/file /home/root-file; echo $GREETING; hostname", cancellationToken: Deadline());
        Assert.Equal($"first\nsecond\nroot\nhello\n{imported.Id}\n", files.StandardOutput);
        int after = await CountAsync(imported);
        Assert.True(after >= before, $"{before} before, {after} after");
        await ExecTests.UntilAsync(async () => await CountAsync(imported) > after + 5);

        // A second one of the same archive is another machine; under the old id it is the same.
        await using Sandbox second = await other.ImportAsync(archive, cancellationToken: Deadline(120));
        await second.WakeAsync(cancellationToken: Deadline());
        Assert.NotEqual(await MachineIdAsync(imported), await MachineIdAsync(second));
        await using Sandbox same = await other.ImportAsync(archive, new ImportOptions { KeepId = true }, Deadline(120));
        Assert.Equal(id, same.Id);
        SandboxOperationException taken = await Assert.ThrowsAsync<SandboxOperationException>(
            () => other.ImportAsync(archive, new ImportOptions { KeepId = true }, Deadline(120)));
        Assert.Equal(SandboxErrorCode.AlreadyExists, taken.Code);
        Assert.Equal(3, Directory.GetDirectories(there.Sandboxes).Length);
        foreach (Sandbox one in new[] { imported, second, same })
        {
            await one.DeleteAsync();
        }
    }

    [SkippableFact]
    public async Task ExportImport_ThroughStreams_DisksAlone_BootsFromThem()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await CreateAsync(host, null);
        await sandbox.ExecAsync("echo kept > /workspace/file; echo gone > /dev/shm/file", cancellationToken: Deadline());
        await sandbox.HibernateAsync(Deadline());
        using var whole = new MemoryStream();
        using var disks = new MemoryStream();
        await sandbox.ExportAsync(whole, cancellationToken: Deadline(120));
        Assert.False((await sandbox.ExportAsync(disks, new ExportOptions { Kind = CheckpointKind.DiskOnly }, Deadline(120))).HasMemory);
        Assert.True(disks.Length < whole.Length);
        foreach ((byte[] archive, ImportOptions options) in new[]
        {
            (disks.ToArray(), new ImportOptions()),
            (whole.ToArray(), new ImportOptions { Kind = CheckpointKind.DiskOnly, Egress = EgressPolicy.DenyAll, Lifetime = SandboxLifetime.Detached }),
        })
        {
            await using Sandbox imported = await host.ImportAsync(new MemoryStream(archive), options, Deadline(120));
            await Assert.ThrowsAsync<SandboxSnapshotException>(() => imported.WakeAsync(new WakeOptions { RequireMemory = true }, Deadline()));
            SandboxWake woken = await imported.WakeAsync(cancellationToken: Deadline());
            Assert.False(woken.MemoryRestored);
            Assert.Equal(["it was imported without its memory"], woken.Reasons);
            ExecResult files = await imported.ExecAsync("cat /workspace/file; ls /dev/shm", cancellationToken: Deadline());
            Assert.Equal("kept\n", files.StandardOutput);
            Assert.Equal(options.Lifetime ?? SandboxLifetime.Attached, imported.Spec.Lifetime);
            Assert.Same(options.Egress ?? imported.Network.Policy, imported.Network.Policy);
            await imported.DeleteAsync();
        }

        SandboxSnapshotException refused = await Assert.ThrowsAsync<SandboxSnapshotException>(
            () => host.ImportAsync(new MemoryStream(disks.ToArray()), new ImportOptions { RequireMemory = true }, Deadline()));
        Assert.Contains("none in the archive", refused.Message, StringComparison.Ordinal);
        await sandbox.DeleteAsync();
    }

    [SkippableFact]
    public async Task Import_OtherGoldenSnapshot_IsRefusedOrBootsFromDisksWithTheReasons()
    {
        _ = fixture.HostWithImage;
        await using var here = new OwnState();
        await using var there = new OwnState();
        byte[] archive = await ArchiveAsync(here, "echo kept > /workspace/file");

        // The same QEMU and kernel, but a golden snapshot that was built there: its RAM has another content.
        File.Delete(Path.Combine(there.Options.StateDirectory, "golden"));
        Directory.CreateDirectory(Path.Combine(there.Options.StateDirectory, "golden"));
        await using (SandboxHost host = await there.StartHostAsync())
        {
            SandboxSnapshotException refused = await Assert.ThrowsAsync<SandboxSnapshotException>(
                () => host.ImportAsync(new MemoryStream(archive), new ImportOptions { RequireMemory = true }, Deadline(120)));
            Assert.Contains(refused.Mismatches, static reason => reason.Contains("built anew", StringComparison.Ordinal));
            AssertNothing(there);

            await using Sandbox imported = await host.ImportAsync(new MemoryStream(archive), cancellationToken: Deadline(120));
            SandboxWake woken = await imported.WakeAsync(cancellationToken: Deadline());
            Assert.False(woken.MemoryRestored);
            Assert.Contains(woken.Reasons, static reason => reason.Contains("built anew", StringComparison.Ordinal));
            Assert.Equal("kept\n", (await imported.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
            await imported.DeleteAsync();
        }

        Directory.Delete(Path.Combine(there.Options.StateDirectory, "golden"), recursive: true);
        Directory.CreateSymbolicLink(Path.Combine(there.Options.StateDirectory, "golden"), Path.Combine(HostFixture.Options.StateDirectory, "golden"));
    }

    [SkippableFact]
    public async Task Import_MissingImage_SaysWhichAndWhatToDo()
    {
        _ = fixture.HostWithImage;
        await using var here = new OwnState();
        await using var there = new OwnState();
        byte[] archive = await ArchiveAsync(here, "true");
        File.Delete(Path.Combine(there.Options.StateDirectory, "images"));
        await using (SandboxHost host = await there.StartHostAsync())
        {
            SandboxImageException missing = await Assert.ThrowsAsync<SandboxImageException>(
                () => host.ImportAsync(new MemoryStream(archive), cancellationToken: Deadline()));
            Assert.Matches("image 'default' with the digest [0-9a-f]{64}.*opensandbox image import default", missing.Message);
            AssertNothing(there);
        }

        Directory.Delete(Path.Combine(there.Options.StateDirectory, "images"), recursive: true);
        Directory.CreateSymbolicLink(Path.Combine(there.Options.StateDirectory, "images"), Path.Combine(HostFixture.Options.StateDirectory, "images"));
    }

    [SkippableFact]
    public async Task Import_DamagedAnywhereOrCutShort_IsRefusedAndNothingIsLeft()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        byte[] archive = await ArchiveAsync(state, "echo kept > /workspace/file");
        await using SandboxHost host = await state.StartHostAsync();
        var random = new Random(20_261);
        byte[] damaged = [.. archive];
        using var bytes = new MemoryStream(damaged);
        int[] places = [.. Enumerable.Range(0, 48), .. Enumerable.Range(archive.Length - 60, 60), .. Enumerable.Range(0, 92).Select(_ => random.Next(archive.Length))];
        foreach (int at in places)
        {
            byte was = damaged[at];
            damaged[at] ^= (byte)(1 << random.Next(8));
            bytes.Position = 0;
            await RefusedAsync(host, bytes, $"byte {at} of {archive.Length}");
            damaged[at] = was;
        }

        foreach (int length in (int[])[0, 1, 47, 48, 100, archive.Length / 3, archive.Length / 2, archive.Length - 48, archive.Length - 1])
        {
            await RefusedAsync(host, new MemoryStream(archive, 0, length), $"cut to {length}");
        }

        await RefusedAsync(host, new MemoryStream([.. archive, 0]), "a byte more");
        SandboxSnapshotException large = await Assert.ThrowsAsync<SandboxSnapshotException>(
            () => host.ImportAsync(new MemoryStream(archive), new ImportOptions { MaxBytes = 1 << 20 }, Deadline()));
        Assert.Contains("accepted", large.Message, StringComparison.Ordinal);
        AssertNothing(state);

        // What was damaged is whole again, so that it was the damage that was refused.
        bytes.Position = 0;
        await using Sandbox whole = await host.ImportAsync(bytes, cancellationToken: Deadline());
        await whole.DeleteAsync();
    }

    [SkippableFact]
    public async Task ExportAndImport_Cancelled_LeaveNothing()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await CreateAsync(host, null);
        await sandbox.ExecAsync("head -c 20000000 /dev/urandom > /workspace/file", cancellationToken: Deadline());
        await sandbox.HibernateAsync(Deadline());
        string path = Path.Combine(state.Options.StateDirectory, "one.osa");
        using (var cancel = new CancellationTokenSource())
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sandbox.ExportAsync(
                path, new ExportOptions { Progress = new Cancelling(cancel, 4 << 20) }, cancel.Token));
        }

        Assert.Empty(Directory.GetFiles(state.Options.StateDirectory, "*osa*"));
        await sandbox.ExportAsync(path, cancellationToken: Deadline(120));
        await sandbox.DeleteAsync();
        await SweepAsync(state);
        using (var cancel = new CancellationTokenSource())
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => host.ImportAsync(
                path, new ImportOptions { Progress = new Cancelling(cancel, 4 << 20) }, cancel.Token));
        }

        AssertNothing(state);
        Assert.Empty(host.List());
    }

    [SkippableFact]
    public async Task Export_TargetRunsFull_SaysSoAndLeavesNothing()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await CreateAsync(host, null);
        await sandbox.ExecAsync("head -c 20000000 /dev/urandom > /workspace/file", cancellationToken: Deadline());
        await sandbox.HibernateAsync(Deadline());
        using var small = new SmallFileSystem(8);
        SandboxOperationException full = await Assert.ThrowsAsync<SandboxOperationException>(
            () => sandbox.ExportAsync(Path.Combine(small.Path, "one.osa"), cancellationToken: Deadline(120)));
        Assert.Equal(SandboxErrorCode.NoSpace, full.Code);
        Assert.Empty(Directory.GetFileSystemEntries(small.Path));
        Assert.Equal(SandboxState.Hibernated, sandbox.State);
        await sandbox.DeleteAsync();
    }

    [SkippableFact]
    public async Task Import_StateRunsFull_SaysSoAndLeavesNothing()
    {
        _ = fixture.HostWithImage;
        await using var here = new OwnState();
        byte[] archive = await ArchiveAsync(here, "head -c 20000000 /dev/urandom > /workspace/file");
        using var small = new SmallFileSystem(12);
        foreach (string shared in (string[])["images", "golden"])
        {
            Directory.CreateSymbolicLink(Path.Combine(small.Path, shared), Path.Combine(HostFixture.Options.StateDirectory, shared));
        }

        await using SandboxHost host = await SandboxHost.StartAsync(here.Options with { StateDirectory = small.Path }, cancellationToken: Deadline(240));
        SandboxOperationException full = await Assert.ThrowsAsync<SandboxOperationException>(
            () => host.ImportAsync(new MemoryStream(archive), cancellationToken: Deadline(120)));
        Assert.Equal(SandboxErrorCode.NoSpace, full.Code);
        foreach (string folder in (string[])["sandboxes", "snapshots", "layers"])
        {
            Assert.Empty(Directory.GetFileSystemEntries(Path.Combine(small.Path, folder)));
        }
    }

    [SkippableFact]
    public async Task Import_FailsAtAnyPoint_NothingIsLeftOrTheSandboxIsWhole()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        byte[] archive = await ArchiveAsync(state, "echo kept > /workspace/file");
        await using SandboxHost host = await state.StartHostAsync();
        var reached = new List<string>();
        Sandbox sandbox;
        using (Fault.ArmFlow(FaultPlan.Observe((point, _) => reached.Add(point))))
        {
            sandbox = await host.ImportAsync(new MemoryStream(archive), cancellationToken: Deadline());
        }

        await sandbox.DeleteAsync();

        Assert.Superset(
            new HashSet<string>(StringComparer.Ordinal) { FaultPoints.ImportChecked, FaultPoints.ImportLinked, FaultPoints.ImportPublished },
            reached.ToHashSet(StringComparer.Ordinal));
        foreach (string point in reached.Distinct())
        {
            await SweepAsync(state);
            using (Fault.ArmFlow(FaultPlan.Parse($"{point}=eio")))
            {
                Exception? failure = await Record.ExceptionAsync(() => host.ImportAsync(new MemoryStream(archive), cancellationToken: Deadline()));
                Assert.True(failure is SandboxException, $"{point}: {failure}");
            }

            await SweepAsync(state);
            if (point != FaultPoints.SandboxCreated)
            {
                AssertNothing(state);
                continue;
            }

            // It was there before the caller could be told so.
            await using Sandbox whole = await host.OpenAsync(Path.GetFileName(Assert.Single(Directory.GetDirectories(state.Sandboxes))), Deadline());
            Assert.True((await whole.WakeAsync(cancellationToken: Deadline())).MemoryRestored);
            await whole.DeleteAsync();
        }
    }

    [SkippableFact]
    public async Task Export_FailsAtAnyPoint_LeavesNoPartOfAFile()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await CreateAsync(host, null);
        await sandbox.HibernateAsync(Deadline());
        string path = Path.Combine(state.Options.StateDirectory, "one.osa");
        foreach (string point in (string[])[FaultPoints.ExportWritten, FaultPoints.SyncFile, FaultPoints.ExportSynced, FaultPoints.ExportRenamed])
        {
            File.Delete(path);
            using (Fault.ArmFlow(FaultPlan.Parse($"{point}=eio")))
            {
                SandboxOperationException failed = await Assert.ThrowsAsync<SandboxOperationException>(() => sandbox.ExportAsync(path, cancellationToken: Deadline()));
                Assert.Equal(SandboxErrorCode.OperationFailed, failed.Code);
            }

            // Once renamed it is complete, only its name may not be durable.
            Assert.Equal(point == FaultPoints.ExportRenamed ? [path] : [], Directory.GetFiles(state.Options.StateDirectory, "*osa*"));
        }

        await using Sandbox imported = await host.ImportAsync(path, cancellationToken: Deadline());
        await imported.DeleteAsync();
        await sandbox.DeleteAsync();
    }

    private static async Task RefusedAsync(SandboxHost host, Stream archive, string what)
    {
        try
        {
            await using Sandbox accepted = await host.ImportAsync(archive, cancellationToken: Deadline());
            Assert.Fail($"{what}: it was accepted");
        }
        catch (SandboxSnapshotException)
        {
            AssertNothing(host.Options);
        }
    }

    private static void AssertNothing(OwnState state) => AssertNothing(state.Options);

    private static void AssertNothing(SandboxHostOptions options)
    {
        foreach (string folder in (string[])["sandboxes", "snapshots", "layers", "disks"])
        {
            Assert.Empty(Directory.GetFileSystemEntries(Path.Combine(options.StateDirectory, folder)));
        }
    }

    private static Task SweepAsync(OwnState state) => StateSweeper.SweepAsync(StateStore.Open(state.Options.StateDirectory), null, Deadline());

    /// <summary>An archive of a sandbox that is gone, with its state directory as empty as before.</summary>
    private static async Task<byte[]> ArchiveAsync(OwnState state, string command)
    {
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await CreateAsync(host, null);
        await sandbox.ExecAsync(command, cancellationToken: Deadline());
        await sandbox.HibernateAsync(Deadline());
        using var archive = new MemoryStream();
        await sandbox.ExportAsync(archive, cancellationToken: Deadline(120));
        await sandbox.DeleteAsync();
        await SweepAsync(state);
        return archive.ToArray();
    }

    private static async Task<Sandbox> CreateAsync(SandboxHost host, SandboxSpec? spec)
    {
        Sandbox sandbox = await host.CreateAsync(spec, Deadline());
        await sandbox.StartAsync(["python3", "-c", Counter], cancellationToken: Deadline());
        await ExecTests.UntilAsync(async () => await CountAsync(sandbox) > 5);
        return sandbox;
    }

    private static async Task<int> CountAsync(Sandbox sandbox)
    {
        ExecResult read = await sandbox.ExecAsync("cat /tmp/count", cancellationToken: Deadline());
        return int.TryParse(read.StandardOutput, CultureInfo.InvariantCulture, out int count) ? count : 0;
    }

    private static async Task<string> MachineIdAsync(Sandbox sandbox) =>
        (await sandbox.ExecAsync("cat /etc/machine-id", cancellationToken: Deadline())).StandardOutput;

    private static Dictionary<string, string> Of(string name, string value) => new(StringComparer.Ordinal) { [name] = value };

    private static CancellationToken Deadline(int seconds = 60) => ExecTests.Deadline(seconds);

    private sealed class LastProgress : IProgress<long>
    {
        internal long Last { get; private set; }

        public void Report(long value) => Last = value;
    }

    private sealed class Cancelling(CancellationTokenSource source, long at) : IProgress<long>
    {
        public void Report(long value)
        {
            if (value >= at)
            {
                source.Cancel();
            }
        }
    }

    /// <summary>A file system of a few MiB, for as long as the test needs it.</summary>
    private sealed class SmallFileSystem : IDisposable
    {
        internal SmallFileSystem(int mib)
        {
            Path = Directory.CreateTempSubdirectory("opensandbox-small-").FullName;
            Run("mount", "-t", "tmpfs", "-o", $"size={mib}m,mode=0700", "tmpfs", Path);
        }

        internal string Path { get; }

        public void Dispose()
        {
            Run("umount", Path);
            Directory.Delete(Path);
        }

        private static void Run(string program, params string[] arguments)
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments))!;
            Assert.True(process.WaitForExit(TimeSpan.FromSeconds(30)) && process.ExitCode == 0, $"{program} failed");
        }
    }
}
