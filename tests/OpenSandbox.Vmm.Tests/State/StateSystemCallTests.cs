using System.Text.RegularExpressions;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

/// <summary>What the kernel really gets to see, by strace: that nothing is claimed that an fsync did not confirm.</summary>
[Collection(LocksCollection.Name)]
public sealed partial class StateSystemCallTests
{
    public static TheoryData<string> Scenarios => ["create", "commit", "hibernate", "checkpoint", "amend", "delete-snapshot"];

    /// <summary>Each fsync of a change fails once, as on a broken disk.</summary>
    [SkippableTheory]
    [MemberData(nameof(Scenarios))]
    public async Task FSync_FailingInTheKernel_IsNeverASuccess(string name)
    {
        RequireStrace();
        StateScenario scenario = StateScenario.Of(name);
        int failures = 0;
        while (true)
        {
            using var directory = new TemporaryDirectory();
            var store = StateStore.Open(directory.File("state"));
            scenario.Arrange(store);
            using var child = ChildProcess.Start(
                ["act", name, store.Layout.Root],
                null,
                "strace", "-f", "-qq", "-o", directory.File("trace"), "-e", "trace=fsync,fdatasync", "-e", $"inject=fsync:error=EIO:when={failures + 1}");
            (int exitCode, string output, string errors) = await child.WaitAsync();
            bool injected = (await File.ReadAllTextAsync(directory.File("trace"))).Contains("INJECTED", StringComparison.Ordinal);
            StateOutcome outcome = StateScenario.Restart(scenario, store.Layout.Root);
            Assert.NotEqual(StateOutcome.Wrong, outcome);
            if (!injected)
            {
                Assert.True(exitCode == 0 && output == "acknowledged\n" && outcome == StateOutcome.New, errors);
                break;
            }

            failures++;
            Assert.True(exitCode != 0 && output.Length == 0, $"{name}: fsync {failures} failed, and the change was acknowledged");
            Assert.Contains("errno 5", errors, StringComparison.Ordinal);
        }

        Assert.True(failures > 0, $"{name} makes no call of fsync");
    }

    /// <summary>
    /// What survives a loss of power: a file is synced after its last change and before it gets the name under which it counts, and the
    /// directory of every new name is synced before anything is acknowledged.
    /// </summary>
    [SkippableTheory]
    [MemberData(nameof(Scenarios))]
    public async Task Change_InOrderOfItsSystemCalls_IsDurableBeforeItIsAcknowledged(string name)
    {
        RequireStrace();
        StateScenario scenario = StateScenario.Of(name);
        using var directory = new TemporaryDirectory();
        var store = StateStore.Open(directory.File("state"));
        scenario.Arrange(store);
        using var child = ChildProcess.Start(
            ["act", name, store.Layout.Root],
            null,
            "strace", "-f", "-qq", "-y", "-s", "32", "-o", directory.File("trace"),
            "-e", "trace=write,pwrite64,ftruncate,fchmod,fsync,rename,linkat,mkdir");
        (int exitCode, string output, string errors) = await child.WaitAsync();
        Assert.True(exitCode == 0 && output == "acknowledged\n", errors);

        var unsyncedFiles = new HashSet<string>(StringComparer.Ordinal);
        var unsyncedDirectories = new HashSet<string>(StringComparer.Ordinal);
        int renames = 0;
        foreach (string line in await File.ReadAllLinesAsync(directory.File("trace")))
        {
            if (line.Contains("\"acknowledged", StringComparison.Ordinal))
            {
                Assert.True(unsyncedDirectories.Count == 0, $"{name} was acknowledged before {string.Join(", ", unsyncedDirectories)} was synced");
                Assert.True(renames > 0, "the trace has no rename");
                return;
            }

            if (!line.Contains(store.Layout.Root, StringComparison.Ordinal))
            {
                continue;
            }

            if (OnDescriptor().Match(line) is { Success: true } call)
            {
                string path = call.Groups["path"].Value;
                if (call.Groups["call"].Value == "fsync")
                {
                    unsyncedFiles.Remove(path);
                    unsyncedDirectories.Remove(path);
                }
                else
                {
                    unsyncedFiles.Add(path);
                }
            }
            else if (Rename().Match(line) is { Success: true } rename)
            {
                renames++;
                string from = rename.Groups["from"].Value;
                string to = rename.Groups["to"].Value;
                bool removal = to.EndsWith(".tmp", StringComparison.Ordinal);
                Assert.True(
                    removal || !unsyncedFiles.Any(path => path == from || path.StartsWith(from + "/", StringComparison.Ordinal)),
                    $"{name}: {to} got its name with unsynced content: {string.Join(", ", unsyncedFiles)}");
                Assert.True(
                    removal || !unsyncedDirectories.Any(path => path == from || path.StartsWith(from + "/", StringComparison.Ordinal)),
                    $"{name}: {to} got its name with unsynced names in it: {string.Join(", ", unsyncedDirectories)}");
                unsyncedDirectories.Add(Path.GetDirectoryName(to)!);
            }
            else if (LinkAt().Match(line) is { Success: true } link)
            {
                Assert.StartsWith("/proc/self/fd/", link.Groups["from"].Value, StringComparison.Ordinal);
                Assert.DoesNotContain(unsyncedFiles, static path => Path.GetFileName(path).StartsWith('#')); // one without a name
                unsyncedDirectories.Add(link.Groups["directory"].Value);
            }
        }

        Assert.Fail("the trace does not have the acknowledgement");
    }

    private static void RequireStrace()
    {
        try
        {
            using var trial = System.Diagnostics.Process.Start("strace", ["-qq", "-e", "trace=none", "true"]);
            Assert.True(trial.WaitForExit(StateTest.Patience));
            Skip.If(trial.ExitCode != 0, "strace may not trace here");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Skip.If(true, "strace is not installed (Debian: apt-get install strace)");
        }
    }

    [GeneratedRegex(@"(?<call>write|pwrite64|ftruncate|fchmod|fsync)\(\d+<(?<path>[^>]*)>.* = \d+$", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex OnDescriptor();

    [GeneratedRegex("""rename\("(?<from>[^"]*)", "(?<to>[^"]*)"\) += 0$""", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Rename();

    [GeneratedRegex("""linkat\(AT_FDCWD[^,]*, "(?<from>[^"]*)", \d+<(?<directory>[^>]*)>.* = 0$""", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex LinkAt();
}
