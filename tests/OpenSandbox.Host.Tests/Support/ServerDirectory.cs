namespace OpenSandbox.Host.Tests;

/// <summary>A state directory of one server's own, with the images and golden snapshots of all tests: what is found in it is its own.</summary>
internal sealed class ServerDirectory : IAsyncDisposable
{
    private static readonly SandboxHostOptions s_shared = new();
    private static int s_next;

    private readonly string _directory = Path.Combine(s_shared.StateDirectory, "own", Guid.NewGuid().ToString("N")[..8]);

    internal ServerDirectory()
    {
        Directory.CreateDirectory(_directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        Directory.CreateDirectory(Path.Combine(s_shared.StateDirectory, "golden"), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        foreach (string shared in (string[])["images", "golden"])
        {
            Directory.CreateSymbolicLink(Path.Combine(_directory, shared), Path.Combine(s_shared.StateDirectory, shared));
        }

        // Short: the paths of sockets in it are bounded. Hosts with runtime directories of their own have uids of their own.
        string runtime = Path.Combine("/run/opensandbox-tests", Path.GetFileName(_directory));
        Options = s_shared with
        {
            StateDirectory = _directory,
            RuntimeDirectory = runtime,
            FirstUid = 1_980_000_000 + (Interlocked.Increment(ref s_next) * 4_096) + (Environment.ProcessId % 64 * 262_144),
        };
        Directory.CreateDirectory(runtime);
    }

    /// <summary>A new one, for who disposes of it asynchronously.</summary>
    internal static ServerDirectory Make() => new();

    internal SandboxHostOptions Options { get; }

    internal string StatePath => _directory;

    /// <summary>Why no server can make sandboxes here, or null.</summary>
    internal static string? MissingPrerequisite =>
        !File.Exists(s_shared.QemuPath) ? "QEMU is not installed (apt-get install qemu-system-x86)"
        : !File.Exists(Path.Combine(s_shared.AssetsDirectory, "launcher")) ? $"no guest assets in {s_shared.AssetsDirectory} (scripts/build-assets.sh)"
        : !Directory.Exists(Path.Combine(s_shared.StateDirectory, "images")) ? "the default image is not built (opensandbox image build)"
        : null;

    /// <summary>Ends what tests have left running and removes everything.</summary>
    public async ValueTask DisposeAsync()
    {
        string sandboxes = Path.Combine(_directory, "sandboxes");
        if (Directory.Exists(sandboxes) && Directory.EnumerateDirectories(sandboxes).Any())
        {
            await using SandboxHost host = await SandboxHost.StartAsync(Options, cancellationToken: Deadline.In(240));
            RecoveryReport left = await host.RecoverAsync(Deadline.In());
            foreach (Sandbox sandbox in left.Adopted.Concat(left.Hibernated).Concat(left.Crashed))
            {
                await sandbox.DeleteAsync(Deadline.In());
            }
        }

        File.Delete(Path.Combine(_directory, "images"));
        File.Delete(Path.Combine(_directory, "golden"));
        Directory.Delete(_directory, recursive: true);
        Directory.Delete(Options.RuntimeDirectory, recursive: true);
    }
}
