using System.Globalization;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Snapshots;
using OpenSandbox.Vmm.State;
using Xunit.Abstractions;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>R7: every file of a saved sandbox, damaged in every way. Each damage is found before a guest has run an instruction.</summary>
[Collection(HostFixture.Collection)]
[Trait("Category", "Faults")]
public sealed class CorruptionTests(HostFixture fixture, ITestOutputHelper output)
{
    private static readonly int s_mutations = FaultCampaign.Runs > 0 ? 5_000 : 500;
    private static readonly WakeOptions s_memory = new() { RequireMemory = true };

    /// <summary>What is checked before QEMU is started, and what is checked while the memory is loaded, both without a QEMU.</summary>
    [SkippableFact]
    public async Task SavedFiles_DamagedAtRandom_AreAllRefused()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        Sandbox[] sandboxes = [await SaveAsync(host), await SaveAsync(host)];
        string[][] files = [.. sandboxes.Select(sandbox => FilesOf(host, sandbox))];
        Assert.Equal(files[0].Length, files[1].Length);
        string[] copies = [.. files[0].Select(static path => $"{path}.pristine")];
        string backup = Path.Combine(state.Options.StateDirectory, "backup");
        Directory.CreateDirectory(backup);
        for (int i = 0; i < files[0].Length; i++)
        {
            copies[i] = Path.Combine(backup, $"{i}");
            File.Copy(files[0][i], copies[i]);
        }

        int seed = Environment.TickCount;
        var random = new Random(seed);
        var refused = new SortedDictionary<string, int>(StringComparer.Ordinal);
        for (int i = 0; i < s_mutations; i++)
        {
            int which = i % files[0].Length;
            string path = files[0][which];
            string change = Mutation.Apply(path, files[1][which], random);
            string? refusal = await FindRefusalAsync(host, sandboxes[0].Id);
            Assert.True(refusal is not null, $"seed {seed}, mutation {i}: {path} was accepted after '{change}'");
            string kind = change.Split(' ')[0];
            refused[kind] = refused.GetValueOrDefault(kind) + 1;
            File.Copy(copies[which], path, overwrite: true);
            if (i % 50 == 0)
            {
                refusal = await FindRefusalAsync(host, sandboxes[0].Id);
                Assert.True(refusal is null, $"seed {seed}, mutation {i}: {path} was put back, and refused: {refusal}");
            }
        }

        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{s_mutations} mutations of {files[0].Length} files, all refused: {string.Join(", ", refused.Select(static entry => $"{entry.Value} {entry.Key}"))}; seed {seed}"));
        await CheckAsync(sandboxes[0], s_memory);
        await Task.WhenAll(sandboxes.Select(static sandbox => sandbox.DeleteAsync()));
    }

    /// <summary>The same through a wake: what cannot be trusted is not used, what can is, and a backup that is put back makes it good again.</summary>
    [SkippableTheory]
    [InlineData("memory", true)]
    [InlineData("device-state", true)]
    [InlineData("layer", false)]
    [InlineData("snapshot", false)]
    public async Task Wake_WithADamagedFile_UsesTheDisksOrNothing(string damaged, bool boots)
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        Sandbox sandbox = await SaveAsync(host);
        string path = FilesOf(host, sandbox).Last(path => damaged switch
        {
            "layer" => path.StartsWith(state.Layers, StringComparison.Ordinal),
            "snapshot" => path.StartsWith(state.Snapshots, StringComparison.Ordinal) && path.EndsWith(".json", StringComparison.Ordinal),
            _ => Path.GetFileName(path) == damaged,
        });
        byte[] good = await File.ReadAllBytesAsync(path);
        byte[] bad = [.. good];
        bad[bad.Length / 2] ^= 4;
        await File.WriteAllBytesAsync(path, bad);

        await Assert.ThrowsAsync<SandboxSnapshotException>(() => sandbox.WakeAsync(s_memory, Deadline()));
        Assert.Equal(SandboxState.Hibernated, sandbox.State);
        if (boots)
        {
            SandboxWake woken = await sandbox.WakeAsync(cancellationToken: Deadline());
            Assert.False(woken.MemoryRestored);
            Assert.NotEmpty(woken.Reasons);
            Assert.Equal("disk\n", (await sandbox.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
        }
        else
        {
            await Assert.ThrowsAsync<SandboxSnapshotException>(() => sandbox.WakeAsync(cancellationToken: Deadline()));
            await File.WriteAllBytesAsync(path, good);
            await CheckAsync(sandbox, s_memory);
        }

        await sandbox.DeleteAsync();
    }

    private static async Task<Sandbox> SaveAsync(SandboxHost host)
    {
        Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());
        await sandbox.ExecAsync("echo memory > /dev/shm/file; echo disk > /workspace/file; head -c 300000 /dev/urandom > ~/random", cancellationToken: Deadline());
        SandboxHibernation saved = await sandbox.HibernateAsync(Deadline());

        // Only with the digests of its layers can a copy be told from damage; they are computed after the acknowledgement.
        await ExecTests.UntilAsync(() => Task.FromResult(host.Store.LoadSnapshot(saved.SnapshotId).Disks.All()
            .SelectMany(static chain => chain.Layers).All(static layer => layer.File?.Sha256 is not null)));
        return sandbox;
    }

    private static async Task CheckAsync(Sandbox sandbox, WakeOptions options)
    {
        Assert.True((await sandbox.WakeAsync(options, Deadline())).MemoryRestored);
        Assert.Equal("memory\ndisk\n", (await sandbox.ExecAsync("cat /dev/shm/file /workspace/file", cancellationToken: Deadline())).StandardOutput);
    }

    private static string[] FilesOf(SandboxHost host, Sandbox sandbox)
    {
        SandboxManifest manifest = host.Store.LoadSandbox(sandbox.Id);
        return
        [
            host.Store.Layout.SandboxManifest(sandbox.Id),
            .. Directory.GetFiles(host.Store.Layout.Snapshot(manifest.SnapshotId!)).Order(StringComparer.Ordinal),
            .. manifest.Disks.All().SelectMany(static chain => chain.Layers).Select(layer => host.Store.Layout.Layer(layer.Id)),
        ];
    }

    /// <summary>Does what another host does with a saved sandbox up to the first instruction of its guest.</summary>
    /// <returns>Why it is refused; nothing if it would run with its memory.</returns>
    private static async Task<string?> FindRefusalAsync(SandboxHost host, string id)
    {
        SandboxManifest manifest;
        try
        {
            manifest = host.Store.LoadSandbox(id);
        }
        catch (IOException refused)
        {
            return refused.Message;
        }

        try
        {
            using SavedSandbox saved = await host.OpenSavedAsync(manifest.SnapshotId!, manifest.Disks, Deadline());
            if (saved.Memory is null)
            {
                return Assert.Single(saved.Reasons);
            }

            SavedFile memory = saved.Manifest.Memory!.Memory;
            using Microsoft.Win32.SafeHandles.SafeFileHandle file = host.Store.OpenSnapshotFileUnchecked(manifest.SnapshotId!, memory);
            await MemoryFileReader.VerifyAsync(file, memory.Bytes, SavedMachine.LayoutOf(saved.Golden.Shape), memory.Sha256, Deadline());
            return null;
        }
        catch (Exception refused) when (refused is SandboxSnapshotException or MemoryFileException)
        {
            return refused.Message;
        }
    }

    private static CancellationToken Deadline(int seconds = 60) => ExecTests.Deadline(seconds);
}
