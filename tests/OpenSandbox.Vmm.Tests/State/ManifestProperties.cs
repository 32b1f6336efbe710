using System.Security.Cryptography;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Tests.Network;

namespace OpenSandbox.Vmm.Tests.State;

/// <summary>What must hold for any manifest, and for any bytes in place of one.</summary>
public sealed class ManifestProperties
{
    [Fact]
    public void SandboxManifest_OfAnyShape_IsReadBackAsWritten() => ForAll(ManifestGen.Sandbox, IsReadBack);

    [Fact]
    public void SnapshotManifest_OfAnyShape_IsReadBackAsWritten() => ForAll(ManifestGen.Snapshot, IsReadBack);

    [Fact]
    public void SandboxSpec_OfAnyShape_IsMadeAgainAsItWas() => ForAll(
        ManifestGen.Spec,
        static spec =>
        {
            SandboxSpec again = SandboxRecord.From(spec, Samples.Limits).ToSpec();
            return again with
            {
                EnvironmentVariables = spec.EnvironmentVariables,
                Metadata = spec.Metadata,
                Labels = spec.Labels,
            } == spec
                && Same(again.EnvironmentVariables, spec.EnvironmentVariables)
                && Same(again.Metadata, spec.Metadata)
                && Same(again.Labels, spec.Labels);
        });

    [Fact]
    public void Manifest_WithAnyBytesChanged_IsRefusedOrTheSame() => ForAll(
        from manifest in ManifestGen.Sandbox
        from edits in Gen.Zip(Gen.Choose(0, int.MaxValue), Gen.Choose(0, 255)).ArrayOf()
        from how in Gen.Choose(0, 4)
        from cut in Gen.Choose(0, int.MaxValue)
        select (manifest, edits: edits.Take(5).ToArray(), how, cut),
        static c =>
        {
            byte[] whole = ManifestFile.Encode(c.manifest);
            byte[] damaged = Damage(whole, c.edits, c.how, c.cut);
            try
            {
                ManifestFile.Decode<SandboxManifest>(damaged);
                return damaged.AsSpan().SequenceEqual(whole);
            }
            catch (InvalidDataException)
            {
                return !damaged.AsSpan().SequenceEqual(whole);
            }
        });

    /// <summary>With the right digest over the wrong record, as a program with a defect, or an attacker, would write it.</summary>
    [Fact]
    public void Manifest_WithAnyBytesChangedAndTheDigestMatching_IsRefusedOrValid()
    {
        int valid = 0;
        ForAll(
            from manifest in ManifestGen.Snapshot
            from edits in Gen.Zip(
                Gen.Choose(0, int.MaxValue), Gen.OneOf(Gen.Choose(0, 255), Gen.Elements("\"\\{}[]:,0-9.eEnutsy/ ".Select(c => (int)c).ToArray()))).ArrayOf()
            from how in Gen.Choose(0, 4)
            from cut in Gen.Choose(0, int.MaxValue)
            select (manifest, edits: edits.Take(5).ToArray(), how, cut),
            c =>
            {
                byte[] whole = ManifestFile.Encode(c.manifest);
                byte[] record = Damage(whole[(whole.AsSpan().IndexOf("\"manifest\":"u8) + 11)..^2], c.edits, c.how, c.cut);
                try
                {
                    SnapshotManifest read = ManifestFile.Decode<SnapshotManifest>(Seal(record));
                    read.Validate();
                    valid++;
                    return IsReadBack(read);
                }
                catch (InvalidDataException)
                {
                    return true;
                }
            });

        Assert.True(valid > 10, $"only {valid} cases came past the parser");
    }

    [Fact]
    public void Manifest_OfAnyBytes_IsRefused() => ForAll(
        Cases.Bytes,
        static bytes =>
        {
            try
            {
                ManifestFile.Decode<SandboxManifest>(bytes);
                return false;
            }
            catch (InvalidDataException)
            {
                return true;
            }
        });

    /// <summary>A case takes a tenth of a millisecond to make: fewer of them, unless a number was asked for.</summary>
    private static void ForAll<T>(Gen<T> generator, Func<T, bool> holds) => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(Environment.GetEnvironmentVariable("OPENSANDBOX_TEST_CASES") is null ? 4_000 : Cases.Count).WithEndSize(100),
        Prop.ForAll(generator.ToArbitrary(), holds));

    internal static byte[] Seal(ReadOnlySpan<byte> record)
    {
        string head = $$"""{"sha256":"{{Convert.ToHexStringLower(SHA256.HashData(record))}}","manifest":""";
        return [.. Encoding.ASCII.GetBytes(head), .. record, (byte)'}', (byte)'\n'];
    }

    private static bool IsReadBack<T>(T manifest)
        where T : class, IManifest<T>
    {
        byte[] written = ManifestFile.Encode(manifest);
        return ManifestFile.Encode(ManifestFile.Decode<T>(written)).AsSpan().SequenceEqual(written);
    }

    private static bool Same(IReadOnlyDictionary<string, string> first, IReadOnlyDictionary<string, string> second) =>
        first.Count == second.Count && first.All(pair => second.TryGetValue(pair.Key, out string? value) && value == pair.Value);

    private static byte[] Damage(byte[] whole, (int At, int Value)[] edits, int how, int cut)
    {
        byte[] damaged = [.. whole];
        foreach ((int at, int value) in edits)
        {
            damaged[at % damaged.Length] = (byte)value;
        }

        return how switch
        {
            0 => damaged[..(cut % damaged.Length)],
            1 => [.. damaged, .. damaged[..(cut % 100)]],
            2 => [.. damaged[..(cut % damaged.Length)], .. damaged[(Math.Min(cut % damaged.Length, damaged.Length - 1) + 1)..]],
            _ => damaged,
        };
    }
}
