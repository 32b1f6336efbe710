using Microsoft.Extensions.Logging.Abstractions;
using OpenSandbox.Host.Usage;

namespace OpenSandbox.Host.Tests.Contract;

public sealed class UsageSeenTests : IDisposable
{
    private static readonly DateTimeOffset s_start = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);
    private readonly string _state = Directory.CreateTempSubdirectory("usage-").FullName;

    public void Dispose() => Directory.Delete(_state, recursive: true);

    [Fact]
    public void See_AFewTimes_CountsEachUpToWhenItWasSeen()
    {
        var book = new UsageBook(_state, NullLogger<UsageBook>.Instance);
        book.Run("a", s_start, 1_024);
        book.See("a", 100 << 20, s_start.AddSeconds(10)); // the first time stands for all before
        book.See("a", 300 << 20, s_start.AddSeconds(20));
        book.End("a", s_start.AddSeconds(30)); // as it was seen last
        UsageHour sum = UsageBook.Sum(book.Of("a", s_start.AddDays(-1), s_start.AddDays(1), s_start.AddSeconds(30)));
        Assert.Equal(10 * 100 + 10 * 300 + 10 * 300, sum.UsedMibSeconds);
        Assert.Equal(30, sum.Seconds);
        Assert.Equal(300, sum.PeakUsedMib);
    }

    [Fact]
    public void See_WhatDoesNotRun_IsNotCounted()
    {
        var book = new UsageBook(_state, NullLogger<UsageBook>.Instance);
        book.See("a", 100 << 20, s_start);
        Assert.Empty(book.Of("a", s_start.AddDays(-1), s_start.AddDays(1), s_start.AddSeconds(30)));
    }
}
