using Microsoft.Extensions.Logging;
using OpenSandbox.Host.Security;

namespace OpenSandbox.Host.Tests;

public sealed class ApiKeyStoreTests : IDisposable
{
    private readonly string _file = Path.GetTempFileName();
    private readonly ManualClock _clock = new();
    private readonly ErrorLog _log = new();

    public void Dispose() => File.Delete(_file);

    [Fact]
    public void Accepts_KnownKeys_AndNoOthers()
    {
        ApiKeyStore keys = Open("# comment\n\n first \nsecond\r\n", "fixed");

        Assert.True(keys.IsRequired);
        Assert.All((string[])["first", "second", "fixed"], key => Assert.True(keys.Accepts(key, out _), key));
        Assert.All(
            (string[])["", "f", "firs", "first ", "First", "firstsecond", "# comment", "fixe", "fixed\0", new string('f', 100_000), "\ud800"],
            key => Assert.False(keys.Accepts(key, out _), key));
    }

    [Fact]
    public void Accepts_ClientId_IsOfTheKeyAndTellsNothingOfIt()
    {
        ApiKeyStore keys = Open("first\nsecond\n");
        keys.Accepts("first", out string first);
        keys.Accepts("second", out string second);
        keys.Accepts("first", out string again);

        Assert.Equal(first, again);
        Assert.NotEqual(first, second);
        Assert.DoesNotContain("first", first, StringComparison.Ordinal);
    }

    [Fact]
    public void Accepts_FileChanged_NewKeysHoldAndOldOnesNoLonger()
    {
        ApiKeyStore keys = Open("old\n");
        Write("new\n");
        Assert.True(keys.Accepts("old", out _), "it was looked at again before its time");

        _clock.Advance(TimeSpan.FromSeconds(2));

        Assert.True(keys.Accepts("new", out _));
        Assert.False(keys.Accepts("old", out _));
    }

    [Theory]
    [InlineData("good\nbad key\n")]
    [InlineData("\u0001\n")]
    public void Accepts_FileSpoiled_KeysStayAsTheyWere(string content)
    {
        ApiKeyStore keys = Open("old\n");
        Write(content);
        _clock.Advance(TimeSpan.FromSeconds(2));

        Assert.True(keys.Accepts("old", out _));
        Assert.False(keys.Accepts("good", out _));
        Assert.Single(_log.Errors);
    }

    [Fact]
    public void Accepts_FileGone_KeysStayAsTheyWereUntilItIsBack()
    {
        ApiKeyStore keys = Open("old\n");
        File.Delete(_file);
        _clock.Advance(TimeSpan.FromSeconds(2));
        Assert.True(keys.Accepts("old", out _));

        Write("back\n");
        _clock.Advance(TimeSpan.FromSeconds(2));

        Assert.True(keys.Accepts("back", out _));
        Assert.False(keys.Accepts("old", out _));
    }

    [Fact]
    public void Accepts_EmptiedFile_NobodyGetsIn()
    {
        ApiKeyStore keys = Open("old\n");
        Write("# none\n");
        _clock.Advance(TimeSpan.FromSeconds(2));

        Assert.True(keys.IsRequired, "a file without keys must not open the server");
        Assert.False(keys.Accepts("old", out _));
        Assert.False(keys.Accepts("", out _));
    }

    [Fact]
    public void Open_BadFile_IsRefusedWithItsLine()
    {
        FormatException failure = Assert.Throws<FormatException>(() => Open("good\n# fine\nbad key\n"));

        Assert.Contains("line 3", failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("bad key", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_HugeFile_IsRefused() => Assert.Throws<FormatException>(() => Open(new string('\n', (1 << 20) + 1)));

    [Fact]
    public void Open_NoFile_IsRefused()
    {
        File.Delete(_file);

        Assert.Throws<FileNotFoundException>(() => new ApiKeyStore(Options([]), Logger()));
    }

    /// <summary>
    /// Digests are compared, in constant time each, and all of them: what is near to a key takes no other time than what is far from it.
    /// The bound is generous, the machine may be busy; a comparison that ends early differs by hundreds of times with these keys.
    /// </summary>
    [Fact]
    public void Accepts_NearAndFar_TakeTheSameTime()
    {
        string[] many = [.. Enumerable.Range(0, 2_000).Select(static i => $"key-{i:D6}-{new string('x', 400)}")];
        ApiKeyStore keys = Open("", many);
        string near = many[0][..^1] + "y";
        string far = new('z', near.Length);

        double ratio = Median(keys, near) / Median(keys, far);

        Assert.InRange(ratio, 0.2, 5);
        Assert.InRange(Median(keys, many[0]) / Median(keys, far), 0.2, 5);
    }

    private static double Median(ApiKeyStore keys, string key)
    {
        double[] times = new double[301];
        for (int i = 0; i < times.Length; i++)
        {
            long begun = System.Diagnostics.Stopwatch.GetTimestamp();
            keys.Accepts(key, out _);
            times[i] = System.Diagnostics.Stopwatch.GetElapsedTime(begun).TotalMicroseconds;
        }

        Array.Sort(times);
        return times[times.Length / 2];
    }

    private ApiKeyStore Open(string content, params string[] @fixed)
    {
        File.WriteAllText(_file, content);
        return new ApiKeyStore(Options(@fixed), Logger());
    }

    /// <summary>Another length or time of change, whatever the resolution of the file system's clock.</summary>
    private void Write(string content)
    {
        File.WriteAllText(_file, content);
        File.SetLastWriteTimeUtc(_file, DateTime.UnixEpoch.AddDays(content.Length));
    }

    private ServerOptions Options(string[] keys) =>
        new() { ApiKeys = keys, ApiKeysFile = _file, Sandboxes = new SandboxHostOptions { TimeProvider = _clock } };

    private ILogger Logger() => _log.CreateLogger("keys");
}
