using System.Globalization;
using OpenSandbox.Vmm;

namespace OpenSandbox.FaultHost;

/// <summary>Many detached sandboxes under load: in each a process writes numbered lines, to its output and durably to a file.</summary>
internal static class Crowd
{
    private const string Writer = """
        import os, time
        i = 0
        with open('/workspace/lines', 'w') as f:
            while True:
                i += 1
                f.write(f'{i}\n')
                f.flush()
                os.fsync(f.fileno())
                print(i, flush=True)
                time.sleep(0.05)
        """;

    private const int LinesBefore = 20;

    /// <summary>Makes them, says <c>made SANDBOX PROCESS</c> for each, reads all their output, and says <c>under-load</c> when all have written.</summary>
    internal static async Task KeepAsync(SandboxHost host, int count, Action<string> say, CancellationToken cancellationToken)
    {
        var written = new Task[count];
        await Parallel.ForEachAsync(
            Enumerable.Range(0, count),
            new ParallelOptions { MaxDegreeOfParallelism = 2, CancellationToken = cancellationToken },
            async (number, token) =>
            {
                Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Lifetime = SandboxLifetime.Detached }, token);
                SandboxProcess process = await sandbox.StartAsync(
                    ["python3", "-c", Writer], new StartOptions { Detached = true, Input = ProcessInput.Null }, token);
                say(string.Create(CultureInfo.InvariantCulture, $"made {sandbox.Id} {process.Id}"));
                var enough = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                written[number] = enough.Task;
                _ = ReadAsync(process, enough, cancellationToken);
            });
        await Task.WhenAll(written);
        say("under-load");
        await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
    }

    private static async Task ReadAsync(SandboxProcess process, TaskCompletionSource enough, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[4_096];
        int lines = 0;
        try
        {
            while (await process.ReadAsync(buffer, cancellationToken) is { IsEnd: false } output)
            {
                lines += buffer.AsSpan(0, output.Count).Count((byte)'\n');
                if (lines >= LinesBefore)
                {
                    enough.TrySetResult();
                }
            }

            enough.TrySetException(new InvalidOperationException("a writer ended"));
        }
        catch (Exception failure) when (failure is SandboxException or OperationCanceledException)
        {
            enough.TrySetException(failure);
        }
    }
}
