using System.Diagnostics;
using System.Net.Sockets;

namespace OpenSandbox.Qmp.Tests.Support;

/// <summary>A QEMU of this machine, stopped before its first instruction, that connects back to us.</summary>
internal sealed class RealQemu : IAsyncDisposable
{
    private const string Binary = "qemu-system-x86_64";
    private readonly Process _process;
    private readonly DirectoryInfo _directory;

    private RealQemu(Process process, DirectoryInfo directory, Socket socket)
    {
        _process = process;
        _directory = directory;
        Socket = socket;
    }

    /// <summary>The host's end of the QMP connection.</summary>
    internal Socket Socket { get; }

    internal int Pid => _process.Id;

    /// <summary>Starts QEMU with our listening socket to connect to, or skips the test.</summary>
    internal static async Task<RealQemu> StartAsync(params string[] extraArguments)
    {
        string? path = (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(':')
            .Select(directory => Path.Combine(directory, Binary)).FirstOrDefault(File.Exists);
        Skip.If(path is null, $"{Binary} is not installed");

        DirectoryInfo directory = Directory.CreateTempSubdirectory("qmp-test-");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        string socketPath = Path.Combine(directory.FullName, "qmp");
        listener.Bind(new UnixDomainSocketEndPoint(socketPath));
        listener.Listen(1);
        var start = new ProcessStartInfo(path!) { UseShellExecute = false, RedirectStandardError = true, RedirectStandardInput = true };
        string[] arguments =
        [
            "-machine", "q35", "-accel", "tcg", "-display", "none", "-nodefaults", "-no-user-config", "-S", "-m", "64",
            "-chardev", $"socket,id=qmp,path={socketPath}", "-mon", "chardev=qmp,mode=control", .. extraArguments,
        ];
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        Process process = Process.Start(start)!;
        try
        {
            using var deadline = new CancellationTokenSource(Deadlines.Limit);
            Task exited = process.WaitForExitAsync(deadline.Token);
            Task<Socket> accepted = listener.AcceptAsync(deadline.Token).AsTask();
            if (await Task.WhenAny(exited, accepted) == exited)
            {
                throw new InvalidOperationException($"QEMU did not start: {await process.StandardError.ReadToEndAsync(deadline.Token)}");
            }

            return new RealQemu(process, directory, await accepted);
        }
        catch
        {
            process.Kill();
            process.Dispose();
            directory.Delete(recursive: true);
            throw;
        }
    }

    internal Task WaitForExitAsync() => _process.WaitForExitAsync().Soon();

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync().Soon();
        }

        _process.Dispose();
        Socket.Dispose();
        _directory.Delete(recursive: true);
    }
}
