namespace OpenSandbox.Integration.Tests;

[Collection(HostFixture.Collection)]
public sealed class FileWatchTests(HostFixture fixture) : SandboxTest(fixture)
{
    [SkippableFact]
    public async Task Watch_Directory_TellsEveryKindOfEvent()
    {
        await ShellAsync("mkdir /workspace/w /workspace/w/sub");
        await using SandboxFileWatch watch = await Files.WatchAsync("/workspace/w", cancellationToken: ExecTests.Deadline());

        await ShellAsync("cd /workspace/w && echo 1 > f && chmod 600 f && mv f g && rm g && mkdir d && touch sub/unseen && touch end");

        List<SandboxFileEvent> events = await UntilAsync(watch, "/workspace/w/end");
        Assert.Equal(
            [
                "Created f", "Modified f", "Written f", "AttributesChanged f", "MovedFrom f", "MovedTo g", "Deleted g", "Created d/",
            ],
            events.Where(static told => told.Path.Length > 0 && !told.Path.EndsWith("end", StringComparison.Ordinal)
                && !told.Path.EndsWith("/sub", StringComparison.Ordinal)).Select(Describe));
        SandboxFileEvent from = events.Single(static told => told.Kind == SandboxFileEventKind.MovedFrom);
        SandboxFileEvent to = events.Single(static told => told.Kind == SandboxFileEventKind.MovedTo);
        Assert.NotEqual(0, from.MoveId);
        Assert.Equal(from.MoveId, to.MoveId);
        Assert.DoesNotContain(events, static told => told.Path.Contains("unseen", StringComparison.Ordinal));
    }

    [SkippableFact]
    public async Task Watch_Recursive_FollowsDirectoriesThatComeMoveAndGo()
    {
        await ShellAsync("mkdir -p /workspace/r/a/b /workspace/outside/o");
        await using SandboxFileWatch watch = await Files.WatchAsync("/workspace/r", new FileWatchOptions { Recursive = true }, ExecTests.Deadline());
        IAsyncEnumerator<SandboxFileEvent> events = watch.GetAsyncEnumerator(ExecTests.Deadline(60));

        await ShellAsync("touch /workspace/r/a/b/one");
        await ExpectAsync(events, "Written a/b/one");
        await ShellAsync("mkdir -p /workspace/r/new/x/y && touch /workspace/r/new/x/y/two");
        await ExpectAsync(events, "Created new/x/y/two"); // whether it was there before its directory was watched or not
        await ShellAsync("echo 2 > /workspace/r/new/x/y/two");
        await ExpectAsync(events, "Modified new/x/y/two");
        await ShellAsync("mv /workspace/r/new /workspace/r/a/moved && touch /workspace/r/a/moved/x/three");
        await ExpectAsync(events, "Written a/moved/x/three");
        await ShellAsync("mv /workspace/r/a/moved /workspace/away && touch /workspace/away/x/four && mv /workspace/outside /workspace/r/in");
        await ExpectAsync(events, "MovedTo in/");
        await ShellAsync("touch /workspace/r/in/o/five && rm -r /workspace/r/in && touch /workspace/r/last");
        List<string> rest = await ExpectAsync(events, "Written last");
        Assert.Contains("Deleted in/", rest);
        Assert.DoesNotContain(rest, static told => told.Contains("four", StringComparison.Ordinal));
        await events.DisposeAsync();
    }

    [SkippableFact]
    public async Task Watch_RootIsDeleted_EndsAfterSayingSo()
    {
        await ShellAsync("mkdir /workspace/gone && touch /workspace/file");
        await using SandboxFileWatch watch = await Files.WatchAsync("/workspace/gone", new FileWatchOptions { Recursive = true }, ExecTests.Deadline());
        await using SandboxFileWatch file = await Files.WatchAsync("/workspace/file", cancellationToken: ExecTests.Deadline());

        await ShellAsync("rmdir /workspace/gone && echo 1 >> /workspace/file && rm /workspace/file");

        Assert.Equal(["Deleted gone"], (await CollectAsync(watch)).Select(static told => $"{told.Kind} {told.Path["/workspace/".Length..]}"));
        List<SandboxFileEvent> told = await CollectAsync(file);
        Assert.Contains(told, static happened => happened.Kind == SandboxFileEventKind.Written);
        Assert.Equal(SandboxFileEventKind.Deleted, told[^1].Kind);
        Assert.All(told, static happened => Assert.Equal("/workspace/file", happened.Path));
    }

    [SkippableFact]
    public async Task Watch_ReaderIsSlow_OverflowIsReportedAndTheRestOfTheSandboxGoesOn()
    {
        await ShellAsync("mkdir /workspace/many");
        await using SandboxFileWatch watch = await Files.WatchAsync("/workspace/many", cancellationToken: ExecTests.Deadline());

        // Nobody reads: the window fills up, then the kernel's queue of 16,384 events.
        await ShellAsync("cd /workspace/many && for i in 1 2 3; do seq -f 'a-rather-long-name-so-that-events-take-room-%g' 6000 | xargs touch; seq -f 'a-rather-long-name-so-that-events-take-room-%g' 6000 | xargs rm; done; touch end");
        Assert.True((await Sandbox.PingAsync(ExecTests.Deadline())).TotalSeconds < 10);

        bool overflow = false;
        await foreach (SandboxFileEvent told in watch)
        {
            if (overflow |= told.Kind == SandboxFileEventKind.Overflow)
            {
                break;
            }
        }

        Assert.True(overflow);
    }

    [SkippableFact]
    public async Task Watch_DisposedOrRefused_LeavesNothingInTheGuest()
    {
        await ShellAsync("mkdir -p /workspace/t/1/2/3");
        SandboxOperationException missing = await Assert.ThrowsAsync<SandboxOperationException>(
            () => Files.WatchAsync("/workspace/none", cancellationToken: ExecTests.Deadline()));
        SandboxOperationException tooMany = await Assert.ThrowsAsync<SandboxOperationException>(
            () => Files.WatchAsync("/workspace/t", new FileWatchOptions { Recursive = true, MaxWatches = 3 }, ExecTests.Deadline()));
        string before = await ShellAsync("ls -l /proc/1/fd | grep -c inotify || true");
        for (int i = 0; i < 20; i++)
        {
            await using SandboxFileWatch watch = await Files.WatchAsync("/workspace/t", new FileWatchOptions { Recursive = true }, ExecTests.Deadline());
        }

        Assert.Equal(SandboxErrorCode.NotFound, missing.Code);
        Assert.Equal(SandboxErrorCode.LimitReached, tooMany.Code);
        await ExecTests.UntilAsync(async () => await ShellAsync("ls -l /proc/1/fd | grep -c inotify || true") == before);
    }

    private static string Describe(SandboxFileEvent told) =>
        $"{told.Kind} {told.Path["/workspace/x/".Length..]}{(told.IsDirectory ? "/" : "")}";

    private static async Task<List<SandboxFileEvent>> UntilAsync(SandboxFileWatch watch, string path)
    {
        var all = new List<SandboxFileEvent>();
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        await foreach (SandboxFileEvent told in watch.WithCancellation(deadline.Token))
        {
            all.Add(told);
            if (told.Path == path && told.Kind == SandboxFileEventKind.Written)
            {
                break;
            }
        }

        return all;
    }

    /// <summary>Reads until an event that looks like this; gives the ones before it.</summary>
    private static async Task<List<string>> ExpectAsync(IAsyncEnumerator<SandboxFileEvent> events, string expected)
    {
        var seen = new List<string>();
        while (true)
        {
            Assert.True(await events.MoveNextAsync(), $"the watch ended before '{expected}': {string.Join(", ", seen)}");
            string told = Describe(events.Current);
            if (told == expected)
            {
                return seen;
            }

            seen.Add(told);
        }
    }
}
