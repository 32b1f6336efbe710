using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Starts file operations. Belongs to the bulk loop's thread.</summary>
/// <param name="loop">The loop.</param>
/// <param name="writer">The port, for the workers.</param>
internal sealed class FileOperations(BulkLoop loop, PortWriter writer)
{
    private const int MaxSpareRings = 4;

    private readonly FileWorkers _workers = new(writer);
    private readonly Stack<ByteRing> _rings = new();

    /// <summary>File systems on which the loop itself may work.</summary>
    internal TrustedMounts Mounts { get; } = new();

    /// <summary>Starts one operation whose stream is open.</summary>
    /// <returns>The stream, to be registered by the caller before <see cref="Begin"/>.</returns>
    internal FileJob Create(uint id, string operation, FileRequest request) => operation switch
    {
        Operations.Write => new WriteStream(loop, id, request),
        Operations.Read => new ReadStream(loop, id, request),
        Operations.List => new ListStream(loop, id, request),
        _ => new SimpleFileJob(loop, id, operation, request),
    };

    /// <summary>Makes the job of an operation that is not described by a <see cref="FileRequest"/>.</summary>
    /// <returns>The stream, to be registered by the caller before <see cref="Submit"/>; <see langword="null"/>: no such operation.</returns>
    internal FileJob? Create(uint id, OpenRequest request) => request.Op switch
    {
        Operations.Search when request.Search is { } search => new ListStream(loop, id, search),
        Operations.Move when request.Move is { } move => ChangeJob.Move(loop, id, move, keepSource: false),
        Operations.Copy when request.Move is { } copy => ChangeJob.Move(loop, id, copy, keepSource: true),
        Operations.Attributes when request.Attributes is { } attributes => ChangeJob.Attributes(loop, id, attributes),
        Operations.Replace when request.Replace is { } replace => new ReplaceStream(loop, id, replace),
        Operations.StatMany when request.Many is { } many => new ManyStream(loop, id, many, withContent: false),
        Operations.ReadMany when request.Many is { } many => new ManyStream(loop, id, many, withContent: true),
        Operations.WriteMany => new WriteManyStream(loop, id, TakeRing()),
        Operations.Watch when request.Watch is { } watch => new WatchStream(loop, id, watch),
        Operations.Limits when request.Limits is { } limits => new LimitsJob(loop, id, limits),
        _ => null,
    };

    /// <summary>Does what can be done at once, or hands the rest to a worker.</summary>
    internal void Begin(FileJob job)
    {
        bool done = job switch
        {
            WriteStream write => BeginWrite(write),
            ReadStream read => read.TryInline(Mounts.Confine(read.Path)),
            SimpleFileJob simple => simple.TryInline(),
            _ => false,
        };
        if (!done)
        {
            Submit(job);
        }
    }

    /// <summary>Hands a job to a worker.</summary>
    /// <exception cref="GuestException">All workers hang.</exception>
    internal void Submit(FileJob job)
    {
        loop.FlushOutput(); // frames of this stream that wait here come before the worker's
        _workers.Submit(job);
    }

    /// <summary>Starts a worker ahead of the first job, so that the golden snapshot has it.</summary>
    internal void StartFirstWorker() => _workers.StartFirst();

    /// <summary>Ends the workers that are idle.</summary>
    internal void Close() => _workers.Close();

    /// <summary>Takes a ring back.</summary>
    internal void Return(ByteRing ring)
    {
        if (_rings.Count < MaxSpareRings)
        {
            _rings.Push(ring);
        }
    }

    private ByteRing TakeRing() => _rings.Count > 0 ? _rings.Pop() : new ByteRing();

    private bool BeginWrite(WriteStream write)
    {
        bool begun = write.TryBegin();
        if (!begun)
        {
            write.UseRing(TakeRing());
        }

        loop.SendStarted(write.Id, new StartedReply());
        return begun;
    }
}
