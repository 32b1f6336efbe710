using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Running;

/// <summary>A host of this process, for verbs that need one only as long as they run.</summary>
internal static class OwnHost
{
    /// <summary>Starts a host, does something with it, and ends it.</summary>
    internal static async Task<T> UseAsync<T>(SandboxHostOptions options, CommandContext context, Func<SandboxHost, CancellationToken, Task<T>> use)
    {
        var steps = new Steps(context.Errors);
        await using (steps.ConfigureAwait(false))
        {
            using var logger = new StepLogger(steps, context.Errors, context.Errors.Debug);
            SandboxHost host = await SandboxHost.StartAsync(options, logger, context.Signals.Token).ConfigureAwait(false);
            await using (host.ConfigureAwait(false))
            {
                await steps.DisposeAsync().ConfigureAwait(false);
                return await use(host, context.Signals.Token).ConfigureAwait(false);
            }
        }
    }
}
