using System.Text;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Copying;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Tests.Support;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Tests;

/// <summary>The verb <c>cp</c> against a keeper that a guest could have taken over.</summary>
public sealed class CopyTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;
    private readonly StringBuilder _said = new();
    private readonly CancellationTokenSource _deadline = new(CliProcess.Deadline);

    public void Dispose()
    {
        _deadline.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Theory]
    [InlineData("a", 0, true)]
    [InlineData("a/b/./c", 0, true)]
    [InlineData("./a", 0, true)]
    [InlineData(".", 0, true)]
    [InlineData("..", 1, true)]
    [InlineData("../../a", 2, true)]
    [InlineData("..", 0, false)]
    [InlineData("../../a", 1, false)]
    [InlineData("a/..", 3, false)]
    [InlineData("a/../../..", 1, false)]
    [InlineData("./..//../a", 1, false)]
    [InlineData("/etc/passwd", 5, false)]
    [InlineData("", 5, false)]
    [InlineData("a\0b", 0, false)]
    public void Link_OnlyWithinTheTree_IsMade(string target, int depth, bool expected) => Assert.Equal(expected, LinkTargets.StayInside(target, depth));

    [Theory]
    [InlineData("sb-1234abcd:/x", "sb-1234abcd", "/x")]
    [InlineData("sb-1234abcd", null, "sb-1234abcd")]
    [InlineData("C:/x", null, "C:/x")]
    [InlineData("./sb-1234abcd:/x", null, "./sb-1234abcd:/x")]
    [InlineData("-", null, "-")]
    public void Path_IsReadAsMeant(string text, string? id, string path) => Assert.Equal(new CopyPath(id, path), CopyPath.Parse(text));

    [Fact]
    public void Path_RelativeInASandbox_IsAUsageError() => Assert.Throws<UsageException>(() => CopyPath.Parse("sb-1234abcd:x"));

    [Theory]
    [InlineData("/a/b", "b")]
    [InlineData("a/", "a")]
    [InlineData("/", null)]
    [InlineData("a/.", null)]
    [InlineData("..", null)]
    public void Name_OfAPath_IsItsLastPart(string path, string? name) => Assert.Equal(name, CopyPath.NameOf(path));

    [Fact]
    public async Task CopyOut_HostileNames_WriteNothingElsewhere()
    {
        string[] names = ["..", ".", "", "../evil", "/etc/evil", "a\0b", "good", "sub/../../evil2"];
        await using FakeKeeper keeper = Serving(
            new Dictionary<string, ControlFileEntry[]>
            {
                ["/src"] = [.. names.Select(static name => File($"/src/{name}"))],
            });
        Assert.True(await CopyAsync(keeper, "/src", "out"));

        // Of a path only the last name counts.
        Assert.Equal(["evil", "evil2", "good"], Names("out"));
        Assert.Equal(["out"], Names("."));
        Assert.Contains("a name that no file can have", _said.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task CopyOut_LinksThatLeadOut_AreLeftOutAndToldAndNothingIsWrittenThroughLinks()
    {
        string outside = Path.Combine(_directory, "outside");
        Directory.CreateDirectory(outside);
        await using FakeKeeper keeper = Serving(
            new Dictionary<string, ControlFileEntry[]>
            {
                // A link, and then a directory and a file of the same name: what comes later must not go through it.
                ["/src"] =
                [
                    Link("/src/abs", outside), Link("/src/up", "../outside"), Link("/src/chain", "d/../../outside"), Link("/src/ok", "d/f"),
                    Link("/src/trap", "d"), Dir("/src/trap"), Link("/src/file", "d/f"), File("/src/file"), Dir("/src/d"),
                ],
                ["/src/trap"] = [File("/src/trap/through")],
                ["/src/d"] = [File("/src/d/f"), Link("/src/d/back", "../ok"), Link("/src/d/out", "../../outside")],
            });
        await Assert.ThrowsAsync<IOException>(() => CopyAsync(keeper, "/src", "out"));
        Assert.Empty(Directory.EnumerateFileSystemEntries(outside));
        Assert.Equal(3, _said.ToString().Split('\n').Count(static line => line.Contains("leads out", StringComparison.Ordinal)));
        Assert.Equal("d/f", new FileInfo(Path.Combine(_directory, "out", "ok")).LinkTarget);
        Assert.False(Directory.Exists(Path.Combine(_directory, "out", "d")), "it came after the directory that met the link");
    }

    [Fact]
    public async Task CopyOut_LinkIsAlreadyThere_IsReplacedByTheFileAndNotFollowed()
    {
        string victim = Path.Combine(_directory, "victim");
        await System.IO.File.WriteAllTextAsync(victim, "untouched");
        Directory.CreateDirectory(Path.Combine(_directory, "out"));
        System.IO.File.CreateSymbolicLink(Path.Combine(_directory, "out", "f"), victim);
        await using FakeKeeper keeper = Serving(new Dictionary<string, ControlFileEntry[]> { ["/src"] = [File("/src/f")] });
        Assert.False(await CopyAsync(keeper, "/src/.", "out"));
        Assert.Equal("untouched", await System.IO.File.ReadAllTextAsync(victim));
        Assert.Equal("/src/f", await System.IO.File.ReadAllTextAsync(Path.Combine(_directory, "out", "f")));
        Assert.Null(new FileInfo(Path.Combine(_directory, "out", "f")).LinkTarget);
    }

    [Fact]
    public async Task CopyOut_SpecialFilesAndSetUserId_DoNotComeAlong()
    {
        await using FakeKeeper keeper = Serving(new Dictionary<string, ControlFileEntry[]>
        {
            ["/src"] = [File("/src/su") with { Mode = 0xFED }, File("/src/exact") with { Mode = 0x1A1 }, new ControlFileEntry { Path = "/src/dev", Kind = SandboxFileKind.Other }],
        });
        Assert.True(await CopyAsync(keeper, "/src", "out"));
        Assert.Equal(["exact", "su"], Names("out"));
        Assert.Equal((UnixFileMode)0x1ED, System.IO.File.GetUnixFileMode(Path.Combine(_directory, "out", "su")));
        Assert.Equal((UnixFileMode)0x1A1, System.IO.File.GetUnixFileMode(Path.Combine(_directory, "out", "exact")));
    }

    [Fact]
    public async Task CopyOut_DirectoriesThatExist_KeepTheirModesAndNewOnesGetTheGuests()
    {
        const UnixFileMode mine = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        Directory.CreateDirectory(Path.Combine(_directory, "src"), mine);
        Directory.CreateDirectory(Path.Combine(_directory, "src", "old"), mine);
        await using FakeKeeper keeper = Serving(new Dictionary<string, ControlFileEntry[]>
        {
            ["/src"] = [Dir("/src/old") with { Mode = 0x1FF }, Dir("/src/new") with { Mode = 0x1C8 }],
            ["/src/old"] = [File("/src/old/f")],
            ["/src/new"] = [],
        });
        Assert.False(await CopyAsync(keeper, "/src", "."));
        Assert.Equal(mine, System.IO.File.GetUnixFileMode(Path.Combine(_directory, "src")));
        Assert.Equal(mine, System.IO.File.GetUnixFileMode(Path.Combine(_directory, "src", "old")));
        Assert.Equal(["f"], Names("src/old"));
        Assert.Equal((UnixFileMode)(0x1C8 & ~FileModeMask.OfThisProcess), System.IO.File.GetUnixFileMode(Path.Combine(_directory, "src", "new")));
    }

    [Fact]
    public async Task CopyOut_PermissionsThatTheUmaskDenies_AreNotGiven()
    {
        await using FakeKeeper keeper = Serving(new Dictionary<string, ControlFileEntry[]>
        {
            ["/src"] = [File("/src/f") with { Mode = 0x1FF }, Dir("/src/d") with { Mode = 0x1FF }],
            ["/src/d"] = [],
        });
        Assert.False(await CopyAsync(keeper, "/src", "out"));

        // The kernel applies the umask to what is made here.
        var made = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = (UnixFileMode)0x1FF };
        await using (new FileStream(Path.Combine(_directory, "here"), made))
        {
            UnixFileMode allowed = System.IO.File.GetUnixFileMode(Path.Combine(_directory, "here"));
            Assert.Equal(allowed, System.IO.File.GetUnixFileMode(Path.Combine(_directory, "out", "f")));
            Assert.Equal(allowed, System.IO.File.GetUnixFileMode(Path.Combine(_directory, "out", "d")));
        }
    }

    [Theory]
    [InlineData("Name:\tx\nUmask:\t0027\n", 0x17)]
    [InlineData("Umask:\t0000", 0)]
    [InlineData("Name:\tx\n", 0x12)]
    public void Mask_OfAStatusFile_IsFound(string status, uint mask) => Assert.Equal(mask, FileModeMask.Parse(status.Split('\n')));

    [Fact]
    public void Listings_ShareTheirRoom_UntilTheyGiveItBack()
    {
        var link = new ListedFile("n", SandboxFileKind.SymbolicLink, 0x1FF, 0, new string('t', 1_000));
        var room = new ListingRoom(entries: 3, bytes: 5_000);
        Assert.True(room.TryTake(link));
        Assert.True(room.TryTake(link));
        Assert.False(room.TryTake(link));
        var small = new ListedFile("n", SandboxFileKind.File, 0x1FF, 0, null);
        Assert.True(room.TryTake(small));
        Assert.False(room.TryTake(small));
        room.Return([link, link, small]);
        Assert.True(room.TryTake(link));
    }

    [Fact]
    public async Task CopyOut_HugeLinkTargets_EndWithAMessageBeforeTheyFillTheMemory()
    {
        string target = new('t', 1 << 20);
        int sent = 0;
        await using FakeKeeper keeper = FakeKeeper.Answering(async (request, connection, ending) =>
        {
            if (request.Operation == ControlOperation.Describe)
            {
                await connection.SendAsync(ControlFrameKind.Result, Dir("/x"), ControlJsonContext.Default.ControlFileEntry, ending);
                return;
            }

            for (; sent < 1_000; sent++)
            {
                await connection.SendAsync(ControlFrameKind.Item, Link("/x/l", target), ControlJsonContext.Default.ControlFileEntry, ending);
            }
        });
        CliException failure = await Assert.ThrowsAsync<CliException>(() => CopyAsync(keeper, "/x", "out"));
        Assert.Contains("more entries", failure.Message, StringComparison.Ordinal);
        Assert.InRange(sent, 1, 200);
    }

    [Fact]
    public async Task CopyOut_FileBreaksOff_LeavesWhatWasThere()
    {
        await System.IO.File.WriteAllTextAsync(Path.Combine(_directory, "f"), "old");
        await using FakeKeeper keeper = new(static async (socket, ending) =>
        {
            using var connection = new ControlConnection(socket);
            await connection.ExchangePreamblesAsync(ending);
            await connection.ReadAsync(ending);
            await connection.SendAsync(ControlFrameKind.Result, File("/f"), ControlJsonContext.Default.ControlFileEntry, ending);
            await connection.ReadAsync(ending);
            await connection.SendAsync(ControlFrameKind.Data, "half"u8.ToArray(), ending);
        });
        Exception failure = await Record.ExceptionAsync(() => CopyAsync(keeper, "/f", "f"));
        Assert.True(failure is CliException or IOException, failure?.ToString());
        Assert.Equal("old", await System.IO.File.ReadAllTextAsync(Path.Combine(_directory, "f")));
        Assert.Equal(["f"], Names("."));
    }

    [Fact]
    public async Task CopyOut_EndlessNesting_EndsWithAMessage()
    {
        await using FakeKeeper keeper = FakeKeeper.Answering(async (request, connection, ending) =>
        {
            if (request.Operation == ControlOperation.List)
            {
                await connection.SendAsync(ControlFrameKind.Item, Dir("/x/d"), ControlJsonContext.Default.ControlFileEntry, ending);
                await DoneAsync(connection, ending);
            }
            else
            {
                await connection.SendAsync(ControlFrameKind.Result, Dir(request.File!.Path), ControlJsonContext.Default.ControlFileEntry, ending);
            }
        });
        CliException failure = await Assert.ThrowsAsync<CliException>(() => CopyAsync(keeper, "/x", "out"));
        Assert.Contains("nested deeper", failure.Message, StringComparison.Ordinal);
    }

    private static ControlFileEntry File(string path) => new() { Path = path, Kind = SandboxFileKind.File, Mode = 0x1A4 };

    private static ControlFileEntry Dir(string path) => new() { Path = path, Kind = SandboxFileKind.Directory, Mode = 0x1ED };

    private static ControlFileEntry Link(string path, string target) => new() { Path = path, Kind = SandboxFileKind.SymbolicLink, Mode = 0x1FF, Target = target };

    /// <summary>A keeper with these directories, whose files contain their own paths.</summary>
    private static FakeKeeper Serving(Dictionary<string, ControlFileEntry[]> directories) => FakeKeeper.Answering(async (request, connection, ending) =>
    {
        string path = request.File!.Path;
        switch (request.Operation)
        {
            case ControlOperation.Describe:
                await connection.SendAsync(ControlFrameKind.Result, Dir(path), ControlJsonContext.Default.ControlFileEntry, ending);
                break;
            case ControlOperation.List:
                foreach (ControlFileEntry entry in directories[path.EndsWith("/.", StringComparison.Ordinal) ? path[..^2] : path])
                {
                    await connection.SendAsync(ControlFrameKind.Item, entry, ControlJsonContext.Default.ControlFileEntry, ending);
                }

                await DoneAsync(connection, ending);
                break;
            default:
                await connection.SendAsync(ControlFrameKind.Data, Encoding.UTF8.GetBytes(path.Replace("/./", "/", StringComparison.Ordinal)), ending);
                await DoneAsync(connection, ending);
                break;
        }
    });

    private static Task DoneAsync(ControlConnection connection, CancellationToken ending) =>
        connection.SendAsync(ControlFrameKind.Result, ControlNothing.Instance, ControlJsonContext.Default.ControlNothing, ending);

    private async Task<bool> CopyAsync(FakeKeeper keeper, string source, string destination)
    {
        var leftOut = new LeftOut(new ErrorWriter(bytes => _said.Append(Encoding.UTF8.GetString(bytes)), debug: false));
        using KeptSandbox kept = await KeptSandbox.ConnectAsync(keeper.Directory, FakeKeeper.Id, _deadline.Token);
        await new CopyOut(kept, leftOut, _deadline.Token).CopyAsync(source, Path.Combine(_directory, destination));
        return leftOut.Any;
    }

    private IEnumerable<string?> Names(string directory) =>
        Directory.EnumerateFileSystemEntries(Path.Combine(_directory, directory)).Select(Path.GetFileName).Order(StringComparer.Ordinal);
}
