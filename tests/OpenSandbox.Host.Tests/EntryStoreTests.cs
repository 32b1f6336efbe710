using Microsoft.Extensions.Logging.Abstractions;
using OpenSandbox.Host.Records;

namespace OpenSandbox.Host.Tests;

public sealed class EntryStoreTests : IDisposable
{
    private readonly string _state = Directory.CreateTempSubdirectory("entries-").FullName;

    private string Records => Path.Combine(_state, "api", "sandboxes");

    public void Dispose() => Directory.Delete(_state, recursive: true);

    [Theory]
    [InlineData("not JSON")]
    [InlineData("""{"format":999,"id":"sb-1","startedAt":"2026-01-01T00:00:00Z"}""")]
    public void Put_WhereARecordCouldNotBeRead_KeepsThatAside(string content)
    {
        _ = Open();
        File.WriteAllText(Path.Combine(Records, "sb-1.json"), content);
        EntryStore store = Open();
        Assert.Null(store.Find("sb-1"));

        store.Put(new SandboxEntry { Id = "sb-1", StartedAt = DateTimeOffset.UnixEpoch, Alias = "new" });
        store.Put(new SandboxEntry { Id = "sb-1", StartedAt = DateTimeOffset.UnixEpoch, Alias = "newer" });

        Assert.Equal("newer", Open().Find("sb-1")!.Alias);
        string kept = Assert.Single(Directory.GetFiles(Records, "*.unreadable"));
        Assert.Equal(content, File.ReadAllText(kept));
    }

    [Fact]
    public void Open_WhatWasBegunToBeWritten_IsRemoved()
    {
        _ = Open();
        File.WriteAllText(Path.Combine(Records, "sb-1.json.0.tmp"), "half");
        _ = Open();
        Assert.Empty(Directory.GetFiles(Records));
    }

    private EntryStore Open() => new(_state, NullLogger.Instance);
}
