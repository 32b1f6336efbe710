using System.Diagnostics.CodeAnalysis;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Records;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Sandboxes;

/// <summary>The sandboxes that the server serves: the library's, each with its entry. Thread-safe.</summary>
internal sealed partial class SandboxService(SandboxHost host, EntryStore entries, ServerOptions options, ILogger<SandboxService> logger) : IDisposable
{
    /// <summary>Why a sandbox ended whose client has asked for it.</summary>
    private const string Deleted = "it was deleted";

    /// <summary>
    /// More machines that start at the same time than the processors can drive all become ready at the end, and some too late: those that come
    /// first are made first.
    /// </summary>
    private static readonly int s_startsAtOnce = Math.Max(4, 2 * Environment.ProcessorCount);

    private readonly SemaphoreSlim _starts = new(s_startsAtOnce);

    /// <summary>The library's host.</summary>
    internal SandboxHost Host => host;

    /// <summary>What the server knows beside it.</summary>
    internal EntryStore Entries => entries;

    /// <summary>For changes of a sandbox as a whole that must not come together.</summary>
    internal SandboxGates Gates { get; } = new();

    /// <inheritdoc/>
    public void Dispose()
    {
        _stopping.Cancel();
        _stopping.Dispose();
        _starts.Dispose();
    }

    /// <summary>Makes a sandbox and its entry: usable when this returns, and known to the next server.</summary>
    /// <exception cref="SandboxException">The library could not make it.</exception>
    internal Task<(Sandbox Sandbox, SandboxEntry Entry)> CreateAsync(
        SandboxSpec spec, Func<Sandbox, SandboxEntry> describe, CancellationToken cancellationToken) =>
        AdoptAsync(() => host.CreateAsync(spec, cancellationToken), describe, cancellationToken);

    /// <summary>Makes a sandbox in some way when it is its turn, and its entry.</summary>
    /// <exception cref="SandboxException">The library could not make it.</exception>
    internal async Task<(Sandbox Sandbox, SandboxEntry Entry)> AdoptAsync(
        Func<Task<Sandbox>> make, Func<Sandbox, SandboxEntry> describe, CancellationToken cancellationToken)
    {
        Sandbox sandbox;
        await _starts.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            sandbox = await make().ConfigureAwait(false);
        }
        finally
        {
            _starts.Release();
        }

        try
        {
            SandboxEntry entry = describe(sandbox);
            await Task.Run(() => entries.Put(entry), CancellationToken.None).ConfigureAwait(false);
            Follow(sandbox);
            return (sandbox, entry);
        }
        catch
        {
            await sandbox.DeleteAsync(CancellationToken.None).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Finds a sandbox.</summary>
    /// <exception cref="ApiException">404: there is none; 410: there was one; 503: it has not been taken over yet.</exception>
    internal Sandbox Get(string id)
    {
        if (entries.Find(id) is not { } entry)
        {
            throw ApiException.NotFound("sandbox not found"); // also of those that images are built in: they are nobody's
        }

        if (IsLeft(entry))
        {
            throw NotTakenOver(id);
        }

        return entry.EndedAt is null && host.TryGet(id, out Sandbox? sandbox) && sandbox.State is not (SandboxState.Stopping or SandboxState.Stopped)
            ? sandbox
            : throw new ApiException(StatusCodes.Status410Gone, $"sandbox {id} is stopped: {entry.EndReason ?? Deleted}");
    }

    /// <summary>The entry of a sandbox that exists.</summary>
    internal SandboxEntry EntryOf(Sandbox sandbox) => entries.Find(sandbox.Id) ?? Describe(sandbox, "base", options);

    /// <summary>Whether there is, or was, such a sandbox.</summary>
    internal bool TryGetEntry(string id, [NotNullWhen(true)] out SandboxEntry? entry) => (entry = entries.Find(id)) is not null;

    /// <summary>Ends a sandbox for good.</summary>
    internal async Task DeleteAsync(Sandbox sandbox)
    {
        // Marked first: whoever comes from here on is told that it is gone. A full disk does not keep anyone from making room.
        bool marked = await Task.Run(() => TryMarkDeleted(sandbox.Id), CancellationToken.None).ConfigureAwait(false);
        await sandbox.DeleteAsync(CancellationToken.None).ConfigureAwait(false);
        if (!marked)
        {
            await Task.Run(() => TryMarkDeleted(sandbox.Id), CancellationToken.None).ConfigureAwait(false);
        }
    }

    /// <summary>The entry of a sandbox as it is.</summary>
    internal static SandboxEntry Describe(Sandbox sandbox, string template, ServerOptions options) => new()
    {
        Id = sandbox.Id,
        TemplateId = template,
        StartedAt = sandbox.CreatedAt,
        TimeoutSeconds = (int)(sandbox.Expiry.IdleTimeout ?? TimeSpan.Zero).TotalSeconds,
        CpuCount = Math.Max(1, sandbox.Limits.CpuPercent / 100),
        MemoryMib = sandbox.Limits.MemoryMib,
    };

    private bool TryMarkDeleted(string id)
    {
        try
        {
            End(id, Deleted);
            return true;
        }
        catch (IOException failure)
        {
            HostLog.EndNotNoted(logger, id, failure);
            return false;
        }
    }

    private void End(string id, string reason)
    {
        entries.Change(id, entry => entry.EndedAt is null
            ? entry with { EndedAt = options.Sandboxes.TimeProvider.GetUtcNow(), EndReason = reason }
            : entry);
        entries.Trim();
    }

    /// <summary>Notes the end of a sandbox, whoever ends it.</summary>
    private void Follow(Sandbox sandbox) => _ = FollowAsync(sandbox);

    private async Task FollowAsync(Sandbox sandbox)
    {
        try
        {
            SandboxExit exit = await sandbox.Stopped.ConfigureAwait(false);
            if (exit.Reason != SandboxExitReason.Released)
            {
                End(sandbox.Id, exit.Description);
            }
        }
        catch (Exception failure)
        {
            // The boundary of a task that nobody awaits.
            HostLog.BackgroundFailed(logger, sandbox.Id, "noting its end", failure);
        }
    }
}
