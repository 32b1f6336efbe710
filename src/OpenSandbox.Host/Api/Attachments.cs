using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>Who is attached to which session, and the end of those that nobody comes back to. Thread-safe.</summary>
internal sealed class Attachments(TimeProvider time, ILogger logger)
{
    /// <summary>How many sessions with a limit are remembered that no client has ever come to; beyond, about half of them are, those begun last.</summary>
    internal const int MaxWaiting = 16_384;

    private const int MinSweep = 1_024;

    private readonly Lock _gate = new();
    private readonly Dictionary<(string SandboxId, string SessionId), Attachment> _attached = [];
    private int _sweepAt = MinSweep;
    private long _made;

    /// <summary>How many sessions are remembered.</summary>
    internal int Count
    {
        get
        {
            lock (_gate)
            {
                return _attached.Count;
            }
        }
    }

    /// <summary>How many clients a session has.</summary>
    internal int ClientsOf(Sandbox sandbox, string id)
    {
        lock (_gate)
        {
            return _attached.TryGetValue((sandbox.Id, id), out Attachment? attachment) ? attachment.Clients : 0;
        }
    }

    /// <summary>A session is to be ended once it has had no client for so long, from when the last one left.</summary>
    internal void Limit(Sandbox sandbox, string id, TimeSpan limit)
    {
        lock (_gate)
        {
            AttachmentOf(sandbox, id).Limit = limit;
            if (_attached.Count >= _sweepAt)
            {
                Sweep();
            }
        }
    }

    /// <summary>A client has come.</summary>
    internal void Enter(Sandbox sandbox, string id)
    {
        lock (_gate)
        {
            Attachment attachment = AttachmentOf(sandbox, id);
            attachment.Clients++;
            attachment.Turn++;
        }
    }

    /// <summary>A client has left.</summary>
    internal void Leave(Sandbox sandbox, string id)
    {
        lock (_gate)
        {
            Attachment attachment = AttachmentOf(sandbox, id);
            if (--attachment.Clients > 0)
            {
                return;
            }

            if (attachment.Limit is null)
            {
                _attached.Remove((sandbox.Id, id));
            }
            else
            {
                Watch(sandbox, id, attachment);
            }
        }
    }

    private void Sweep()
    {
        // Those that nobody ever came to, in sandboxes that are gone.
        foreach (KeyValuePair<(string SandboxId, string SessionId), Attachment> one in _attached.Where(static one => one.Value.IsVoid).ToArray())
        {
            _attached.Remove(one.Key);
        }

        // The rest of them may have ended long since, which only the guest knows.
        foreach (KeyValuePair<(string SandboxId, string SessionId), Attachment> one in _attached
            .Where(static one => one.Value.IsWaiting)
            .OrderByDescending(static one => one.Value.Number)
            .Skip(MaxWaiting / 2)
            .ToArray())
        {
            _attached.Remove(one.Key);
        }

        _sweepAt = _attached.Count + Math.Clamp(_attached.Count, MinSweep, MaxWaiting / 2);
    }

    private Attachment AttachmentOf(Sandbox sandbox, string id)
    {
        if (!_attached.TryGetValue((sandbox.Id, id), out Attachment? attachment))
        {
            _attached[(sandbox.Id, id)] = attachment = new Attachment(sandbox, ++_made);
        }

        return attachment;
    }

    private void Watch(Sandbox sandbox, string id, Attachment attachment) => _ = EndLaterAsync(sandbox, id, attachment, ++attachment.Turn, attachment.Limit!.Value);

    private async Task EndLaterAsync(Sandbox sandbox, string id, Attachment attachment, int turn, TimeSpan limit)
    {
        try
        {
            // Not a wait for something: this is the time that the client has asked for, after which a command that nobody watches is to end.
            await Task.Delay(limit, time).ConfigureAwait(false);
            lock (_gate)
            {
                if (attachment.Turn != turn)
                {
                    return; // somebody has come meanwhile
                }

                _attached.Remove((sandbox.Id, id));
            }

            // One that sleeps runs nothing, and is not woken for the end of it.
            if (sandbox.State == SandboxState.Running)
            {
                await sandbox.Processes.KillAsync(id).ConfigureAwait(false);
            }
        }
        catch (Exception failure)
        {
            // The boundary of a task that nobody awaits.
            HostLog.BackgroundFailed(logger, sandbox.Id, "ending a session that nobody came back to", failure);
        }
    }

    private sealed class Attachment(Sandbox sandbox, long number)
    {
        /// <summary>Counts them.</summary>
        internal long Number => number;

        internal int Clients { get; set; }

        internal TimeSpan? Limit { get; set; }

        internal bool IsVoid => Clients == 0 && sandbox.State == SandboxState.Stopped;

        /// <summary>Whether no client has come yet.</summary>
        internal bool IsWaiting => Turn == 0;

        /// <summary>Counts comings and the beginnings of waits: a wait that finds another number is void.</summary>
        internal int Turn { get; set; }
    }
}
