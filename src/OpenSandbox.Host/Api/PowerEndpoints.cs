using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>Starting a sandbox anew on its disks: reboot and power cycle.</summary>
/// <remarks>
/// Both are the same here: the machine is put away with its file systems synced, and a fresh one from the golden snapshot takes over the disks.
/// Processes and <c>/tmp</c> are lost, files stay.
/// </remarks>
internal sealed class PowerEndpoints(SandboxService sandboxes)
{
    private const int Attempts = 3;

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/sandboxes/{id}/reboot", RestartAsync);
        routes.MapPost("/api/sandboxes/{id}/power-cycle", RestartAsync);
    }

    private async Task RestartAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        for (int attempt = 1; ; attempt++)
        {
            // Whoever has begun to restart it ends it: half-way it would be asleep.
            if (await sandboxes.Gates.RunAsync(sandbox.Id, () => RestartAsync(sandbox), context.RequestAborted).ConfigureAwait(false))
            {
                break;
            }

            if (attempt == Attempts)
            {
                throw new ApiException(StatusCodes.Status409Conflict, $"sandbox {sandbox.Id} was woken by its use while it was being restarted")
                {
                    Code = "conflict",
                    Retryable = true,
                    RetryAfter = 1,
                };
            }
        }

        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    /// <returns>Whether it is a new machine; not if a call that came in between has woken the old one.</returns>
    private static async Task<bool> RestartAsync(Sandbox sandbox)
    {
        if (sandbox.State == SandboxState.Paused)
        {
            await sandbox.ResumeAsync(CancellationToken.None).ConfigureAwait(false);
        }

        if (sandbox.State is not (SandboxState.Hibernated or SandboxState.Crashed))
        {
            await sandbox.HibernateAsync(CancellationToken.None).ConfigureAwait(false);
        }

        SandboxWake woken = await sandbox.WakeAsync(new WakeOptions { FromDisk = true }, CancellationToken.None).ConfigureAwait(false);
        return !woken.MemoryRestored;
    }
}
