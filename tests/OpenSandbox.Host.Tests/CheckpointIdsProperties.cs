using FsCheck;
using FsCheck.Fluent;
using OpenSandbox.Host.Api;

namespace OpenSandbox.Host.Tests;

public sealed class CheckpointIdsProperties
{
    private static readonly Gen<string> s_snapshots =
        Gen.Elements("0123456789abcdef".ToCharArray()).ArrayOf(16).Select(static digits => "sn-" + new string(digits));

    [Fact]
    public void ToUuid_EverySnapshot_IsAUuidThatLeadsBack() => Properties.ForAll(s_snapshots, static snapshot =>
    {
        string uuid = CheckpointIds.ToUuid(snapshot);
        return Guid.TryParseExact(uuid, "D", out Guid id) && id.Version == 8
            && CheckpointIds.TryToSnapshot(uuid, out string? back) && back == snapshot
            && CheckpointIds.TryToSnapshot(uuid.ToUpperInvariant(), out back) && back == snapshot
            && CheckpointIds.TryToSnapshot(snapshot, out back) && back == snapshot;
    });

    [Fact]
    public void TryToSnapshot_AnyText_GivesASnapshotOrNothing() => Properties.ForAll(Properties.Text, static text =>
        !CheckpointIds.TryToSnapshot(text, out string? snapshot)
        || (snapshot.Length == 19 && snapshot.StartsWith("sn-", StringComparison.Ordinal) && snapshot.Skip(3).All(char.IsAsciiHexDigitLower)));

    [Fact]
    public void TryToSnapshot_AnyOtherUuid_GivesNothing() => Properties.ForAll(
        Gen.Choose(0, 255).Select(static value => (byte)value).ArrayOf(16).Select(static bytes => new Guid(bytes)),
        static uuid => !CheckpointIds.TryToSnapshot(uuid.ToString(), out string? snapshot) || CheckpointIds.ToUuid(snapshot) == uuid.ToString());
}
