using FsCheck;
using FsCheck.Fluent;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

/// <summary>Manifests of every allowed shape.</summary>
internal static class ManifestGen
{
    private static readonly Gen<string> s_text =
        from length in Gen.Frequency((8, Gen.Choose(1, 12)), (1, Gen.Choose(13, 100)))
        from text in Gen.Elements(["a", "Z", "0", " ", "\"", "\\", "\n", "\0", "/", "<", "é", "漢", "😀", "\u2028", "}", "]", "\u007f"]).ArrayOf(length)
        select Cut(string.Concat(text), 100);

    private static readonly Gen<string> s_digest = Hex(64);

    private static readonly Gen<DateTimeOffset> s_time =
        from ticks in Long(DateTimeOffset.UnixEpoch.Ticks, new DateTime(2200, 1, 1, 0, 0, 0, DateTimeKind.Utc).Ticks)
        select new DateTimeOffset(ticks, TimeSpan.Zero);

    private static readonly Gen<Dictionary<string, string>> s_texts =
        from count in Gen.Choose(0, 5)
        from names in s_text.ArrayOf(count)
        from values in s_text.ArrayOf(count)
        select names.Zip(values).GroupBy(static pair => pair.First).ToDictionary(static same => same.Key, static same => same.First().Second);

    private static readonly Gen<EgressRule> s_rule =
        from action in Gen.Elements("allow", "deny")
        from target in Gen.Elements("pypi.org", "*.example.org", "*", "93.184.215.14", "10.0.0.0/8", "[2606:4700::/32]", "[::1]", "bücher.example")
        from ports in Gen.Elements("", ":443", ":80,443", ":8000-8999,22")
        select EgressRule.Parse(ports.Length == 0 ? $"{action} {target.Trim('[', ']')}" : $"{action} {target}{ports}");

    internal static Gen<SandboxSpec> Spec { get; } =
        from image in Maybe(s_text)
        from memory in Maybe(Gen.Choose(2, 64).Select(static value => value * 128))
        from pids in Gen.Choose(8, 65_536)
        from cpu in Maybe(Gen.Choose(1, 1_600))
        from workspace in Gen.Elements(true, false)
        from environment in s_texts
        from hostname in Maybe(Gen.Elements("box", "a", new string('h', 63)))
        from rules in s_rule.ArrayOf()
        from action in Gen.Elements(EgressAction.Allow, EgressAction.Deny)
        from connections in Gen.Choose(1, 65_536)
        from rate in Maybe(Long(1_024, 1L << 40))
        from scale in Maybe(Gen.Choose(256, 16_384))
        from metadata in s_texts
        from labels in s_texts
        select new SandboxSpec
        {
            Image = image,
            MemoryMib = memory,
            PidsMax = pids,
            CpuMaxPercent = cpu,
            Workspace = workspace,
            EnvironmentVariables = environment,
            Hostname = hostname,
            Egress = new EgressPolicy { DefaultAction = action, Rules = [.. rules.Take(8)] },
            EgressLimits = new EgressLimits { MaxConnections = connections, SendBytesPerSecond = rate, ConnectionsPerSecond = connections },
            MaxGuestScaleMib = scale,
            Metadata = metadata,
            Labels = labels,
        };

    private static readonly Gen<SandboxRecord> s_record =
        from spec in Spec
        from memory in Gen.Choose(1, 100_000)
        select SandboxRecord.From(spec, new LimitsRecord { MemoryMib = memory, CpuPercent = 100, PidsMax = spec.PidsMax });

    private static readonly Gen<FileStamp> s_stamp =
        from inode in Long(0, long.MaxValue)
        from bytes in Long(0, SavedFile.MaxBytes)
        from modified in Long(long.MinValue, long.MaxValue)
        from changed in Long(0, long.MaxValue)
        select new FileStamp { Inode = unchecked((ulong)inode * 2), Bytes = bytes, ModifiedNs = modified, ChangedNs = changed };

    internal static Gen<DiskChains> Disks(bool frozen) =>
        from ids in Hex(16).ArrayOf()
        from stamps in s_stamp.ArrayOf(12)
        from digests in Maybe(s_digest).ArrayOf(12)
        from active in Gen.Elements(true, false)
        from shape in Gen.Choose(0, 3)
        from image in s_digest
        let layers = ids.Distinct().Take(12).Select((id, index) => new LayerRef
        {
            Id = $"ly-{id}",
            File = new SavedFile { Name = $"ly-{id}.qcow2", Stamp = stamps[index], Sha256 = digests[index] },
        }).ToArray()
        let half = layers.Length / 2
        select new DiskChains
        {
            Rootfs = (shape & 1) != 0 ? Chain(image, layers[..half], !frozen && active) : null,
            Workspace = (shape & 2) != 0 ? Chain(image, layers[half..], !frozen && active) : null,
        };

    internal static Gen<SandboxManifest> Sandbox { get; } =
        from id in Gen.OneOf(Hex(8), Hex(32))
        from generation in Long(0, long.MaxValue - 1)
        from state in Gen.Elements(Enum.GetValues<RecordedState>())
        from detached in Gen.Elements(true, false)
        from vm in Gen.Elements(true, false)
        from created in s_time
        from record in s_record
        from disks in Disks(state == RecordedState.Hibernated)
        from snapshot in Hex(16)
        from named in Gen.Elements(true, false)
        from operation in Maybe(
            from kind in Gen.Elements(Enum.GetValues<OperationKind>())
            from of in Maybe(Hex(16).Select(static hex => $"sn-{hex}"))
            from at in s_time
            select new OperationRecord { Kind = kind, SnapshotId = of, StartedAt = at })
        from expiry in Maybe(
            from idle in MaybeNumber(Long(1, 1_000_000))
            from lifetime in MaybeNumber(Long(1, 1_000_000))
            from deadline in Gen.OneOf(s_time.Select(static time => (DateTimeOffset?)time), Gen.Constant<DateTimeOffset?>(null))
            from action in Gen.Elements(Enum.GetValues<ExpiryAction>())
            from last in s_time
            from wake in Gen.Elements(true, false)
            select new ExpiryRecord { IdleTimeoutMs = idle, LifetimeMs = lifetime, DeadlineUtc = deadline, Action = action, LastActivityUtc = last, AutoWake = wake })
        select new SandboxManifest
        {
            Id = $"sb-{id}",
            Generation = generation,
            State = state,
            Lifetime = detached ? RecordedLifetime.Detached : RecordedLifetime.Attached,
            CreatedAt = created,
            Sandbox = record,
            Disks = disks,
            SnapshotId = named || state == RecordedState.Hibernated ? $"sn-{snapshot}" : null,
            Vm = vm && detached && state != RecordedState.Hibernated ? Samples.Vm : null,
            Golden = vm || named ? Samples.Golden : null,
            Operation = operation,
            Expiry = expiry,
        };

    internal static Gen<SnapshotManifest> Snapshot { get; } =
        from id in Hex(16)
        from sandbox in Hex(8)
        from kind in Gen.Elements(Enum.GetValues<SnapshotKind>())
        from name in Maybe(s_text)
        from created in s_time
        from memory in Maybe(
            from state in s_stamp
            from pages in s_stamp
            from digest in Maybe(s_digest)
            from plugged in Long(0, 1L << 40)
            select new SnapshotMemory
            {
                DeviceState = new SavedFile { Name = "device-state", Stamp = state, Sha256 = digest },
                Memory = new SavedFile { Name = "memory", Stamp = pages },
                PluggedBytes = plugged,
                RequestedPluggedBytes = plugged,
                RamPages = plugged >> 12,
                PluggedPages = 0,
            })
        from key in s_digest
        from disks in Disks(frozen: true)
        from record in s_record
        from retained in Gen.Elements(true, false)
        select new SnapshotManifest
        {
            Id = $"sn-{id}",
            Kind = kind,
            SandboxId = $"sb-{sandbox}",
            Name = name,
            CreatedAt = created,
            Memory = memory,
            Identity = Samples.Identity with { CpuModel = record.Hostname ?? "x" },
            GoldenKey = key,
            GoldenRamSha256 = key,
            Disks = disks,
            Sandbox = record,
            Retained = retained,
        };

    private static DiskChain Chain(string image, LayerRef[] layers, bool active) => new()
    {
        ImageDigest = image,
        VirtualBytes = 1 << 20,
        Layers = active && layers.Length > 0 ? [.. layers[..^1], layers[^1] with { File = null }] : layers,
    };

    /// <summary>From low to high, and both often themselves.</summary>
    private static Gen<long> Long(long low, long high) => Gen.Frequency(
        (1, Gen.Elements(low, high)),
        (5, from first in Gen.Choose(0, int.MaxValue)
            from second in Gen.Choose(0, int.MaxValue)
            select low + (long)((((UInt128)(uint)first << 32) | (uint)second) % (UInt128)((Int128)high - low + 1))));

    private static Gen<string> Hex(int length) =>
        Gen.Elements("0123456789abcdef".ToCharArray()).ArrayOf(length).Select(static digits => new string(digits));

    private static Gen<T?> Maybe<T>(Gen<T> generator)
        where T : class => Gen.OneOf(generator.Select(static value => (T?)value), Gen.Constant<T?>(null));

    private static Gen<int?> Maybe(Gen<int> generator) => Gen.OneOf(generator.Select(static value => (int?)value), Gen.Constant<int?>(null));

    private static Gen<long?> Maybe(Gen<long> generator) => MaybeNumber(generator);

    private static Gen<long?> MaybeNumber(Gen<long> generator) =>
        Gen.OneOf(generator.Select(static value => (long?)value), Gen.Constant<long?>(null));

    private static string Cut(string text, int bytes)
    {
        while (System.Text.Encoding.UTF8.GetByteCount(text) > bytes)
        {
            text = text[..^(char.IsLowSurrogate(text[^1]) ? 2 : 1)];
        }

        return text;
    }
}
