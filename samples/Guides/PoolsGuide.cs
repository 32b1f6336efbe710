using OpenSandbox.Vmm;

namespace Guides;

internal static class PoolsGuide
{
    internal static async Task FillAsync(CancellationToken stop)
    {
        await using SandboxHost host = await SandboxHost.StartAsync(
            new SandboxHostOptions
            {
                Pools = [new SandboxPoolOptions { HotTarget = 4, ParkedTarget = 8, Adaptive = true, HotMinimum = 1 }],
            },
            cancellationToken: stop);
        await host.WaitForPoolsAsync(stop);
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: stop);

        foreach (SandboxPoolStatistics pool in host.PoolStatistics)
        {
            Console.WriteLine($"{pool.Image}: {pool.Hot} hot, {pool.Parked} parked; {pool.HotClaims} + {pool.ParkedClaims} served, {pool.Misses} missed");
        }
    }
}
