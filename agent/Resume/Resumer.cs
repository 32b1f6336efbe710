using System.Buffers.Binary;
using System.Text;
using OpenSandbox.Cgroups;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Makes a restored golden snapshot one particular sandbox, and a saved sandbox the one that it is to be from now on. One resume at a time.
/// </summary>
/// <param name="cgroups">The sandbox's cgroups, which get their limits.</param>
/// <param name="mountThread">For what can be mounted beside the root.</param>
/// <param name="disks">Gets to know the disks that were mounted.</param>
/// <param name="standStill">Whether the guest stands still.</param>
internal sealed class Resumer(SandboxCgroup cgroups, AgentWorker mountThread, DiskFreezer disks, StandStill standStill)
{
    private const int MinSeed = 32;
    private const int MaxSeed = 256;
    private const int MaxHostname = 63;
    private const nuint RNDADDENTROPY = 0x40085203;
    private const nuint RNDRESEEDCRNG = 0x5207;

    private readonly Lock _gate = new();
    private readonly int _random = GuestException.Check(Libc.Open("/dev/urandom"u8, Linux.O_RDWR | Linux.O_CLOEXEC, 0), "open /dev/urandom");
    private bool _done;
    private GuestIdentity? _identity;

    /// <summary>Whether a request needs neither disks nor memory, so that it can be served at once.</summary>
    internal bool IsBrief(ResumeRequest request) => !standStill.IsStanding
        && (_done || (request.RootDevice is null && request.WorkspaceDevice is null && request.PluggedMemoryBytes is null or <= 0));

    /// <summary>
    /// Does what the request asks for. From the second time on disks and memory are in place: a guest that stands still gets its identity and
    /// limits, and one that runs clock and entropy alone.
    /// </summary>
    /// <param name="request">The request.</param>
    /// <param name="arrived">When it arrived, microseconds of <see cref="ClockTicks"/>.</param>
    /// <exception cref="GuestException">Something failed; the sandbox is not usable.</exception>
    internal ResumeResult Run(ResumeRequest request, long arrived)
    {
        lock (_gate)
        {
            Validate(request);
            SetClock(request.WallClockNanoseconds, arrived);
            AddEntropy(request.EntropySeed);
            long mounting = 0;
            if (!_done)
            {
                SetHostname(request.Hostname);
                long before = ClockTicks.Microseconds;
                RootSwitch.Switch(request.RootDevice, request.WorkspaceDevice, mountThread);
                mounting = ClockTicks.Microseconds - before;
                PluggedMemory.WaitFor(request.PluggedMemoryBytes ?? 0);
                if (request.RootDevice is not null)
                {
                    _identity = new GuestIdentity(request.Hostname);
                    _identity.Write();
                }

                disks.Open(request.RootDevice is not null, request.WorkspaceDevice is not null);
                cgroups.Apply(request.Limits ?? new GuestLimits());
                _done = true;
            }
            else if (standStill.IsStanding)
            {
                standStill.ThawDisks();
                SetHostname(request.Hostname);
                _identity?.Change(request.Hostname, request.RenewIdentity);
                ChangeLimits(request.Limits);
            }

            return new ResumeResult
            {
                TotalMicroseconds = ClockTicks.Microseconds - arrived,
                MountMicroseconds = mounting,
                MemoryBytes = GuestMemory.TotalBytes(),
                VcpuCount = GuestMemory.VcpuCount(),
            };
        }
    }

    /// <summary>Sets clock and entropy alone, for a guest that goes on where it stood still.</summary>
    /// <param name="request">Both.</param>
    /// <param name="arrived">When it arrived, microseconds of <see cref="ClockTicks"/>.</param>
    /// <exception cref="GuestException">One was refused.</exception>
    internal void Refresh(ThawRequest request, long arrived)
    {
        lock (_gate)
        {
            Validate(request.WallClockNanoseconds, request.EntropySeed);
            SetClock(request.WallClockNanoseconds, arrived);
            AddEntropy(request.EntropySeed);
        }
    }

    /// <summary>Closes what this object opened.</summary>
    internal void Close() => _ = Libc.Close(_random);

    private static void SetHostname(string hostname)
    {
        byte[] name = Encoding.UTF8.GetBytes(hostname);
        _ = GuestException.Check(Libc.SetHostName(name, (nuint)name.Length), "sethostname");
    }

    private void ChangeLimits(GuestLimits? limits)
    {
        if (limits is null)
        {
            return;
        }

        LimitsJob.Validate(limits);
        try
        {
            using Cgroup group = cgroups.OpenGroup();
            new RunningLimits(group).Set(limits);
        }
        catch (CgroupException exception)
        {
            throw GuestException.Coded(AgentErrorCodes.System, exception.Message, exception.Errno);
        }
    }

    private static void Validate(ResumeRequest request)
    {
        Validate(request.WallClockNanoseconds, request.EntropySeed);
        if (string.IsNullOrEmpty(request.Hostname) || request.Hostname.Length > MaxHostname
            || request.Hostname.AsSpan().ContainsAnyExcept(s_hostnameCharacters))
        {
            GuestException.ThrowInvalid($"hostname: 1 to {MaxHostname} letters, digits, dots and hyphens");
        }
    }

    private static void Validate(long wallClock, byte[] seed)
    {
        if (wallClock <= 0)
        {
            GuestException.ThrowInvalid("wallClockNanoseconds: after 1970");
        }

        if (seed is null || seed.Length is < MinSeed or > MaxSeed)
        {
            GuestException.ThrowInvalid($"entropySeed: {MinSeed} to {MaxSeed} bytes");
        }
    }

    private static readonly System.Buffers.SearchValues<char> s_hostnameCharacters =
        System.Buffers.SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");

    private static void SetClock(long wallClock, long arrived)
    {
        long now = wallClock + ((ClockTicks.Microseconds - arrived) * 1000);
        var time = new TimeSpec { Seconds = now / 1_000_000_000, Nanoseconds = now % 1_000_000_000 };
        _ = GuestException.Check(Libc.ClockSetTime(Linux.CLOCK_REALTIME, time), "clock_settime");
    }

    private void AddEntropy(byte[] seed)
    {
        // struct rand_pool_info: entropy in bits, size in bytes, the bytes
        Span<byte> pool = stackalloc byte[8 + MaxSeed];
        BinaryPrimitives.WriteInt32LittleEndian(pool, seed.Length * 8);
        BinaryPrimitives.WriteInt32LittleEndian(pool[4..], seed.Length);
        seed.CopyTo(pool[8..]);
        _ = GuestException.Check(Libc.IoCtl(_random, RNDADDENTROPY, pool), "RNDADDENTROPY");
        _ = GuestException.Check(Libc.IoCtl(_random, RNDRESEEDCRNG, default), "RNDRESEEDCRNG");
        pool.Clear();
    }
}
