using System.Diagnostics;
using OpenSandbox.DetachedHost;
using OpenSandbox.Vmm.Processes;
using OpenSandbox.Vmm.Qemu;
using Xunit.Abstractions;

namespace OpenSandbox.Integration.Tests;

/// <summary>Detached VMs whose host process has been killed.</summary>
[Collection(HostFixture.Collection)]
public sealed class DetachedHostTests(HostFixture fixture, ITestOutputHelper output)
{
    private const int SIGHUP = 1;
    private const int SIGINT = 2;
    private const int SIGKILL = 9;
    private const int SIGTERM = 15;
    private static readonly SandboxSpec s_default = new();
    private static readonly SandboxSpec s_empty = new() { Image = null };

    [SkippableTheory]
    [InlineData(SIGKILL, false)]
    [InlineData(SIGTERM, false)]
    [InlineData(SIGINT, true)]
    [InlineData(SIGHUP, true)]
    [InlineData(SIGKILL, true)]
    public async Task HostProcess_Killed_ItsVmsGoOnAndAreAdopted(int signal, bool wholeGroup)
    {
        SandboxHost host = fixture.HostWithImage;
        using DetachedHostProcess other = DetachedHostProcess.Start("keep", 2, s_default.Image!);
        List<(string Id, VmRecord Record)> records = await other.ReadRecordsAsync(DetachedTests.Deadline());
        try
        {
            await other.KillAsync(signal, wholeGroup);

            foreach ((string id, VmRecord record) in records)
            {
                await using DetachedGuest guest = await DetachedGuest.AdoptAsync(host, s_default, id, record, DetachedTests.Deadline(30));
                Assert.Equal((0, "42\n"), await guest.ExecAsync(["sh", "-c", "echo 42"], DetachedTests.Deadline()));
            }

            Assert.All(records, static vm => Assert.False(DetachedTests.IsRunning(vm.Record)));
            Assert.All(records, static vm => Assert.False(Directory.Exists(vm.Record.RuntimeDirectory)));
        }
        finally
        {
            await SweepAsync(host, records);
        }
    }

    [SkippableFact]
    public async Task HostProcess_KilledWithTwentyVms_AllAreAdoptedAtOnce()
    {
        const int count = 20;
        SandboxHost host = fixture.HostWithImage;
        using DetachedHostProcess other = DetachedHostProcess.Start("keep", count, s_default.Image!);
        List<(string Id, VmRecord Record)> records = await other.ReadRecordsAsync(DetachedTests.Deadline(180));
        var guests = new List<DetachedGuest>();
        try
        {
            Assert.Equal(count, records.Count);
            Assert.All(records, vm => Assert.False(DetachedTests.CanLock(host, vm.Record.Uid)));
            await other.KillAsync(SIGKILL);

            var watch = Stopwatch.StartNew();
            DetachedGuest[] all = await Task.WhenAll(records.Select(
                vm => DetachedGuest.AdoptAsync(host, s_default, vm.Id, vm.Record, DetachedTests.Deadline(60))));
            TimeSpan adopted = watch.Elapsed;
            guests.AddRange(all);
            output.WriteLine($"{count} VMs adopted in {adopted.TotalMilliseconds:0} ms");

            // Their owner is gone, and still no uid of theirs is to be had.
            Assert.All(records, vm => Assert.False(DetachedTests.CanLock(host, vm.Record.Uid)));
            (int? ExitCode, string Output)[] results = await Task.WhenAll(all.Select(
                static guest => guest.ExecAsync(["sh", "-c", "echo 42"], DetachedTests.Deadline())));
            Assert.All(results, static result => Assert.Equal((0, "42\n"), result));
            Assert.True(adopted < TimeSpan.FromSeconds(10), $"adopting {count} VMs took {adopted}");
        }
        finally
        {
            foreach (DetachedGuest guest in guests)
            {
                await guest.DisposeAsync();
            }

            await SweepAsync(host, records);
        }

        Assert.All(records, vm => Assert.True(DetachedTests.CanLock(host, vm.Record.Uid)));
        Assert.All(records, static vm => Assert.False(DetachedTests.IsRunning(vm.Record)));
    }

    [SkippableFact]
    public async Task HostProcess_KilledBetweenSpawnAndRecord_LeavesNoQemu()
    {
        SandboxHost host = fixture.Host;
        int unrecorded = 0;
        for (int round = 0; round < 5; round++)
        {
            using DetachedHostProcess other = DetachedHostProcess.Start("vanish", 3, "-");
            List<(string Id, string Nonce)> vms = await other.ReadNoncesAsync(DetachedTests.Deadline());
            await other.WaitAsync();
            Assert.Equal(3, vms.Count);
            foreach ((string id, string nonce) in vms)
            {
                string directory = DetachedGuest.DirectoryOf(host, id);
                if (File.Exists(Path.Combine(directory, "record.json")))
                {
                    // Of those before the last some have got as far: they are found, and ended, by their directory.
                    Assert.True(await VmSweeper.SweepAsync(host.Context, directory, DetachedTests.Deadline()));
                }
                else
                {
                    unrecorded++;
                }

                await ExecTests.UntilAsync(() => Task.FromResult(!IsAnywhere(nonce)));
                Assert.True(await VmSweeper.SweepAsync(host.Context, directory, DetachedTests.Deadline()));
                Assert.False(Directory.Exists(directory));
            }
        }

        output.WriteLine($"{unrecorded} of 15 were not recorded");
        Assert.True(unrecorded > 0, "no VM was caught before its record");
    }

    private static bool IsAnywhere(string nonce) => Directory.EnumerateDirectories("/proc")
        .Select(static path => int.TryParse(Path.GetFileName(path), out int pid) ? pid : 0)
        .Any(pid => pid > 0 && ProcessFacts.HasArgument(pid, VmDetachment.NameOf(nonce)));

    private static async Task SweepAsync(SandboxHost host, List<(string Id, VmRecord Record)> records)
    {
        foreach ((_, VmRecord record) in records)
        {
            await VmSweeper.SweepAsync(host.Context, record, DetachedTests.Deadline(30));
        }
    }
}
