using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Move, copy, and changes of attributes: one answer, no data, always on a worker's thread.</summary>
/// <param name="loop">The loop.</param>
/// <param name="id">The stream's id.</param>
/// <param name="work">Does it; asks its argument whether it is still wanted.</param>
internal sealed class ChangeJob(BulkLoop loop, uint id, Func<Func<bool>, FileResult> work) : FileJob(loop, id)
{
    /// <summary>A move or a copy.</summary>
    internal static ChangeJob Move(BulkLoop loop, uint id, MoveRequest request, bool keepSource)
    {
        FileMover.Validate(request);
        return new ChangeJob(loop, id, isCancelled =>
        {
            var mover = new FileMover(request, loop.Commands.Users, isCancelled);
            FileEntry file = keepSource ? mover.Copy() : mover.Move();
            return new FileResult { File = file, Bytes = mover.Bytes };
        });
    }

    /// <summary>A change of mode, owner or group.</summary>
    internal static ChangeJob Attributes(BulkLoop loop, uint id, AttributesRequest request)
    {
        FileAttributes.Validate(request);
        return new ChangeJob(loop, id, isCancelled =>
        {
            var attributes = new FileAttributes(request, loop.Commands.Users, isCancelled);
            return new FileResult { File = attributes.Change(), Count = attributes.Count };
        });
    }

    protected override void Work(FrameBuffer output)
    {
        long before = ClockTicks.Microseconds;
        FileResult result = work(() => IsClosed) with { FileMicroseconds = ClockTicks.Microseconds - before };
        Answer(output, FrameType.Result, result, ProtocolJsonContext.Default.FileResult);
    }
}
