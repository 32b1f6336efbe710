using System.Globalization;
using System.Text;

namespace OpenSandbox.Integration.Tests;

[Collection(HostFixture.Collection)]
public sealed class FileChangesTests(HostFixture fixture) : SandboxTest(fixture)
{
    private const int EPERM = 1;
    private const int EBUSY = 16;
    private const int EEXIST = 17;
    private const int EINVAL = 22;
    private const int ENOTEMPTY = 39;
    private const int EOPNOTSUPP = 95;

    [SkippableFact]
    public async Task Stat_File_TellsOwnersNamesAndAllTimes()
    {
        await ShellAsync("touch /workspace/f && chown sandbox:tty /workspace/f && touch -a -d '2001-02-03 04:05:06.123456789Z' /workspace/f "
            + "&& touch -m -d '2002-03-04 05:06:07.987654321Z' /workspace/f && touch /tmp/u && chown 4711:4712 /tmp/u");

        SandboxFile file = await Files.StatAsync("/workspace/f", ExecTests.Deadline());
        SandboxFile unknown = await Files.StatAsync("/tmp/u", ExecTests.Deadline());

        Assert.Equal(("sandbox", "tty"), (file.User, file.Group));
        Assert.Equal(981_173_106_123_456_789, file.AccessedNanoseconds);
        Assert.Equal(1_015_218_367_987_654_321, file.ModifiedNanoseconds);
        long now = (TimeProvider.System.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks * 100;
        Assert.InRange(file.ChangedNanoseconds!.Value, now - 60_000_000_000, now + 60_000_000_000);
        Assert.InRange(file.CreatedNanoseconds!.Value, now - 60_000_000_000, file.ChangedNanoseconds.Value);
        Assert.Equal((4711L, 4712L, null, null), (unknown.Uid, unknown.Gid, unknown.User, unknown.Group));
    }

    [SkippableFact]
    public async Task CreateDirectory_OwnerGroupAndMode_AreThoseAskedFor()
    {
        SandboxFile made = await Files.CreateDirectoryAsync("/tmp/a/b/c", mode: 0x1F8, user: "sandbox", group: "tty", cancellationToken: ExecTests.Deadline());
        await Files.WriteAsync("/tmp/a/f", "x"u8.ToArray().AsMemory(), new FileWriteOptions { User = "root", Group = "tty" }, ExecTests.Deadline());

        Assert.Equal((0x1F8, "sandbox", "tty"), (made.Mode, made.User, made.Group));
        Assert.Equal("755 sandbox tty\n755 sandbox tty\n770 sandbox tty\n644 root tty\n",
            await ShellAsync("stat -c '%a %U %G' /tmp/a /tmp/a/b /tmp/a/b/c /tmp/a/f"));
    }

    [SkippableFact]
    public async Task Move_WithinAFileSystem_RenamesAndNeverReplacesUnlessAsked()
    {
        await Files.WriteTextAsync("/workspace/a", "a", cancellationToken: ExecTests.Deadline());
        await Files.WriteTextAsync("/workspace/b", "b", cancellationToken: ExecTests.Deadline());
        string inode = await ShellAsync("stat -c %i /workspace/a");

        SandboxOperationException refused = await Assert.ThrowsAsync<SandboxOperationException>(
            () => Files.MoveAsync("/workspace/a", "/workspace/b", cancellationToken: ExecTests.Deadline()));
        SandboxFile moved = await Files.MoveAsync("/workspace/a", "/workspace/new/dir/c", cancellationToken: ExecTests.Deadline());
        await Files.MoveAsync("/workspace/b", "/workspace/new/dir/c", new FileMoveOptions { Overwrite = true }, ExecTests.Deadline());

        Assert.Equal((EEXIST, SandboxErrorCode.AlreadyExists), (refused.Errno, refused.Code));
        Assert.Contains("/workspace/b", refused.Message, StringComparison.Ordinal);
        Assert.Equal(("/workspace/new/dir/c", 1L), (moved.Path, moved.Size));
        Assert.Equal("b", await Files.ReadAllTextAsync("/workspace/new/dir/c", ExecTests.Deadline()));
        Assert.NotEqual(inode, await ShellAsync("stat -c %i /workspace/new/dir/c"));
        SandboxOperationException missing = await Assert.ThrowsAsync<SandboxOperationException>(
            () => Files.MoveAsync("/workspace/a", "/workspace/d/e/f", cancellationToken: ExecTests.Deadline()));
        Assert.Equal(SandboxErrorCode.NotFound, missing.Code);
        Assert.False(await Files.ExistsAsync("/workspace/d", ExecTests.Deadline())); // no parents for nothing
    }

    [SkippableFact]
    public async Task Move_TreeToAnotherDisk_KeepsEverythingThatFilesHave()
    {
        await ShellAsync(
            "mkdir -p /opt/t/sub /opt/t/empty && cd /opt/t && head -c 3000000 /dev/urandom > big && echo x > sub/small && ln -s ../big sub/link && ln -s /none dangling"
                + " && mkfifo fifo && truncate -s 100M sparse && echo end >> sparse && chmod 4755 big && chmod 1777 sub && chmod 0500 empty"
                + " && chown -h sandbox:tty big sub sub/link && touch -d '2001-01-01 01:01:01.111111111Z' big sub/small && touch -h -d '2003-03-03Z' sub/link"
                + " && touch -d '2002-02-02 02:02:02Z' sub empty .");
        const string describe = "| sort && cd /; cd - > /dev/null; sha256sum big sub/small";
        string before = await ShellAsync($"cd /opt/t && find . -printf '%p %y %s %m %U %G %T@ %l\\n' {describe}");

        SandboxFile moved = await Files.MoveAsync("/opt/t", "/workspace/here/t", cancellationToken: ExecTests.Deadline(120));

        // The size of a directory is the file system's own.
        Assert.Equal(WithoutDirectorySizes(before), WithoutDirectorySizes(
            await ShellAsync($"cd /workspace/here/t && find . -printf '%p %y %s %m %U %G %T@ %l\\n' {describe}")));
        Assert.Equal(SandboxFileKind.Directory, moved.Kind);
        Assert.False(await Files.ExistsAsync("/opt/t", ExecTests.Deadline()));
        Assert.True(int.Parse(await ShellAsync("du -k /workspace/here/t/sparse | cut -f1"), CultureInfo.InvariantCulture) < 1_000);
        Assert.Equal("t\n", await ShellAsync("ls -A /workspace/here"));
    }

    [SkippableFact]
    public async Task Move_ParentBecomesALinkWhileItCopies_RemovesWhatItCopiedAndNothingElse()
    {
        await ShellAsync("mkdir -p /opt/p/t /opt/other/t && head -c 400000000 /dev/zero > /opt/p/t/big && echo precious > /opt/other/t/big");
        Task<string> swap = ShellAsync(
            "until ls -A /workspace | grep -q opensandbox-; do :; done; mv /opt/p /opt/away && ln -s other /opt/p && ls -A /workspace");

        await Files.MoveAsync("/opt/p/t", "/workspace/t", cancellationToken: ExecTests.Deadline(120));

        Assert.Contains("opensandbox-", await swap, StringComparison.Ordinal); // the copy was still under way
        Assert.Equal("precious\n", await ShellAsync("cat /opt/other/t/big"));
        Assert.Equal("", await ShellAsync("ls -A /opt/away"));
        Assert.Equal("400000000\n", await ShellAsync("stat -c %s /workspace/t/big"));
    }

    [SkippableFact]
    public async Task MoveOrCopy_Impossible_SaysWhyAndChangesNothing()
    {
        await ShellAsync("mkdir -p /opt/d/e /workspace/full && touch /workspace/full/x /opt/f");

        await AssertErrnoAsync(EBUSY, () => Files.MoveAsync("/workspace", "/opt/w", cancellationToken: ExecTests.Deadline()));
        await AssertErrnoAsync(EINVAL, () => Files.MoveAsync("/opt/d", "/opt/d/e/f", cancellationToken: ExecTests.Deadline()));
        await AssertErrnoAsync(EINVAL, () => Files.CopyAsync("/opt/d", "/opt/d/e/f", cancellationToken: ExecTests.Deadline()));
        await AssertErrnoAsync(
            ENOTEMPTY, () => Files.MoveAsync("/opt/d", "/workspace/full", new FileMoveOptions { Overwrite = true }, ExecTests.Deadline()));
        await AssertErrnoAsync(EEXIST, () => Files.CopyAsync("/opt/f", "/workspace/full/x", cancellationToken: ExecTests.Deadline()));
        Assert.Equal("x\n", await ShellAsync("ls -A /workspace/full"));
        Assert.Equal("/opt/d\n/opt/d/e\n/opt/f\n", await ShellAsync("find /opt/d /opt/f"));
    }

    [SkippableFact]
    public async Task Copy_TreeAndFile_LeavesTheSource()
    {
        await ShellAsync("mkdir -p /opt/c/sub && echo 1 > /opt/c/sub/one && chmod 640 /opt/c/sub/one && chown sandbox /opt/c/sub/one");

        await Files.CopyAsync("/opt/c", "/opt/copy", cancellationToken: ExecTests.Deadline());
        SandboxFile file = await Files.CopyAsync("/opt/c/sub/one", "/workspace/x/one", cancellationToken: ExecTests.Deadline());

        Assert.Equal((0x1A0, "sandbox", 2L), (file.Mode, file.User, file.Size));
        Assert.Equal("1\n1\n1\n", await ShellAsync("cat /opt/c/sub/one /opt/copy/sub/one /workspace/x/one"));
    }

    [SkippableFact]
    public async Task Move_CancelledWhileItCopies_LeavesTheSourceAndNothingElse()
    {
        await ShellAsync("mkdir /opt/m && head -c 400000000 /dev/zero > /opt/m/big");
        using var cancel = new CancellationTokenSource();
        Task<SandboxFile> move = Files.MoveAsync("/opt/m", "/workspace/m", cancellationToken: cancel.Token);
        await ExecTests.UntilAsync(async () => (await ShellAsync("ls -A /workspace")).Contains("opensandbox-", StringComparison.Ordinal) || move.IsCompleted);

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => move);
        await ExecTests.UntilAsync(async () => (await ShellAsync("ls -A /workspace | grep -v lost+found || true")).Length == 0);
        Assert.Equal("400000000\n", await ShellAsync("stat -c %s /opt/m/big"));
    }

    [SkippableFact]
    public async Task SetAttributes_PathAndTree_ChangesWhatIsAskedForAndFollowsNoLink()
    {
        await ShellAsync("mkdir -p /opt/x/y && touch /opt/x/y/f /opt/out && ln -s /opt/out /opt/x/l && chmod 600 /opt/out && mkfifo /opt/x/p");

        SandboxFile one = await Files.SetAttributesAsync("/opt/x/y/f", new FileAttributeChanges { Mode = 0xD6D, User = "1000" }, ExecTests.Deadline());
        SandboxFile tree = await Files.SetAttributesAsync(
            "/opt/x", new FileAttributeChanges { Mode = 0x1C8, User = "sandbox", Group = "tty", Recursive = true }, ExecTests.Deadline());

        Assert.Equal((0xD6D, "sandbox", "root"), (one.Mode, one.User, one.Group)); // 06555
        Assert.Equal((0x1C8, "sandbox", "tty"), (tree.Mode, tree.User, tree.Group));
        Assert.Equal(
            "710 sandbox tty\n710 sandbox tty\n710 sandbox tty\n710 sandbox tty\n777 sandbox tty\n600 root root\n",
            await ShellAsync("stat -c '%a %U %G' /opt/x /opt/x/y /opt/x/y/f /opt/x/p /opt/x/l /opt/out"));
        await AssertErrnoAsync(EOPNOTSUPP, () => Files.SetAttributesAsync("/opt/x/l", new FileAttributeChanges { Mode = 0 }, ExecTests.Deadline()));
        await Files.SetAttributesAsync("/opt/x/l", new FileAttributeChanges { Mode = 0x124, FollowLink = true }, ExecTests.Deadline());
        Assert.Equal("444\n", await ShellAsync("stat -c %a /opt/out"));
        SandboxOperationException unknown = await Assert.ThrowsAsync<SandboxOperationException>(
            () => Files.SetAttributesAsync("/opt/x", new FileAttributeChanges { Group = "nobodys" }, ExecTests.Deadline()));
        Assert.Equal(SandboxErrorCode.InvalidRequest, unknown.Code);
        await AssertErrnoAsync(EPERM, async () =>
        {
            await ShellAsync("touch /opt/imm && chattr +i /opt/imm");
            await Files.SetAttributesAsync("/opt/imm", new FileAttributeChanges { Mode = 0 }, ExecTests.Deadline());
        });
    }

    [SkippableFact]
    public async Task Replace_SeveralFiles_CountsAndKeepsModeAndOwner()
    {
        await ShellAsync("cd /opt && printf 'a-b-a' > one && chmod 640 one && chown sandbox:tty one && printf 'nothing' > two && ln -s one link && truncate -s 65M huge");
        byte[] binary = new byte[1_000_003];
        new Random(3).NextBytes(binary);
        byte[] needle = [0, 255, 10, 13, 0, 1];
        foreach (int at in (ReadOnlySpan<int>)[0, 131_069, 131_072 * 3 - 2, 999_997]) // also across the pieces that are read at once
        {
            needle.CopyTo(binary, at);
        }

        await Files.WriteAsync("/opt/binary", binary, cancellationToken: ExecTests.Deadline());

        IReadOnlyList<SandboxFileResult> results = await Files.ReplaceAsync(
            [
                new FileReplacement("/opt/link", "a", "\u00e4\u00e4"),
                new FileReplacement("/opt/two", "x", "y"),
                new FileReplacement("/opt/binary", needle, "!"u8.ToArray()),
                new FileReplacement("/opt/none", "x", "y"),
                new FileReplacement("/opt", "x", "y"),
                new FileReplacement("/opt/huge", "x", "y"),
            ],
            ExecTests.Deadline());

        Assert.Equal([2, 0, 4, 0, 0, 0], results.Select(static result => result.Count));
        Assert.Equal(
            [null, null, null, SandboxErrorCode.NotFound, SandboxErrorCode.OperationFailed, SandboxErrorCode.LimitReached],
            results.Select(static result => result.Error?.Code));
        Assert.Equal("\u00e4\u00e4-b-\u00e4\u00e4", await Files.ReadAllTextAsync("/opt/one", ExecTests.Deadline()));
        Assert.Equal("640 sandbox tty l\n", await ShellAsync("stat -c '%a %U %G' /opt/one | tr '\\n' ' '; find /opt/link -printf '%y\\n'"));
        byte[] expected = Encoding.Latin1.GetBytes(Encoding.Latin1.GetString(binary).Replace(Encoding.Latin1.GetString(needle), "!", StringComparison.Ordinal));
        Assert.Equal(expected, await Files.ReadAllBytesAsync("/opt/binary", cancellationToken: ExecTests.Deadline()));
        Assert.Equal("", await ShellAsync("ls -A /opt | grep opensandbox || true"));
    }

    [SkippableFact]
    public async Task Search_Patterns_FindWhatTheySay()
    {
        await ShellAsync("mkdir -p /opt/s/src/deep/er /opt/s/.hidden && cd /opt/s && touch a.py b.txt src/c.py src/deep/d.py src/deep/er/e.py .hidden/f.py 'x[1].py' && ln -s a.py l.py");

        Assert.Equal([".hidden/f.py", "a.py", "src/c.py", "src/deep/d.py", "src/deep/er/e.py", "x[1].py"], await FindAsync("*.py"));
        Assert.Equal(["a.py", "src/c.py", "src/deep/d.py", "src/deep/er/e.py", "x[1].py"], await FindAsync("*.py", new FileSearchOptions { IncludeHidden = false }));
        Assert.Equal(["src/c.py", "src/deep/d.py", "src/deep/er/e.py"], await FindAsync("src/**/*.py"));
        Assert.Equal(["src/deep/d.py"], await FindAsync("src/*/[a-d].py"));
        Assert.Equal(["x[1].py"], await FindAsync("x\\[1\\].py"));
        Assert.Equal([".hidden", "src", "src/deep", "src/deep/er"], await FindAsync("[!a-bx]*[!y]", new FileSearchOptions { AllKinds = true }));
        Assert.Equal(["a.py", "l.py", "x[1].py"], await FindAsync("*.py", new FileSearchOptions { Depth = 1, AllKinds = true }));
        Assert.Equal(3, (await FindAsync("**", new FileSearchOptions { MaxCount = 3 })).Length);
        SandboxOperationException missing = await Assert.ThrowsAsync<SandboxOperationException>(
            () => CollectAsync(Files.SearchAsync("/opt/none", "*", cancellationToken: ExecTests.Deadline())));
        Assert.Equal(SandboxErrorCode.NotFound, missing.Code);
    }

    private async Task<string[]> FindAsync(string pattern, FileSearchOptions? options = null)
    {
        List<SandboxFile> found = await CollectAsync(Files.SearchAsync("/opt/s", pattern, options, ExecTests.Deadline()));
        return [.. found.Select(static file => file.Path["/opt/s/".Length..]).Order(StringComparer.Ordinal)];
    }

    private static async Task AssertErrnoAsync(int errno, Func<Task> call)
    {
        SandboxOperationException failure = await Assert.ThrowsAsync<SandboxOperationException>(call);
        Assert.True(errno == failure.Errno, failure.Message);
    }

    private static string WithoutDirectorySizes(string listing) => string.Join(
        '\n', listing.Split('\n').Select(static line => line.Contains(" d ", StringComparison.Ordinal) ? string.Join(' ', line.Split(' ').Where(static (_, i) => i != 2)) : line));
}
