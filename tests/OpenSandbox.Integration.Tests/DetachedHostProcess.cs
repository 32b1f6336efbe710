using System.Diagnostics;
using System.Text.Json;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Integration.Tests;

/// <summary>A host process with detached VMs, to be killed: see tests/helpers/DetachedHost.</summary>
internal sealed class DetachedHostProcess : IDisposable
{
    private readonly Process _process;

    private DetachedHostProcess(Process process) => _process = process;

    internal int Id => _process.Id;

    /// <summary>Starts one in a session and process group of its own, as a shell's job is.</summary>
    internal static DetachedHostProcess Start(string command, int count, string image)
    {
        string program = Path.Combine(
            AppContext.BaseDirectory, "..", "..", "OpenSandbox.DetachedHost", new DirectoryInfo(AppContext.BaseDirectory).Name, "detached-host.dll");
        Assert.True(File.Exists(program), $"{program} is not built");
        var start = new ProcessStartInfo("/usr/bin/setsid", ["dotnet", program, command, $"{count}", image])
        {
            RedirectStandardOutput = true,
            UseShellExecute = false,
        };
        return new DetachedHostProcess(Process.Start(start)!);
    }

    /// <summary>The VMs of <c>keep</c>, all of which run.</summary>
    internal async Task<List<(string Id, VmRecord Record)>> ReadRecordsAsync(CancellationToken cancellationToken)
    {
        var records = new List<(string Id, VmRecord Record)>();
        string? line;
        while ((line = await _process.StandardOutput.ReadLineAsync(cancellationToken)) != "ready")
        {
            Assert.True(line is not null, "the host process ended");
            string[] words = line.Split(' ');
            records.Add((words[1], JsonSerializer.Deserialize(Convert.FromBase64String(words[2]), VmmJsonContext.Default.VmRecord)!));
        }

        return records;
    }

    /// <summary>The VMs of <c>vanish</c>, which is over then: their ids and nonces.</summary>
    internal async Task<List<(string Id, string Nonce)>> ReadNoncesAsync(CancellationToken cancellationToken)
    {
        string all = await _process.StandardOutput.ReadToEndAsync(cancellationToken);
        return [.. all.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(static line => line.Split(' ')).Select(static words => (words[1], words[2]))];
    }

    /// <summary>Sends a signal to the process, or to its whole group, and waits for its end.</summary>
    internal async Task KillAsync(int signal, bool wholeGroup = false)
    {
        Assert.Equal(0, LifecycleTests.Kill(wholeGroup ? -Id : Id, signal));
        await WaitAsync();
    }

    internal Task WaitAsync() => _process.WaitForExitAsync(ExecTests.Deadline(60));

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.Dispose();
    }
}
