using OpenSandbox.Host.Api;
using OpenSandbox.Host.Errors;

namespace OpenSandbox.Host.Tests.Contract;

public sealed class FileListingTests
{
    [Fact]
    public void Add_FilesAndDirectories_HaveNamesAndPaths()
    {
        var listing = new FileListing("/tmp/");
        listing.Add("a", 3);
        listing.Add("/tmp/b", null);
        Assert.Equal([new FileReply("a", false, 3, "/tmp/a"), new FileReply("b", true, null, "/tmp/b")], listing.Files);
    }

    [Fact]
    public void Add_LongNamesInGreatNumber_IsRefusedBeforeTheyAreMany()
    {
        var listing = new FileListing("/tmp");
        string name = new('n', 4_000);
        ApiException refused = Assert.Throws<ApiException>(() =>
        {
            for (int i = 0; i < 100_000; i++)
            {
                listing.Add(name, 0);
            }
        });
        Assert.Equal(413, refused.Status);
        Assert.InRange(listing.Files.Length, 1_000, 5_000);
    }

    [Fact]
    public void Add_TooManyEntries_IsRefused()
    {
        var listing = new FileListing("/");
        for (int i = 0; i < 100_000; i++)
        {
            listing.Add("n", 0);
        }

        Assert.Equal(413, Assert.Throws<ApiException>(() => listing.Add("n", 0)).Status);
    }

    [Fact]
    public void Add_WhatNoPathIs_IsTheGuestsFault() =>
        Assert.Equal(502, Assert.Throws<ApiException>(() => new FileListing("/tmp").Add(new string('n', 4_352), 0)).Status);

    [Fact]
    public void Sessions_LongCommandsInGreatNumber_AreRefused()
    {
        var process = new SandboxProcessInfo { Id = "00000001", Pid = 1, Command = [new string('c', 30_000)], User = "root", StartedAt = default };
        Assert.Equal(500, SessionEndpoints.Bounded(Enumerable.Repeat(process, 500)).Count());
        Assert.Equal(413, Assert.Throws<ApiException>(() => SessionEndpoints.Bounded(Enumerable.Repeat(process, 600)).Count()).Status);
    }
}
