using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Begins the operations on processes. Everything runs on the bulk loop's thread.</summary>
internal static class ProcessOperations
{
    private const int MaxLogBytes = 16 << 20;

    /// <summary>Begins an operation, if the request is for one of these.</summary>
    /// <param name="loop">The loop.</param>
    /// <param name="id">The stream's id.</param>
    /// <param name="request">The request.</param>
    /// <param name="open">Opens a stream in the loop.</param>
    /// <returns>Whether it is one.</returns>
    internal static bool TryBegin(BulkLoop loop, uint id, OpenRequest request, Action<BulkStream> open)
    {
        switch (request.Op)
        {
            case Operations.Start when request.Start is { } start:
                Start(loop, id, start, open);
                return true;
            case Operations.Attach when request.Process is { } target:
                Attach(loop, id, target, open);
                return true;
            case Operations.Processes:
                var listing = new ProcessListing(loop, id);
                open(listing);
                loop.SendStarted(id, new StartedReply());
                listing.Send();
                return true;
            case Operations.Wait when request.Process is { } target:
                ManagedProcess awaited = Managed(loop, target);
                var wait = new ProcessWait(loop, id, awaited.Key);
                open(wait);
                loop.Commands.Processes.Wait(awaited, wait);
                return true;
            case Operations.Signal when request.Process is { } target:
                Answer(loop, id, open, Signal(loop, target));
                return true;
            case Operations.Resize when request.Process is { Columns: { } columns, Rows: { } rows } target:
                Answer(loop, id, open, Managed(loop, target).Resize(columns, rows));
                return true;
            case Operations.Log when request.Process is { Length: >= 1 and <= MaxLogBytes } target:
                var log = new ProcessLog(loop, id, Managed(loop, target), target.From ?? 0, target.Length.Value);
                open(log);
                log.Begin();
                return true;
            case Operations.Usage:
                var usage = new ProcessWait(loop, id, 0);
                open(usage);
                loop.Finish(usage, loop.Commands.Cgroups.ReadUsage(), ProtocolJsonContext.Default.UsageResult);
                return true;
            default:
                return false;
        }
    }

    private static void Start(BulkLoop loop, uint id, ProcessStartRequest request, Action<BulkStream> open)
    {
        ManagedProcess process = ManagedProcess.Start(loop, request);
        loop.Commands.Processes.Add(process);
        var reader = new ProcessReader(loop, id, process, 0) { Lossless = request.Lossless, Input = process.HasInput, Owner = true };
        open(reader);
        reader.Begin();
    }

    private static void Attach(BulkLoop loop, uint id, ProcessRequest request, Action<BulkStream> open)
    {
        ManagedProcess process = Managed(loop, request);
        process.EnsureRoomForReader();
        ScrollbackRing ring = process.Ring;
        if (request.From is < 0)
        {
            GuestException.ThrowInvalid("from: 0 or more");
        }

        // A place that is gone is kept, so that the reader gets its gap; one that is yet to come would hold nothing back.
        long from = request.From is { } asked ? Math.Min(asked, ring.End) : request.FromNow ? ring.End : ring.First;
        var reader = new ProcessReader(loop, id, process, from)
        {
            Lossless = request.Lossless,
            Input = request.Input && process.HasInput,
        };
        open(reader);
        reader.Begin();
    }

    private static bool Signal(BulkLoop loop, ProcessRequest request)
    {
        IGuestCommand command = loop.Commands.Find(ProcessEntries.Key(request.Id)) ?? throw Unknown(request.Id);
        return request switch
        {
            { WholeCgroup: true } => command.Kill(),
            { Mark: true } => Managed(loop, request).Mark(),
            { SinceMark: true } => Managed(loop, request).KillSinceMark(),
            { Signal: >= 1 and <= 64 and { } signal } => command.Signal(signal),
            _ => throw GuestException.Coded(AgentErrorCodes.InvalidRequest, "signal: 1 to 64"),
        };
    }

    private static void Answer(BulkLoop loop, uint id, Action<BulkStream> open, bool done)
    {
        var stream = new ProcessWait(loop, id, 0);
        open(stream);
        loop.Finish(stream, new ListResult { Count = done ? 1 : 0 }, ProtocolJsonContext.Default.ListResult);
    }

    private static ManagedProcess Managed(BulkLoop loop, ProcessRequest request)
    {
        uint key = ProcessEntries.Key(request.Id);
        return loop.Commands.Processes.Find(key)
            ?? (loop.Commands.Find(key) is null
                ? throw Unknown(request.Id)
                : throw GuestException.Coded(AgentErrorCodes.InvalidRequest, $"process {request.Id} was not started to be attached to"));
    }

    private static GuestException Unknown(string id) => GuestException.Coded(AgentErrorCodes.System, $"no process {id}", Interop.Errno.ESRCH);
}
