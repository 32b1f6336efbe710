// The code of docs/processes.md, which a test compares with this file.
using System.Text;
using OpenSandbox.Vmm;

await using SandboxHost host = await SandboxHost.StartAsync();
await using Sandbox sandbox = await host.CreateAsync();
await ConverseAsync();
await DetachAsync();
await UseTerminalAsync();
await UseShellAsync();
await ShowUsageAsync();

async Task ConverseAsync()
{
    await using SandboxProcess process = await sandbox.StartAsync(["sort"]);
    await process.WriteAsync("b\na\n"u8.ToArray());
    await process.CompleteInputAsync();
    byte[] buffer = new byte[65_536];
    SandboxOutput piece;
    while (!(piece = await process.ReadAsync(buffer)).IsEnd)
    {
        Console.Write(Encoding.UTF8.GetString(buffer, 0, piece.Count));
    }

    SandboxProcessExit exit = await process.WaitAsync();
    Console.WriteLine(exit.ExitCode);
}

async Task DetachAsync()
{
    SandboxProcess server = await sandbox.StartAsync("while sleep 1; do date; done", new StartOptions { Detached = true });
    string id = server.Id;
    await server.DisposeAsync(); // it goes on

    await using SandboxProcess again = await sandbox.Processes.AttachAsync(id);
    byte[] buffer = new byte[4_096];
    SandboxOutput first = await again.ReadAsync(buffer);
    Console.WriteLine(first.Sequence < again.ReplayEnd ? "replayed" : "live");

    SandboxProcessLog log = await sandbox.Processes.ReadLogAsync(id, offset: 0);
    Console.WriteLine($"{log.Bytes.Length} bytes, next {log.NextOffset}");
    await sandbox.Processes.KillAsync(id);
}

async Task UseTerminalAsync()
{
    await using SandboxProcess terminal = await sandbox.StartAsync(
        ["bash"], new StartOptions { Terminal = new TerminalOptions { Columns = 120, Rows = 40 } });
    await terminal.WriteAsync("stty size; exit\n"u8.ToArray());
    await terminal.ResizeTerminalAsync(100, 30);
    await terminal.WaitAsync();
}

async Task UseShellAsync()
{
    await using SandboxShell shell = await sandbox.OpenShellAsync();
    await shell.RunAsync("cd /tmp && export NAME=value");
    ShellResult result = await shell.RunAsync("pwd; echo $NAME", new ShellRunOptions { Timeout = TimeSpan.FromSeconds(10) });
    Console.Write(result.StandardOutput);
}

async Task ShowUsageAsync()
{
    var limits = new ProcessLimits { CpuTime = TimeSpan.FromSeconds(60), OpenFiles = 1_000 };
    await using SandboxProcess process = await sandbox.StartAsync(["true"], new StartOptions { Limits = limits });
    SandboxUsage usage = await sandbox.GetUsageAsync();
    Console.WriteLine($"{usage.CpuTime}, {usage.MemoryBytes} of {usage.MemoryLimitBytes} bytes, {usage.Processes} processes");
}
