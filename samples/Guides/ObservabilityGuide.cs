using OpenSandbox.Vmm;

namespace Guides;

/// <summary>The code of docs/observability.md.</summary>
internal static class ObservabilityGuide
{
    internal static async Task WatchAsync(SandboxHost host, CancellationToken cancellationToken)
    {
        using SandboxEventSubscription events = host.SubscribeEvents();
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: cancellationToken);
        await foreach (SandboxEvent happened in events.WithCancellation(cancellationToken))
        {
            Console.WriteLine($"{happened.Sequence} {happened.At:O} {happened.SandboxId} {happened.Kind} {string.Join("; ", happened.Reasons)}");
            if (happened.Kind == SandboxEventKind.Ready)
            {
                break;
            }
        }
    }
}
