using System.Globalization;

namespace OpenSandbox.Integration.Tests;

/// <summary>Copies of a running sandbox.</summary>
[Collection(HostFixture.Collection)]
public sealed class ForkTests(HostFixture fixture)
{
    private const string Counter = """
        import os, time
        i = 0
        while True:
            i += 1
            open('/tmp/count.new', 'w').write(str(i))
            os.replace('/tmp/count.new', '/tmp/count')
            open('/workspace/count', 'w').write(str(i))
            time.sleep(0.01)
        """;

    [SkippableFact]
    public async Task Fork_RunningProcessMemoryAndFiles_GoOnInEveryCopyByThemselves()
    {
        await using Sandbox parent = await fixture.HostWithImage.CreateAsync(cancellationToken: Deadline());
        SandboxProcess counter = await parent.StartAsync(["python3", "-c", Counter], cancellationToken: Deadline());
        await ExecTests.UntilAsync(async () => await CountAsync(parent) > 5);
        await parent.ExecAsync("echo before > /workspace/file; head -c 5000000 /dev/urandom > /dev/shm/data", cancellationToken: Deadline());
        string digest = (await parent.ExecAsync("sha256sum < /dev/shm/data", cancellationToken: Deadline())).StandardOutput;

        IReadOnlyList<Sandbox> forks = await parent.ForkAsync(3, cancellationToken: Deadline(60));

        try
        {
            await parent.ExecAsync("echo parent > /workspace/file", cancellationToken: Deadline());
            foreach (Sandbox fork in forks)
            {
                Assert.Equal(digest, (await fork.ExecAsync("sha256sum < /dev/shm/data", cancellationToken: Deadline())).StandardOutput);
                Assert.Equal("before\n", (await fork.ExecAsync("cat /workspace/file; echo " + fork.Id + " > /workspace/file", cancellationToken: Deadline())).StandardOutput);
                Assert.Equal(fork.Id + "\n", (await fork.ExecAsync("hostname", cancellationToken: Deadline())).StandardOutput);
                int first = await CountAsync(fork);
                await ExecTests.UntilAsync(async () => await CountAsync(fork) > first + 5);
            }

            string[] machines = await Task.WhenAll(forks.Append(parent).Select(async one => (await one.ExecAsync("cat /etc/machine-id", cancellationToken: Deadline())).StandardOutput));
            Assert.Equal(4, machines.Distinct().Count());
            int still = await CountAsync(parent);
            await ExecTests.UntilAsync(async () => await CountAsync(parent) > still + 5);
            Assert.Equal("parent\n", (await parent.ExecAsync("cat /workspace/file", cancellationToken: Deadline())).StandardOutput);
        }
        finally
        {
            foreach (Sandbox fork in forks)
            {
                await fork.DisposeAsync();
            }
        }

        await counter.DisposeAsync();
    }

    private static CancellationToken Deadline(int seconds = 30) => ExecTests.Deadline(seconds);

    private static async Task<int> CountAsync(Sandbox sandbox)
    {
        ExecResult read = await sandbox.ExecAsync("cat /tmp/count", cancellationToken: Deadline());
        return int.TryParse(read.StandardOutput, CultureInfo.InvariantCulture, out int count) ? count : 0;
    }
}
