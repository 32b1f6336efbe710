using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Records;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Host.Tests;

public sealed class RecordStoreTests : IDisposable
{
    private static readonly SnapshotEntry s_record = new()
    {
        Id = "a",
        Name = "one",
        Hash = "0",
        Manifest = JsonSerializer.SerializeToElement("any"),
        Status = SnapshotEntry.Ready,
        CreatedAt = DateTimeOffset.UnixEpoch,
    };

    private readonly string _directory = Directory.CreateTempSubdirectory("records-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void Change_AddsReplacesAndRemoves_AndTheNextOneFindsIt()
    {
        RecordStore<SnapshotEntry> store = Open();
        store.Change("a", static _ => s_record);
        store.Change("b", static _ => s_record);
        store.Change("a", static old => old! with { Name = "two" });
        store.Change("b", static _ => null);

        Assert.Equal("two", Open().Find("a")!.Name);
        Assert.Equal(["a"], Open().Keys);
    }

    [Theory]
    [InlineData("replace.written=enospc")]
    [InlineData("sync.file=eio")]
    public void Change_CannotBeWritten_TheOldOneHolds(string fault)
    {
        RecordStore<SnapshotEntry> store = Open();
        store.Change("a", static _ => s_record);
        using (Fault.ArmFlow(FaultPlan.Parse(fault)))
        {
            Assert.ThrowsAny<IOException>(() => store.Change("a", static old => old! with { Name = "two" }));
        }

        Assert.Equal("one", store.Find("a")!.Name);
        Assert.Equal("one", Open().Find("a")!.Name);
        Assert.Single(Directory.GetFiles(_directory));
    }

    [Fact]
    public void Change_ToNothing_IsSyncedAndSaysWhenItIsNot()
    {
        RecordStore<SnapshotEntry> store = Open();
        store.Change("a", static _ => s_record);
        using (Fault.ArmFlow(FaultPlan.Parse("sync.directory=eio")))
        {
            Assert.ThrowsAny<IOException>(() => store.Change("a", static _ => null));
        }

        Assert.Null(store.Find("a"));
        Assert.Null(store.Change("a", static _ => null)); // again, and it is durable
        Assert.Empty(Open().Keys);
    }

    [Theory]
    [InlineData("not JSON")]
    [InlineData("null")]
    [InlineData("{}")]
    public void Open_WithAFileThatIsNone_LeavesItOutAndKeepsTheRest(string content)
    {
        Open().Change("a", static _ => s_record);
        File.WriteAllText(Path.Combine(_directory, "b.json"), content);
        File.WriteAllText(Path.Combine(_directory, "c.json.0.tmp"), "half");

        Assert.Equal(["a"], Open().Keys);
        Assert.True(File.Exists(Path.Combine(_directory, "b.json")));
        Assert.False(File.Exists(Path.Combine(_directory, "c.json.0.tmp")));
    }

    private RecordStore<SnapshotEntry> Open() =>
        new(_directory, HostJsonContext.Default.SnapshotEntry, static record => record.Name is { Length: > 0 }, NullLogger.Instance);
}
