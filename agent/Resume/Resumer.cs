using System.Buffers.Binary;
using System.Text;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Makes a restored golden snapshot one particular sandbox. One resume at a time.</summary>
/// <param name="cgroups">The sandbox's cgroups, which get their limits.</param>
/// <param name="mountThread">For what can be mounted beside the root.</param>
internal sealed class Resumer(SandboxCgroup cgroups, AgentWorker mountThread)
{
    private const int MinSeed = 32;
    private const int MaxSeed = 256;
    private const int MaxHostname = 63;
    private const nuint RNDADDENTROPY = 0x40085203;
    private const nuint RNDRESEEDCRNG = 0x5207;

    private readonly Lock _gate = new();
    private readonly int _random = GuestException.Check(Libc.Open("/dev/urandom"u8, Linux.O_RDWR | Linux.O_CLOEXEC, 0), "open /dev/urandom");
    private bool _done;

    /// <summary>Whether a request needs neither disks nor memory, so that it can be served at once.</summary>
    internal bool IsBrief(ResumeRequest request) =>
        _done || (request.RootDevice is null && request.WorkspaceDevice is null && request.PluggedMemoryBytes is null or <= 0);

    /// <summary>Does what the request asks for. From the second time on that is clock and entropy alone: the rest is in place.</summary>
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
                byte[] name = Encoding.UTF8.GetBytes(request.Hostname);
                _ = GuestException.Check(Libc.SetHostName(name, (nuint)name.Length), "sethostname");
                long before = ClockTicks.Microseconds;
                RootSwitch.Switch(request.RootDevice, request.WorkspaceDevice, mountThread);
                mounting = ClockTicks.Microseconds - before;
                PluggedMemory.WaitFor(request.PluggedMemoryBytes ?? 0);
                if (request.RootDevice is not null)
                {
                    GuestIdentity.Write(request.Hostname);
                }

                cgroups.Apply(request.Limits ?? new GuestLimits());
                _done = true;
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

    /// <summary>Closes what this object opened.</summary>
    internal void Close() => _ = Libc.Close(_random);

    private static void Validate(ResumeRequest request)
    {
        if (request.WallClockNanoseconds <= 0)
        {
            GuestException.ThrowInvalid("wallClockNanoseconds: after 1970");
        }

        if (request.EntropySeed is null || request.EntropySeed.Length is < MinSeed or > MaxSeed)
        {
            GuestException.ThrowInvalid($"entropySeed: {MinSeed} to {MaxSeed} bytes");
        }

        if (string.IsNullOrEmpty(request.Hostname) || request.Hostname.Length > MaxHostname
            || request.Hostname.AsSpan().ContainsAnyExcept(s_hostnameCharacters))
        {
            GuestException.ThrowInvalid($"hostname: 1 to {MaxHostname} letters, digits, dots and hyphens");
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
