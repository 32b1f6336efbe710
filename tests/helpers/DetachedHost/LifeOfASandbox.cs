using System.Globalization;
using OpenSandbox.Vmm;

namespace OpenSandbox.DetachedHost;

/// <summary>
/// Everything that a host does in the life of a sandbox, as whatever user this process is, under TCG: <c>life LEVEL</c>, a level or
/// <c>best</c>. Prints <c>isolation</c> lines and a line <c>ok STEP</c> for each step; a step that fails ends the process.
/// </summary>
internal static class LifeOfASandbox
{
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(4);

    internal static async Task<int> RunAsync(string level)
    {
        using var deadline = new CancellationTokenSource(s_limit);
        CancellationToken token = deadline.Token;
        var options = new SandboxHostOptions
        {
            Accelerator = AcceleratorChoice.Tcg,
            Isolation = level == "best" ? IsolationRequirement.BestEffort : Enum.Parse<IsolationLevel>(level, ignoreCase: true),
        };
        await using SandboxHost host = await SandboxHost.StartAsync(options, cancellationToken: token);
        Say("start");
        await LiveAsync(host, token);
        string id = await DetachAsync(host, token);
        await host.DisposeAsync();
        Say("release");

        await using SandboxHost next = await SandboxHost.StartAsync(options, cancellationToken: token);
        RecoveryReport found = await next.RecoverAsync(token);
        Sandbox adopted = found.Adopted.Single(sandbox => sandbox.Id == id);
        Require((await adopted.ExecAsync(["cat", "/dev/shm/kept"], cancellationToken: token)).StandardOutput == "kept", "the guest's memory was lost");
        Report("adopted", adopted);
        Say("adopt");
        await adopted.HibernateAsync(token);
        Require((await adopted.WakeAsync(cancellationToken: token)).MemoryRestored, "the adopted one came back without its memory");
        Report("rewoken", adopted);
        Say("adopted-hibernate");
        await adopted.DeleteAsync(token);
        Say("delete");
        return 0;
    }

    private static async Task LiveAsync(SandboxHost host, CancellationToken token)
    {
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: token);
        Report("created", sandbox);
        Say("create");

        ExecResult hello = await sandbox.ExecAsync("echo hello; printf kept > /dev/shm/kept", cancellationToken: token);
        Require(hello.StandardOutput == "hello\n" && hello.ExitCode == 0, hello.StandardOutput + hello.StandardError);
        Say("exec");

        await sandbox.Files.WriteAsync("/workspace/file", "content"u8.ToArray(), cancellationToken: token);
        using var read = new MemoryStream();
        await sandbox.Files.ReadAsync("/workspace/file", read, cancellationToken: token);
        Require(read.ToArray().AsSpan().SequenceEqual("content"u8), "the file has other content");
        Say("files");

        await sandbox.HibernateAsync(token);
        SandboxWake woken = await sandbox.WakeAsync(cancellationToken: token);
        Require(woken.MemoryRestored, string.Join("; ", woken.Reasons));
        Require((await sandbox.ExecAsync(["cat", "/dev/shm/kept"], cancellationToken: token)).StandardOutput == "kept", "the guest's memory was lost");
        Report("woken", sandbox);
        Say("hibernate");

        SandboxCheckpoint checkpoint = await sandbox.CheckpointAsync(cancellationToken: token);
        Say("checkpoint");
        await using Sandbox fork = (await sandbox.ForkAsync(cancellationToken: token)).Single();
        Require((await fork.ExecAsync(["cat", "/dev/shm/kept"], cancellationToken: token)).StandardOutput == "kept", "the fork has other memory");
        Report("forked", fork);
        Say("fork");

        await sandbox.ExecAsync(["rm", "/dev/shm/kept"], cancellationToken: token);
        SandboxWake restored = await sandbox.RestoreAsync(checkpoint.Id, cancellationToken: token);
        Require(restored.MemoryRestored, string.Join("; ", restored.Reasons));
        Require((await sandbox.ExecAsync(["cat", "/dev/shm/kept"], cancellationToken: token)).StandardOutput == "kept", "the checkpoint has other memory");
        Say("restore");

        await sandbox.ResizeAsync(new SandboxResize { MemoryMib = 768 }, token);
        await sandbox.ResizeAsync(new SandboxResize { MemoryMib = 512 }, token);
        Say("resize");
        await sandbox.DeleteAsync(token);
    }

    private static async Task<string> DetachAsync(SandboxHost host, CancellationToken token)
    {
        Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Lifetime = SandboxLifetime.Detached }, token);
        await sandbox.ExecAsync("printf kept > /dev/shm/kept", cancellationToken: token);
        Report("detached", sandbox);
        Say("detach");
        return sandbox.Id;
    }

    private static void Report(string what, Sandbox sandbox)
    {
        SandboxIsolation isolation = sandbox.Isolation ?? throw new InvalidOperationException("it runs, and has no isolation");
        string missing = string.Join(';', isolation.Missing.Select(static state => state.Control));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"isolation {what} {isolation.Level} {missing}"));
    }

    private static void Say(string step) => Console.WriteLine($"ok {step}");

    private static void Require(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new InvalidOperationException(otherwise);
        }
    }
}
