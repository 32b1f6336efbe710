using System.Diagnostics;
using System.Globalization;

namespace OpenSandbox.Integration.Tests;

/// <summary>R3: a writer in a sandbox that is put away and woken again and again.</summary>
[Collection(HostFixture.Collection)]
public sealed class CycleTests(HostFixture fixture)
{
    // Every finished file has its own name in it, under a name that it gets when it is complete.
    private const string Writer = """
        import os
        i = 0
        while True:
            i += 1
            with open('/workspace/files/.tmp', 'w') as f:
                f.write(f'{i}\n' * 100)
                f.flush()
                os.fsync(f.fileno())
            os.rename('/workspace/files/.tmp', f'/workspace/files/{i}')
        """;

    private const string Check = """
        import os
        def listed():
            return {int(name) for name in os.listdir('/workspace/files') if name[0] != '.'}
        end = max(listed(), default=0) # a list that is made while the writer goes on may miss a file before one that it has
        names = sorted(number for number in listed() if number <= end)
        bad = [i for i in names if open(f'/workspace/files/{i}').read() != f'{i}\n' * 100]
        print(len(names), names == list(range(1, len(names) + 1)), bad)
        """;

    private static readonly bool s_long = Environment.GetEnvironmentVariable("OPENSANDBOX_TEST_CASES") is { Length: > 0 };
    private static readonly int s_cycles = s_long ? 1_000 : 200;
    private static readonly int s_checks = s_long ? 1 : 20; // cycles from one check of the disks to the next

    [SkippableFact]
    public async Task HibernateAndWake_ManyTimesWithAWriter_LosesNothing()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());
        await sandbox.ExecAsync("mkdir /workspace/files", cancellationToken: Deadline());
        await sandbox.StartAsync(["python3", "-c", Writer], cancellationToken: Deadline());
        int before = 0;
        await ExecTests.UntilAsync(async () => (before = await CheckFilesAsync(sandbox, 0)) > 0);
        for (int cycle = 0; cycle < s_cycles; cycle++)
        {
            await sandbox.HibernateAsync(Deadline());
            if (cycle % s_checks == 0)
            {
                await CheckFileSystemAsync(state);
            }

            SandboxWake woken = await sandbox.WakeAsync(cancellationToken: Deadline());
            Assert.True(woken.MemoryRestored, string.Join("; ", woken.Reasons));
            Assert.Equal(0, sandbox.Channel.StrayFrames);
            if (cycle % 20 == 0)
            {
                before = await CheckFilesAsync(sandbox, before);
            }
        }

        await ExecTests.UntilAsync(async () => await CheckFilesAsync(sandbox, before) > before);

        // Layers are merged as they become many, and what is left of them goes when nothing else is under way.
        Assert.Empty((await host.RecoverAsync(Deadline())).Problems);
        Assert.InRange(Directory.GetFiles(state.Layers).Length, 1, 64);
        Assert.Equal("0\n", (await sandbox.ExecAsync(["sh", "-c", "dmesg | grep -ci 'ext4.*error'"], new ExecOptions { User = "root" }, Deadline())).StandardOutput);
    }

    private static async Task<int> CheckFilesAsync(Sandbox sandbox, int before)
    {
        ExecResult check = await sandbox.ExecAsync(["python3", "-c", Check], cancellationToken: Deadline());
        string[] words = check.StandardOutput.Split(' ', 3);
        Assert.True(words is [_, "True", "[]\n"], check.StandardOutput + check.StandardError);
        int count = int.Parse(words[0], CultureInfo.InvariantCulture);
        Assert.True(count >= before, $"{before} files before, {count} now");
        return count;
    }

    /// <summary>The disks as they were frozen, without the memory: their file systems must be clean.</summary>
    private static async Task CheckFileSystemAsync(OwnState state)
    {
        string manifest = await File.ReadAllTextAsync(Directory.GetFiles(state.Sandboxes, "manifest.json", SearchOption.AllDirectories).Single());
        System.Text.Json.JsonElement disks = System.Text.Json.JsonDocument.Parse(manifest).RootElement.GetProperty("manifest").GetProperty("disks");
        foreach (string disk in (string[])["rootfs", "workspace"])
        {
            System.Text.Json.JsonElement chain = disks.GetProperty(disk);
            string image = Path.Combine(HostFixture.Options.StateDirectory, "images", chain.GetProperty("imageDigest").GetString()!, "rootfs.raw");
            string options = $$"""{"driver":"raw","file":{{Opened(image)}} }""";
            foreach (System.Text.Json.JsonElement layer in chain.GetProperty("layers").EnumerateArray())
            {
                string file = Path.Combine(state.Layers, layer.GetProperty("id").GetString() + ".qcow2");
                options = $$"""{"driver":"qcow2","file":{{Opened(file)}},"backing":{{options}} }""";
            }

            string raw = Path.Combine(Path.GetDirectoryName(state.Layers)!, $"{disk}.raw");
            await RunAsync("qemu-img", ["convert", "-U", "-O", "raw", $"json:{options}", raw]);
            await RunAsync("e2fsck", ["-fn", raw]);
            File.Delete(raw);
        }
    }

    private static string Opened(string file) => $$"""{"driver":"file","filename":"{{file}}"}""";

    private static async Task RunAsync(string program, string[] arguments)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync(Deadline(120));
        Assert.True(process.ExitCode == 0, $"{program}: {process.ExitCode}: {error} {await output}");
    }

    private static CancellationToken Deadline(int seconds = 60) => ExecTests.Deadline(seconds);
}
