using System.Text;
using System.Text.Json.Nodes;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

public sealed class ManifestFileTests
{
    /// <summary>A manifest of format 1 as it was first written must stay readable: these texts are never changed, only added to.</summary>
    [Fact]
    public void Decode_SandboxManifestOfFormat1_IsReadAsWrittenThen()
    {
        SandboxManifest read = ManifestFile.Decode<SandboxManifest>(File.ReadAllBytes(Approved("sandbox-manifest-1.json")));

        Assert.Equal(Samples.SandboxId, read.Id);
        Assert.Equal(7, read.Generation);
        Assert.Equal(RecordedState.Running, read.State);
        Assert.Equal(Samples.Vm, read.Vm);
        Assert.Equal("ly-00000000000000aa", Assert.Single(read.Disks.Rootfs!.Layers).Id);
        Assert.Equal("me", read.Sandbox.Labels["owner"]);
        Assert.Equal(OperationKind.Checkpoint, read.Operation!.Kind);
        Assert.Equal(ExpiryAction.Hibernate, read.Expiry!.Action);
    }

    [Fact]
    public void Decode_SnapshotManifestOfFormat1_IsReadAsWrittenThen()
    {
        SnapshotManifest read = ManifestFile.Decode<SnapshotManifest>(File.ReadAllBytes(Approved("snapshot-manifest-1.json")));

        Assert.Equal("sn-00000000000000bb", read.Id);
        Assert.Equal(SnapshotKind.Checkpoint, read.Kind);
        Assert.Equal(4_096, read.Memory!.DeviceState.Bytes);
        Assert.Equal(Samples.Identity, read.Identity);
        Assert.True(read.Retained);
    }

    [Theory]
    [InlineData(0, "an older version")]
    [InlineData(2, "a newer version")]
    [InlineData(int.MaxValue, "a newer version")]
    public void Decode_OtherFormat_IsRefusedAndSaysSo(int format, string text)
    {
        InvalidDataException failure = Refused(manifest => manifest["format"] = format);

        Assert.Contains($"format {format}", failure.Message, StringComparison.Ordinal);
        Assert.Contains(text, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Decode_OtherFormatWithUnknownFields_IsRefusedForItsFormat() =>
        Assert.Contains("newer version", Refused(manifest =>
        {
            manifest["format"] = 2;
            manifest["ofTheFuture"] = new JsonObject();
            manifest.Remove("sandbox");
        }).Message, StringComparison.Ordinal);

    public static TheoryData<string> RequiredFields =>
        ["format", "id", "generation", "state", "lifetime", "createdAt", "sandbox", "disks"];

    [Theory]
    [MemberData(nameof(RequiredFields))]
    public void Decode_RequiredFieldMissing_IsRefusedAndNamed(string field) =>
        Assert.Contains(field, Refused(manifest => manifest.Remove(field)).Message, StringComparison.Ordinal);

    [Theory]
    [MemberData(nameof(RequiredFields))]
    public void Decode_RequiredFieldNull_IsRefused(string field) => Refused(manifest => manifest[field] = null);

    [Fact]
    public void Decode_UnknownField_IsRefused() =>
        Assert.Contains("ofTheFuture", Refused(manifest => manifest["ofTheFuture"] = 1).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("0")]
    [InlineData("\"asleep\"")]
    public void Decode_StateThatIsNone_IsRefused(string json) => Refused(manifest => manifest["state"] = JsonNode.Parse(json));

    [Theory]
    [InlineData("sb-1")]
    [InlineData("sb-../../etc")]
    [InlineData("sb-0123abcg")]
    [InlineData("SB-0123abcd")]
    [InlineData("sb-0123abcd/")]
    [InlineData("")]
    public void Decode_IdThatIsNone_IsRefused(string id) => Refused(manifest => manifest["id"] = id);

    private static readonly (Func<SandboxManifest, SandboxManifest> Change, string Text)[] s_broken =
    [
        (static m => m with { State = RecordedState.Hibernated, Vm = null }, "snapshotId"),
        (static m => m with { State = RecordedState.Hibernated, SnapshotId = "sn-0000000000000001" }, "vm"),
        (static m => m with { Lifetime = RecordedLifetime.Attached }, "vm"),
        (static m => m with { Generation = -1 }, "generation"),
        (static m => m with { CreatedAt = m.CreatedAt.ToOffset(TimeSpan.FromHours(1)) }, "UTC"),
        (static m => m with { SnapshotId = "sn-1" }, "snapshotId"),
        (static m => m with { State = (RecordedState)9 }, "state"),
        (static m => m with { Vm = Samples.Vm with { QemuPid = 0 } }, "qemuPid"),
        (static m => m with { Vm = Samples.Vm with { RuntimeDirectory = "/run/../etc" } }, "runtimeDirectory"),
        (static m => m with { Vm = Samples.Vm with { RuntimeDirectory = "run" } }, "runtimeDirectory"),
        (static m => m with { Vm = Samples.Vm with { Nonce = "x" } }, "nonce"),
        (static m => m with { Vm = Samples.Vm with { BootId = "x" } }, "bootId"),
        (static m => m with { Operation = new OperationRecord { SnapshotId = "../x", StartedAt = Samples.Time } }, "operation.snapshotId"),
        (static m => m with { Expiry = new ExpiryRecord { IdleTimeoutMs = 0, LastActivityUtc = Samples.Time } }, "idleTimeoutMs"),
        (static m => m with { Expiry = new ExpiryRecord { LifetimeMs = long.MaxValue, LastActivityUtc = Samples.Time } }, "lifetimeMs"),
        (static m => m with { Disks = Samples.Disks(Layer(1), Layer(1)) }, "twice"),
        (static m => m with { Disks = Samples.Disks(Active(1), Layer(2)) }, "not frozen"),
        (static m => m with { Disks = Samples.Disks(Layer(1) with { File = Layer(2).File }) }, "not the name of layer"),
        (static m => m with { Disks = m.Disks with { Workspace = m.Disks.Rootfs } }, "same layer"),
        (static m => m with { Disks = Samples.Disks([.. Enumerable.Range(0, 257).Select(Layer)]) }, "layers (entries)"),
        (static m => m with { Disks = new DiskChains { Rootfs = m.Disks.Rootfs! with { ImageDigest = "../x" } } }, "imageDigest"),
        (static m => m with { Disks = new DiskChains { Rootfs = m.Disks.Rootfs! with { VirtualBytes = 0 } } }, "virtualBytes"),
        (static m => m with { Sandbox = m.Sandbox with { Labels = Many(65) } }, "labels"),
        (static m => m with { Sandbox = m.Sandbox with { Metadata = Many(65) } }, "metadata"),
        (static m => m with { Sandbox = m.Sandbox with { Hostname = new string('h', 64) } }, "hostname"),
        (static m => m with { Sandbox = m.Sandbox with { EnvironmentVariables = new Dictionary<string, string> { ["a"] = "\uD800" } } }, "well-formed"),
        (static m => m with { Sandbox = m.Sandbox with { EnvironmentVariables = new Dictionary<string, string> { ["a"] = null! } } }, "null"),
        (static m => m with { Sandbox = m.Sandbox with { Egress = new EgressRecord { DefaultAction = "allow", Rules = ["allow"] } } }, "no rule"),
        (static m => m with { Sandbox = m.Sandbox with { Egress = new EgressRecord { DefaultAction = "x", Rules = [] } } }, "defaultAction"),
        (static m => m with { Sandbox = m.Sandbox with { EgressLimits = m.Sandbox.EgressLimits with { MaxConnections = 0 } } }, "MaxConnections"),
        (static m => m with { Sandbox = m.Sandbox with { Limits = Samples.Limits with { MemoryMib = 0 } } }, "limits.memoryMib"),
    ];

    public static TheoryData<int> Broken => [.. Enumerable.Range(0, s_broken.Length)];

    [Theory]
    [MemberData(nameof(Broken))]
    public void Encode_RuleBroken_IsRefusedAndSaysWhich(int index)
    {
        SandboxManifest good = Samples.Sandbox(rootfs: Layer(1)) with { Vm = Samples.Vm };
        ManifestFile.Encode(good);

        InvalidDataException failure = Assert.Throws<InvalidDataException>(() => ManifestFile.Encode(s_broken[index].Change(good)));

        Assert.Contains(s_broken[index].Text, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Encode_SnapshotWithActiveLayer_IsRefused() => Assert.Throws<InvalidDataException>(() => ManifestFile.Encode(
        Samples.Snapshot("sn-0000000000000001", SnapshotKind.Checkpoint, rootfs: [Layer(1), Active(2)])));

    [Fact]
    public void Encode_LongerThanAManifestMayBe_IsRefused() => Assert.Contains(
        "more than",
        Assert.Throws<InvalidDataException>(() => ManifestFile.Encode(Samples.Sandbox() with
        {
            Sandbox = Samples.Record with
            {
                EnvironmentVariables = Enumerable.Range(0, 80).ToDictionary(static i => $"{i}", static _ => new string('x', 131_000)),
            },
        })).Message,
        StringComparison.Ordinal);

    [Fact]
    public void Encode_LargestPolicy_FitsAndIsReadBack()
    {
        string ports = string.Join(',', Enumerable.Range(0, 32).Select(static i => $"{10_000 + (i * 1_000)}-{10_500 + (i * 1_000)}"));
        EgressRule[] rules = [.. Enumerable.Range(0, EgressPolicy.MaxRules).Select(i => EgressRule.Allow($"*.{new string('a', 50)}{i}.{new string('b', 60)}.example:{ports}"))];
        var policy = new EgressPolicy { Rules = rules };
        SandboxManifest manifest = Samples.Sandbox() with { Sandbox = SandboxRecord.From(new SandboxSpec { Egress = policy }, Samples.Limits) };

        Assert.Equal(policy, ManifestFile.Decode<SandboxManifest>(ManifestFile.Encode(manifest)).Sandbox.ToSpec().Egress);
    }

    [Fact]
    public void TryRead_TooLongFile_IsRefusedUnread()
    {
        using var directory = new TemporaryDirectory();
        using (var file = File.OpenHandle(directory.File("m"), FileMode.CreateNew, FileAccess.Write))
        {
            RandomAccess.SetLength(file, 1L << 40);
        }

        StateFileException failure = Assert.Throws<StateFileException>(() => ManifestFile.TryRead<SandboxManifest>(directory.File("m"), out _));

        Assert.Contains("more than", failure.Message, StringComparison.Ordinal);
        Assert.Contains(directory.File("m"), failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void SpecAndRecord_EveryPropertyOfTheSpec_IsKept()
    {
        // A property that is added to the specification must come back after a hibernation.
        string[] spec = [.. typeof(SandboxSpec).GetProperties().Select(static property => property.Name).Order()];
        string[] record = [.. typeof(SandboxRecord).GetProperties().Select(static property => property.Name).Where(static name => name != "Limits").Order()];

        // Its expiry stands beside it, in both manifests: it changes without the rest.
        Assert.Equal(spec, record.Append(nameof(SandboxManifest.Expiry)).Order());
        Assert.NotNull(typeof(SnapshotManifest).GetProperty(nameof(SnapshotManifest.Expiry)));
        string[] expiry = [.. typeof(ExpiryRecord).GetProperties().Select(static property => property.Name).Order()];
        Assert.Equal(["Action", "AutoWake", "DeadlineUtc", "IdleTimeoutMs", "LastActivityUtc", "LifetimeMs"], expiry);
        Assert.Equal(5, typeof(SandboxExpiry).GetProperties(System.Reflection.BindingFlags.Public | System.Reflection.BindingFlags.Instance).Length);
        Assert.Equal(
            typeof(EgressLimits).GetProperties().Select(static property => property.Name).Order(),
            typeof(EgressLimitsRecord).GetProperties().Select(static property => property.Name).Order());
    }

    [Fact]
    public void Spec_LabelsOutOfBounds_AreRefused()
    {
        Assert.Throws<ArgumentException>(() => new SandboxSpec { Labels = Many(65) }.Validate(new SandboxHostOptions()));
        Assert.Throws<ArgumentException>(() => Validate("", "x"));
        Assert.Throws<ArgumentException>(() => Validate(new string('é', 65), "x"));
        Assert.Throws<ArgumentException>(() => Validate("x", new string('x', 1_025)));
        Validate(new string('é', 64), new string('x', 1_024));

        static void Validate(string name, string value) =>
            new SandboxSpec { Labels = new Dictionary<string, string> { [name] = value } }.Validate(new SandboxHostOptions());
    }

    private static InvalidDataException Refused(Action<JsonObject> change)
    {
        byte[] whole = ManifestFile.Encode(Samples.Sandbox(rootfs: Layer(1)));
        var record = JsonNode.Parse(whole)!["manifest"]!.AsObject();
        ManifestFile.Decode<SandboxManifest>(ManifestProperties.Seal(Encoding.UTF8.GetBytes(record.ToJsonString())));
        change(record);
        return Assert.Throws<InvalidDataException>(
            () => ManifestFile.Decode<SandboxManifest>(ManifestProperties.Seal(Encoding.UTF8.GetBytes(record.ToJsonString()))));
    }

    private static LayerRef Layer(int number) => Active(number) with
    {
        File = new SavedFile { Name = $"ly-{number:x16}.qcow2", Stamp = new FileStamp { Inode = 1, Bytes = 1 } },
    };

    private static LayerRef Active(int number) => new() { Id = $"ly-{number:x16}" };

    private static Dictionary<string, string> Many(int count) => Enumerable.Range(0, count).ToDictionary(static i => $"{i}", static _ => "");

    private static string Approved(string name) => Path.Combine(AppContext.BaseDirectory, "approved", "state", name);
}
