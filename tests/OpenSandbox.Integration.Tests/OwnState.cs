namespace OpenSandbox.Integration.Tests;

/// <summary>
/// A state directory of one test's own, with the images and golden snapshots of the fixture's: what a test finds and sweeps in it is its own.
/// </summary>
internal sealed class OwnState : IAsyncDisposable
{
    private static int s_next;

    private readonly string _directory = Path.Combine(HostFixture.Options.StateDirectory, "own", Guid.NewGuid().ToString("N")[..8]);

    private readonly bool _mounted;

    /// <param name="mebibytes">Room on a file system of its own, in memory. Default: on that of the fixture.</param>
    internal OwnState(int? mebibytes = null)
    {
        Directory.CreateDirectory(_directory);
        if (mebibytes is int room)
        {
            Run("mount", "-t", "tmpfs", "-o", $"size={room}m,mode=700", "tmpfs", _directory);
            _mounted = true;
        }

        foreach (string shared in (string[])["images", "golden"])
        {
            Directory.CreateSymbolicLink(Path.Combine(_directory, shared), Path.Combine(HostFixture.Options.StateDirectory, shared));
        }

        // Short: the paths of sockets in it are bounded. Hosts with runtime directories of their own have uids of their own.
        string runtime = Path.Combine("/run/opensandbox-tests", Path.GetFileName(_directory));
        Options = HostFixture.Options with
        {
            StateDirectory = _directory,
            RuntimeDirectory = runtime,
            FirstUid = 1_950_000_000 + (Interlocked.Increment(ref s_next) * 4_096) + (Environment.ProcessId % 64 * 262_144),
        };
        Directory.CreateDirectory(runtime);
    }

    internal SandboxHostOptions Options { get; }

    internal string Layers => Path.Combine(_directory, "layers");

    internal string Sandboxes => Path.Combine(_directory, "sandboxes");

    internal string Snapshots => Path.Combine(_directory, "snapshots");

    internal Task<SandboxHost> StartHostAsync() => SandboxHost.StartAsync(Options, cancellationToken: ExecTests.Deadline(240));

    /// <summary>Ends what a test has left running, also one that failed, and removes everything.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Directory.Exists(Sandboxes) && Directory.EnumerateDirectories(Sandboxes).Any())
        {
            await using SandboxHost host = await StartHostAsync();
            RecoveryReport left = await host.RecoverAsync(ExecTests.Deadline(120));
            foreach (Sandbox sandbox in left.Adopted.Concat(left.Hibernated).Concat(left.Crashed))
            {
                await sandbox.DeleteAsync();
            }
        }

        File.Delete(Path.Combine(_directory, "images"));
        File.Delete(Path.Combine(_directory, "golden"));
        if (_mounted)
        {
            Run("umount", _directory);
        }

        Directory.Delete(_directory, recursive: true);
        Directory.Delete(Options.RuntimeDirectory, recursive: true);
    }

    private static void Run(string program, params string[] arguments)
    {
        using var process = System.Diagnostics.Process.Start(program, arguments);
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {process.ExitCode}");
    }
}
