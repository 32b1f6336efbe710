using Microsoft.Extensions.Logging.Abstractions;
using OpenSandbox.Host.Usage;

namespace OpenSandbox.Host.Tests;

public sealed class UsageBookTests : IDisposable
{
    private static readonly DateTimeOffset s_start = new(2026, 3, 1, 22, 59, 30, TimeSpan.Zero);
    private readonly string _state = Directory.CreateTempSubdirectory("usage-").FullName;

    public void Dispose() => Directory.Delete(_state, recursive: true);

    [Fact]
    public void Of_RunAcrossHoursAndDays_CountsSecondsTimesSize()
    {
        UsageBook book = Open();
        book.Run("a", s_start, 1_024);
        book.Run("a", s_start.AddSeconds(60), 2_048); // half a minute into the next hour
        book.End("a", s_start.AddSeconds(3_660));
        IReadOnlyList<UsagePoint> points = All(book, "a");
        Assert.Equal([30, 3_600, 30], points.Select(static point => point.Used.Seconds));
        Assert.Equal([22, 23, 0], points.Select(static point => point.Used.Hour));
        Assert.Equal(60 * 1_024 + 3_600 * 2_048, UsageBook.Sum(points).MibSeconds);
        Assert.Equal(2_048, UsageBook.Sum(points).PeakMib);
    }

    [Fact]
    public void Of_StillRunning_CountsUpToNowOnce()
    {
        UsageBook book = Open();
        book.Run("a", s_start, 1_024);
        Assert.Equal(10, UsageBook.Sum(book.Of("a", s_start.AddDays(-1), s_start.AddDays(1), s_start.AddSeconds(10))).Seconds);
        Assert.Equal(20, UsageBook.Sum(book.Of("a", s_start.AddDays(-1), s_start.AddDays(1), s_start.AddSeconds(20))).Seconds);
        Assert.Equal(20, UsageBook.Sum(book.Of("a", s_start.AddDays(-1), s_start.AddDays(1), s_start.AddSeconds(5))).Seconds); // a clock that was set back
    }

    [Fact]
    public void Run_AfterTheServerWasKilled_CountsTheTimeInBetween()
    {
        UsageBook killed = Open();
        killed.Run("runs", s_start, 1_024);
        killed.Run("sleeps", s_start, 1_024);
        killed.Save(s_start.AddSeconds(20));
        killed.Run("later", s_start.AddSeconds(25), 1_024); // never written
        UsageBook next = Open();
        next.Run("runs", s_start.AddSeconds(100), 1_024);
        next.End("sleeps", s_start.AddSeconds(100));
        next.Run("later", s_start.AddSeconds(100), 1_024);
        next.Save(s_start.AddSeconds(110));
        UsageBook read = Open();
        Assert.Equal(110, UsageBook.Sum(All(read, "runs")).Seconds);
        Assert.Equal(20, UsageBook.Sum(All(read, "sleeps")).Seconds);
        Assert.Equal(10, UsageBook.Sum(All(read, "later")).Seconds);
    }

    [Fact]
    public void Sums_SpanOfTime_HasTheHoursInIt()
    {
        UsageBook book = Open();
        book.Run("a", s_start, 1_024);
        book.End("a", s_start.AddHours(3));
        book.Run("b", s_start.AddHours(2), 512);
        book.End("b", s_start.AddHours(3));
        DateTimeOffset midnight = new(2026, 3, 2, 0, 0, 0, TimeSpan.Zero);
        Dictionary<string, UsageHour> sums = book.Sums(midnight, midnight.AddHours(1), s_start.AddHours(4));
        Assert.Equal(3_600, sums["a"].Seconds);
        Assert.Equal(3_600, book.Sums(midnight, midnight.AddHours(1), s_start.AddHours(4))["a"].Seconds);
        Assert.False(book.Sums(midnight.AddDays(-2), midnight.AddDays(-1), s_start).ContainsKey("b"));
    }

    [Fact]
    public void Save_OldDays_AreForgotten()
    {
        UsageBook book = Open();
        book.Run("a", s_start, 1_024);
        book.End("a", s_start.AddSeconds(10));
        book.Save(s_start.AddSeconds(20));
        Assert.NotEmpty(All(Open(), "a"));
        book.Save(s_start.AddDays(UsageBook.KeptDays + 2));
        Assert.Empty(All(Open(), "a"));
    }

    [Fact]
    public void Open_DamagedFile_IsLeftOut()
    {
        string directory = Path.Combine(_state, "api", "usage");
        Directory.CreateDirectory(directory);
        File.WriteAllText(Path.Combine(directory, "2026-03-01.json"), "{\"countedUntil\":");
        Assert.Empty(All(Open(), "a"));
    }

    [Theory]
    [InlineData("{\"countedUntil\":")]
    [InlineData("""{"format":2,"countedUntil":"2026-03-01T00:00:00Z","sandboxes":{}}""")]
    public void Save_DayThatCouldNotBeRead_IsKeptBesideTheNewOne(string content)
    {
        string directory = Path.Combine(_state, "api", "usage");
        Directory.CreateDirectory(directory);
        string file = Path.Combine(directory, "2026-03-01.json");
        File.WriteAllText(file, content);
        UsageBook book = Open();
        Assert.Equal(content, File.ReadAllText(file)); // as long as nothing has to be written
        book.Run("a", s_start, 1_024);
        book.Save(s_start.AddSeconds(10));
        book.Save(s_start.AddSeconds(20));

        Assert.Equal(20, UsageBook.Sum(All(Open(), "a")).Seconds);
        Assert.Equal(content, File.ReadAllText(Assert.Single(Directory.GetFiles(directory, "2026-03-01.*.unreadable.json"))));
    }

    [Fact]
    public void Run_MoreSandboxesThanADayHas_AreAddedUpInOne()
    {
        UsageBook book = Open();
        for (int i = 0; i < UsageBook.MaxOfADay + 2; i++)
        {
            book.Run($"s{i}", s_start, 1_024);
            book.End($"s{i}", s_start.AddSeconds(10));
        }

        book.Run("s0", s_start.AddSeconds(10), 1_024); // it has a place
        book.End("s0", s_start.AddSeconds(15));
        Dictionary<string, UsageHour> sums = book.Sums(s_start.AddDays(-1), s_start.AddDays(1), s_start.AddSeconds(20));
        Assert.Equal(UsageBook.MaxOfADay + 1, sums.Count);
        Assert.Equal(20, sums[UsageBook.Others].Seconds);
        Assert.Equal(15, sums["s0"].Seconds);
        Assert.Empty(All(book, $"s{UsageBook.MaxOfADay}"));
    }

    private UsageBook Open() => new(_state, NullLogger.Instance);

    private static IReadOnlyList<UsagePoint> All(UsageBook book, string id) => book.Of(id, s_start.AddYears(-1), s_start.AddYears(1), s_start);
}
