using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Host.Scaling;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>Whether and how the size of a sandbox changes by itself.</summary>
internal sealed class ScalingEndpoints(SandboxService sandboxes, ServerOptions options)
{
    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/sandboxes/{id}/scaling-lock", GetLockAsync);
        routes.MapPut("/api/sandboxes/{id}/scaling-lock", SetLockAsync);
        routes.MapGet("/api/sandboxes/{id}/autoscale", GetAutoscaleAsync);
        routes.MapPut("/api/sandboxes/{id}/autoscale", SetAutoscaleAsync);
    }

    /// <summary>Refuses to change the size of a sandbox that is locked.</summary>
    /// <exception cref="ApiException">403.</exception>
    internal static void CheckUnlocked(SandboxEntry entry)
    {
        if (entry.ScalingLocked)
        {
            throw new ApiException(StatusCodes.Status403Forbidden, $"scaling of sandbox {entry.Id} is locked: unlock it with PUT scaling-lock")
            {
                Code = "scaling_locked",
            };
        }
    }

    private Task GetLockAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        return WriteLockAsync(context, sandbox, sandboxes.EntryOf(sandbox).ScalingLocked);
    }

    private async Task SetLockAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        ScalingLockBody request = await JsonBody.ReadAsync(context, HostJsonContext.Default.ScalingLockBody).ConfigureAwait(false);
        bool locked = request.Locked ?? throw ApiException.Bad("locked is required: true or false");
        await ChangeAsync(sandbox, entry => entry with
        {
            ScalingLocked = locked,
            Autoscale = locked && entry.Autoscale is { } settings ? settings with { Enabled = false } : entry.Autoscale,
        }).ConfigureAwait(false);
        await WriteLockAsync(context, sandbox, locked).ConfigureAwait(false);
    }

    private Task GetAutoscaleAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        return WriteAutoscaleAsync(context, sandbox, sandboxes.EntryOf(sandbox).Autoscale);
    }

    private async Task SetAutoscaleAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        AutoscaleBody request = await JsonBody.ReadAsync(context, HostJsonContext.Default.AutoscaleBody).ConfigureAwait(false);
        bool enabled = request.Enabled ?? throw ApiException.Bad("enabled is required: true or false");
        AutoscaleSettings? settings = null;
        if (enabled)
        {
            int largest = options.Sandboxes.MaxMemoryMib;
            int low = RoundUp(request.MinMemoryMB ?? sandbox.Limits.MemoryMib);
            int high = RoundUp(request.MaxMemoryMB ?? largest);
            if (low < SandboxResize.MinMemoryMib || high > largest || low > high)
            {
                throw ApiException.Bad(
                    $"minMemoryMB of {low} and maxMemoryMB of {high}: they must be from {SandboxResize.MinMemoryMib} to {largest}, and not the other way round");
            }

            settings = new AutoscaleSettings(true, low, high);
        }

        SandboxEntry? changed = await ChangeAsync(sandbox, entry =>
        {
            if (settings is null)
            {
                return entry.Autoscale is { } old ? entry with { Autoscale = old with { Enabled = false } } : entry;
            }

            CheckUnlocked(entry);
            return entry with { Autoscale = settings };
        }).ConfigureAwait(false);
        await WriteAutoscaleAsync(context, sandbox, changed?.Autoscale).ConfigureAwait(false);
    }

    private Task<SandboxEntry?> ChangeAsync(Sandbox sandbox, Func<SandboxEntry, SandboxEntry> change) =>
        Task.Run(() => sandboxes.Entries.Change(sandbox.Id, change), CancellationToken.None);

    private static Task WriteLockAsync(HttpContext context, Sandbox sandbox, bool locked) => JsonBody.WriteAsync(
        context, new ScalingLockBody { SandboxID = sandbox.Id, Locked = locked }, HostJsonContext.Default.ScalingLockBody);

    private Task WriteAutoscaleAsync(HttpContext context, Sandbox sandbox, AutoscaleSettings? settings)
    {
        var reply = new AutoscaleBody
        {
            SandboxID = sandbox.Id,
            Enabled = settings?.Enabled ?? false,
            MinMemoryMB = settings?.MinMemoryMib ?? sandbox.Limits.MemoryMib,
            MaxMemoryMB = settings?.MaxMemoryMib ?? options.Sandboxes.MaxMemoryMib,
        };
        return JsonBody.WriteAsync(context, reply, HostJsonContext.Default.AutoscaleBody);
    }

    private static int RoundUp(int memory) =>
        (int)Math.Min(int.MaxValue, ((long)memory + AutoscaleRule.MemoryStep - 1) / AutoscaleRule.MemoryStep * AutoscaleRule.MemoryStep);
}
