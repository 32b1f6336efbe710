namespace OpenSandbox.Vmm;

/// <summary>How a <see cref="SandboxHost"/> works. Immutable; every setting has a default.</summary>
public sealed record SandboxHostOptions
{
    /// <summary>Images, golden snapshots and disks live here. Default: <c>OPENSANDBOX_STATE</c>, else <c>/var/lib/opensandbox</c>.</summary>
    public string StateDirectory { get; init; } = FromEnvironment("OPENSANDBOX_STATE", "/var/lib/opensandbox");

    /// <summary>
    /// Where <c>vmlinuz</c>, <c>initramfs.cpio</c> and <c>launcher</c> are, as <c>scripts/build-assets.sh</c> makes them. Default:
    /// <c>OPENSANDBOX_ASSETS</c>, else the folder <c>assets</c> beside the application.
    /// </summary>
    public string AssetsDirectory { get; init; } =
        FromEnvironment("OPENSANDBOX_ASSETS", Path.Combine(AppContext.BaseDirectory, "assets"));

    /// <summary>Locks and mount points while the host runs. Default: <c>OPENSANDBOX_RUNTIME</c>, else <c>/run/opensandbox</c>.</summary>
    public string RuntimeDirectory { get; init; } = FromEnvironment("OPENSANDBOX_RUNTIME", "/run/opensandbox");

    /// <summary>Absolute path of QEMU. Default: <c>/usr/bin/qemu-system-x86_64</c>.</summary>
    public string QemuPath { get; init; } = "/usr/bin/qemu-system-x86_64";

    /// <summary>Which accelerator to use. Default: <see cref="AcceleratorChoice.Auto"/>.</summary>
    public AcceleratorChoice Accelerator { get; init; }

    /// <summary>
    /// What must stand between QEMU and the host; sandboxes keep it when they are saved. Default: <see cref="IsolationLevel.Full"/>, which
    /// needs root; other users choose <see cref="IsolationLevel.Rootless"/>.
    /// </summary>
    public IsolationRequirement Isolation { get; init; } = IsolationLevel.Full;

    /// <summary>
    /// A cgroup below which each QEMU gets one of its own: the absolute path of a directory of cgroup v2 that is this process's to use.
    /// Default: <c>OPENSANDBOX_CGROUP</c>, else <see langword="null"/>: below this process's own cgroups where they are delegated to it (v2)
    /// or can be written (v1), else none.
    /// </summary>
    public string? CgroupParent { get; init; } = Environment.GetEnvironmentVariable("OPENSANDBOX_CGROUP") is { Length: > 0 } cgroup ? cgroup : null;

    /// <summary>Virtual CPUs of every sandbox, 1 to 16; part of the golden snapshot. Default: 2.</summary>
    public int VcpuCount { get; init; } = 2;

    /// <summary>RAM of the golden snapshot, MiB, 256 to 65,536, a multiple of 128; more is plugged in per sandbox. Default: 512.</summary>
    public int BaseMemoryMib { get; init; } = 512;

    /// <summary>Largest memory that a sandbox may ask for, MiB, a multiple of 128 up to 262,144. Default: 16,384.</summary>
    public int MaxMemoryMib { get; init; } = 16_384;

    /// <summary>How many sandboxes may exist at once, 1 to 16,384. Default: 1,024.</summary>
    public int MaxSandboxes { get; init; } = 1_024;

    /// <summary>
    /// Machines that are started before they are asked for, which makes creates faster: at most 16 pools, each for another image and
    /// workspace. Their machines are no sandboxes and take none of <see cref="MaxSandboxes"/>. Default: none, nothing is kept.
    /// </summary>
    public IReadOnlyList<SandboxPoolOptions> Pools { get; init; } = [];

    /// <summary>
    /// Available memory of the host, MiB, below which no sandbox is made: sandboxes take memory only as their guests write, so that their
    /// sizes may add up to more than there is. 0 to 1,048,576. Default: 256.
    /// </summary>
    public int HostMemoryReserveMib { get; init; } = 256;

    /// <summary>From spawn to an agent that has resumed. Default: 30 s (TCG on a busy host).</summary>
    public TimeSpan StartTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// From the start of a golden build to its end, under TCG: half of it for a first guest, and if that stands still, half for a second one.
    /// Default: 120 s.
    /// </summary>
    public TimeSpan GoldenBuildTimeout { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>In which a guest must boot under KVM before it counts as broken here. Default: 8 s (healthy is under 2).</summary>
    public TimeSpan KvmProbeTimeout { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>Deadline of one request to an agent that should answer at once. Default: 30 s.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// From the change of a sandbox's memory to the guest having followed; what it has by then is what the sandbox gets. A guest that
    /// makes no headway is given up earlier. Default: 180 s.
    /// </summary>
    public TimeSpan ResizeTimeout { get; init; } = TimeSpan.FromSeconds(180);

    /// <summary>
    /// How often a sandbox's agent is asked for a sign of life, which it has as long to give; 100 ms or more.
    /// <see cref="Timeout.InfiniteTimeSpan"/>: never. Default: 5 s.
    /// </summary>
    public TimeSpan HeartbeatInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// After so long without one a running sandbox is given up: calls fail with <see cref="SandboxLostException"/>, its VM is ended, and a
    /// detached one has crashed and can be booted from its disks (<see cref="Sandbox.WakeAsync"/>). At least the interval, of which it is
    /// rounded up to a multiple; one whose disk is full on the host, or that is paused, is not meant. Default: 60 s.
    /// </summary>
    public TimeSpan UnresponsiveTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>In which a killed VM must be gone. Default: 10 s.</summary>
    public TimeSpan KillTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>What the metadata service in the guests calls the place they run at, 1 to 128 characters. Default: <c>local</c>.</summary>
    public string Region { get; init; } = "local";

    /// <summary>
    /// First uid that sandboxes run under; the one at slot n gets this plus n. Hosts on one machine share the range through
    /// <see cref="RuntimeDirectory"/>: those with different ones need different ranges. Default: 1,900,000,000, above what Debian gives to
    /// users' namespaces (up to 600,100,000) and systemd to containers (up to 1,879,048,191).
    /// </summary>
    public int FirstUid { get; init; } = 1_900_000_000;

    /// <summary>
    /// DNS servers that answer the guests' queries, at most 8. Default: those of the host's <c>/etc/resolv.conf</c>, read again when it changes.
    /// </summary>
    public IReadOnlyList<System.Net.IPEndPoint>? DnsServers { get; init; }

    /// <summary>Clock and timers. Default: the system's.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>Most machines that may be in pools, and on their way into or out of them, at a time.</summary>
    internal int MaxPooled => Pools.Sum(static pool => pool.HotTarget + pool.ParkedTarget + 2);

    internal void Validate()
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(StateDirectory);
        ArgumentException.ThrowIfNullOrWhiteSpace(AssetsDirectory);
        ArgumentException.ThrowIfNullOrWhiteSpace(RuntimeDirectory);
        ArgumentException.ThrowIfNullOrWhiteSpace(QemuPath);
        ThrowIfOutside(VcpuCount, 1, 16, nameof(VcpuCount));
        ThrowIfOutside(BaseMemoryMib, 256, 65_536, nameof(BaseMemoryMib));
        ThrowIfOutside(MaxMemoryMib, BaseMemoryMib, 262_144, nameof(MaxMemoryMib));
        ArgumentOutOfRangeException.ThrowIfNotEqual(BaseMemoryMib % 128, 0, nameof(BaseMemoryMib));
        ArgumentOutOfRangeException.ThrowIfNotEqual(MaxMemoryMib % 128, 0, nameof(MaxMemoryMib));
        ThrowIfOutside(MaxSandboxes, 1, 16_384, nameof(MaxSandboxes));
        ValidatePools();
        ThrowIfOutside(HostMemoryReserveMib, 0, 1_048_576, nameof(HostMemoryReserveMib));
        ThrowIfOutside(FirstUid, 1_000, int.MaxValue - 65_536, nameof(FirstUid));
        ThrowIfOutside(DnsServers?.Count ?? 1, 1, 8, nameof(DnsServers));
        foreach (TimeSpan limit in (ReadOnlySpan<TimeSpan>)[StartTimeout, GoldenBuildTimeout, KvmProbeTimeout, RequestTimeout, ResizeTimeout, KillTimeout])
        {
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(limit, TimeSpan.Zero);
        }

        ArgumentNullException.ThrowIfNull(Isolation);
        if (CgroupParent is not null && !Path.IsPathFullyQualified(CgroupParent))
        {
            throw new ArgumentException($"'{CgroupParent}' is not the absolute path of a cgroup", nameof(CgroupParent));
        }

        if (HeartbeatInterval != Timeout.InfiniteTimeSpan)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(HeartbeatInterval, TimeSpan.FromMilliseconds(100), nameof(HeartbeatInterval));
            ArgumentOutOfRangeException.ThrowIfLessThan(UnresponsiveTimeout, HeartbeatInterval, nameof(UnresponsiveTimeout));
        }

        ArgumentException.ThrowIfNullOrWhiteSpace(Region);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Region.Length, 128, nameof(Region));
        ArgumentNullException.ThrowIfNull(TimeProvider);
    }

    private void ValidatePools()
    {
        ArgumentNullException.ThrowIfNull(Pools);
        ThrowIfOutside(Pools.Count, 0, 16, nameof(Pools));
        var specs = new HashSet<(string?, bool)>();
        foreach (SandboxPoolOptions pool in Pools)
        {
            ArgumentNullException.ThrowIfNull(pool, nameof(Pools));
            pool.Validate();
            if (!specs.Add((pool.Image, pool.Image is not null && pool.Workspace)))
            {
                throw new ArgumentException($"two pools are for image '{pool.Image}' with the same workspace", nameof(Pools));
            }
        }
    }

    private static void ThrowIfOutside(int value, int low, int high, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, low, name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, high, name);
    }

    private static string FromEnvironment(string variable, string otherwise) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : otherwise;
}
