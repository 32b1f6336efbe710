using OpenSandbox.Cgroups;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Changes limits of the sandbox that runs, after a look at what its processes hold and a wait for hot-plugged memory. On a worker's
/// thread: the kernel may have to reclaim memory for it, which takes its time.
/// </summary>
internal sealed class LimitsJob : FileJob
{
    private const int DefaultStallMilliseconds = 5_000;
    private const int MaxStallMilliseconds = 600_000;
    private const int MaxPids = 4 * 1024 * 1024;
    private const int MaxCpuPercent = 100_000;
    private const long PageBytes = 4096;

    private readonly LimitsRequest _request;
    private readonly Cgroup _group;

    internal LimitsJob(BulkLoop loop, uint id, LimitsRequest request)
        : base(loop, id)
    {
        Validate(request);
        _request = request;
        _group = loop.Commands.Cgroups.OpenGroup();
    }

    protected override void Work(FrameBuffer output)
    {
        using Cgroup group = _group;
        var limits = new RunningLimits(group);
        try
        {
            GuestLimits wanted = _request.Limits ?? new GuestLimits();
            long shortfall = 0;
            long? inUse = null;
            if (_request.RefuseMemoryInUse && wanted.MemoryMaxBytes is { } memory)
            {
                shortfall = limits.TryLowerMemory(memory, _request.RemovedMemoryBytes ?? 0, out long held);
                inUse = shortfall > 0 ? held : null;
                wanted = wanted with { MemoryMaxBytes = null }; // it is set, or must not be
            }

            bool done = shortfall == 0
                && (_request.PluggedMemoryBytes is not { } plugged
                    || PluggedMemory.Wait(plugged, _request.StallMilliseconds ?? DefaultStallMilliseconds, () => IsClosed));
            if (done && !IsClosed)
            {
                limits.Set(wanted);
                GuestLimits asked = _request.Limits ?? new GuestLimits();
                Loop.Post(() => Loop.Commands.Cgroups.Note(asked));
            }

            Answer(output, FrameType.Result, limits.Report(done, shortfall, inUse ?? limits.MemoryInUse()), ProtocolJsonContext.Default.LimitsResult);
        }
        catch (CgroupException exception)
        {
            throw GuestException.Coded(AgentErrorCodes.System, exception.Message, exception.Errno);
        }
    }

    /// <summary>Refuses limits that make no sense.</summary>
    internal static void Validate(GuestLimits limits)
    {
        if (limits.PidsMax is < 1 or > MaxPids || limits.CpuMaxPercent is < 1 or > MaxCpuPercent || limits.MemoryMaxBytes is < PageBytes)
        {
            GuestException.ThrowInvalid($"limits: pidsMax 1 to {MaxPids}, cpuMaxPercent 1 to {MaxCpuPercent}, memoryMaxBytes from {PageBytes}");
        }
    }

    private static void Validate(LimitsRequest request)
    {
        if (request.Limits is { } limits)
        {
            Validate(limits);
        }

        if (request.PluggedMemoryBytes is < 0 || request.RemovedMemoryBytes is < 0 || request.StallMilliseconds is < 1 or > MaxStallMilliseconds)
        {
            GuestException.ThrowInvalid($"pluggedMemoryBytes, removedMemoryBytes: not negative; stallMilliseconds: 1 to {MaxStallMilliseconds}");
        }
    }
}
