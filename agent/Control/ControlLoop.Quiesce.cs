using System.Text.Json;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <content>How the guest comes to stand still for a snapshot, and goes on in the same session.</content>
internal sealed partial class ControlLoop
{
    private void OnQuiesce(ReadOnlySpan<byte> payload)
    {
        QuiesceRequest? request = null;
        string? reason = null;
        try
        {
            request = JsonSerializer.Deserialize(payload, ProtocolJsonContext.Default.QuiesceRequest);
        }
        catch (JsonException exception)
        {
            reason = exception.Message;
        }

        if (request is { Snapshot: true })
        {
            Answer(BeginStandStill(request));
            return;
        }

        int open = _bulk.OpenStreams + (_network?.OpenStreams ?? 0);
        bool ok = request is not null && open == 0;
        if (ok && request!.ZeroFreeMemory)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: true);
            FreeMemory.Zero();
        }

        Answer(new QuiesceReply { Ok = ok, OpenStreams = open, Reason = reason });
        if (ok)
        {
            LoseSession(); // nothing more is sent until the next preamble
        }
    }

    private void Answer(QuiesceReply reply)
    {
        _out.AddJson(FrameType.Quiesced, 0, reply, ProtocolJsonContext.Default.QuiesceReply);
        _out.Flush();
    }

    private QuiesceReply BeginStandStill(QuiesceRequest request)
    {
        string? reason = null;
        try
        {
            int watchdog = request.WatchdogMilliseconds ?? QuiesceRequest.DefaultWatchdogMilliseconds;
            if (request.ZeroFreeMemory || watchdog is < QuiesceRequest.MinWatchdogMilliseconds or > QuiesceRequest.MaxWatchdogMilliseconds)
            {
                GuestException.ThrowInvalid(
                    $"watchdogMilliseconds: {QuiesceRequest.MinWatchdogMilliseconds} to {QuiesceRequest.MaxWatchdogMilliseconds}; zeroFreeMemory: not with snapshot");
            }

            if (Volatile.Read(ref _resumed) != _session.Epoch)
            {
                throw GuestException.Coded(AgentErrorCodes.NotResumed, "the sandbox has not been resumed");
            }

            _standStill.Begin(watchdog);
        }
        catch (Exception exception)
        {
            // Whatever one quiesce meets with is its answer; everything has been undone.
            reason = AgentErrors.From(exception).Message;
        }

        return new QuiesceReply
        {
            Ok = reason is null,
            OpenStreams = _bulk.OpenStreams + (_network?.OpenStreams ?? 0),
            Reason = reason,
        };
    }

    private void OnThaw(ReadOnlySpan<byte> payload)
    {
        long arrived = ClockTicks.Microseconds;
        bool fired = false;
        string? reason = null;
        try
        {
            ThawRequest? request = ParseThaw(payload);
            fired = _standStill.End(() =>
            {
                try
                {
                    _resumer.Refresh(request ?? throw GuestException.Coded(AgentErrorCodes.InvalidRequest, "Thaw without clock and entropy"), arrived);
                }
                catch (GuestException exception)
                {
                    reason = exception.Message; // the guest goes on all the same: standing still for ever helps nobody
                }
            });
        }
        catch (GuestException exception)
        {
            reason = exception.Message;
        }

        var reply = new ThawedReply { Ok = reason is null, WatchdogFired = fired, Reason = reason };
        _out.AddJson(FrameType.Thawed, 0, reply, ProtocolJsonContext.Default.ThawedReply);
    }

    private static ThawRequest? ParseThaw(ReadOnlySpan<byte> payload)
    {
        try
        {
            return JsonSerializer.Deserialize(payload, ProtocolJsonContext.Default.ThawRequest);
        }
        catch (JsonException)
        {
            return null; // the answer says so
        }
    }
}
