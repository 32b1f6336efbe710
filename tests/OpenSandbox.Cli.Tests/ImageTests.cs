using System.Globalization;
using System.Text.Json;
using OpenSandbox.Cli.Tests.Support;

namespace OpenSandbox.Cli.Tests;

/// <summary>The verb <c>image</c> of the built program, with recipes and scripts of its own that make very small images.</summary>
public sealed class ImageTests : IDisposable
{
    private const int SigTerm = 15;
    private readonly string _directory = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;
    private readonly Dictionary<string, string> _environment;

    public ImageTests()
    {
        Directory.CreateDirectory(Path.Combine(_directory, "images", "tiny"));
        Write("images/tiny/packages.txt", "nothing\n");
        Write("images/ext4.sh", "");
        Write("images/build.sh", Script("echo \"built $1\" >>\"$OPENSANDBOX_ROOT/log\"; file=$2"));
        Write("images/workspace.sh", Script("echo workspace >>\"$OPENSANDBOX_ROOT/log\"; file=$1"));
        _environment = new Dictionary<string, string>
        {
            ["OPENSANDBOX_ROOT"] = _directory,
            ["OPENSANDBOX_STATE"] = Path.Combine(_directory, "state"),
        };
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [SkippableFact]
    public async Task Build_TwoAtOnce_OneBuildsAndTheOtherUsesIt()
    {
        RequireTools();
        CliResult[] results = await Task.WhenAll(RunAsync("image", "build", "tiny"), RunAsync("image", "build", "tiny"));
        Assert.All(results, static result => Assert.True(result.ExitCode == 0, result.Error));
        Assert.Equal(1, LogLines().Count(static line => line.StartsWith("built", StringComparison.Ordinal)));
        Assert.Equal(1, LogLines().Count(static line => line == "workspace"));
    }

    [SkippableFact]
    public async Task Build_NothingChanged_BuildsOnlyWhenForced()
    {
        RequireTools();
        Assert.Equal(0, (await RunAsync("image", "build", "tiny")).ExitCode);
        CliResult again = await RunAsync("image", "build", "tiny");
        Assert.Equal(0, again.ExitCode);
        Assert.Contains("up to date", again.Error, StringComparison.Ordinal);
        Assert.Equal(2, LogLines().Count);
        Assert.Equal(0, (await RunAsync("image", "build", "--force", "tiny")).ExitCode);
        Assert.Equal(3, LogLines().Count);
    }

    [SkippableFact]
    public async Task Build_RecipeChanged_BuildsAnew()
    {
        RequireTools();
        Assert.Equal(0, (await RunAsync("image", "build", "tiny")).ExitCode);
        Write("images/tiny/packages.txt", "something\n");
        Assert.Equal(0, (await RunAsync("image", "build", "tiny")).ExitCode);
        Assert.Equal(2, LogLines().Count(static line => line.StartsWith("built", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Build_ScriptFails_SaysWhyAndLeavesNothing()
    {
        Write("images/build.sh", "#!/bin/bash\necho 'opensandbox: error: no packages today' >&2\nexit 3\n");
        CliResult result = await RunAsync("image", "build", "tiny");
        Assert.Equal((125, ""), (result.ExitCode, result.Text));
        Assert.Contains("failed with code 3: error: no packages today", result.Error, StringComparison.Ordinal);
        AssertNothingLeft();
    }

    [Fact]
    public async Task Build_Terminated_EndsTheScriptWithItsChildrenAndLeavesNothing()
    {
        Write("images/build.sh", "#!/bin/bash\nsleep 1000 &\nuntil grep -q sleep /proc/$!/comm; do :; done\necho started >\"$OPENSANDBOX_ROOT/fifo\"\nwait\n");
        using (System.Diagnostics.Process made = System.Diagnostics.Process.Start("mkfifo", Path.Combine(_directory, "fifo")))
        {
            await made.WaitForExitAsync().WaitAsync(CliProcess.Deadline);
        }

        using CliProcess cli = CliProcess.Start(_environment, "image", "build", "tiny");
        Assert.Equal("started\n", await File.ReadAllTextAsync(Path.Combine(_directory, "fifo")).WaitAsync(CliProcess.Deadline));
        IReadOnlyList<(int Pid, string Started, string Name)> children = cli.Descendants();
        Assert.Contains(children, static child => child.Name == "sleep");
        cli.Signal(SigTerm);
        CliEnd end = await cli.WaitAsync();
        Assert.Equal(143, end.ExitCode);
        await CliProcess.WaitForEndAsync([.. children]);
        AssertNothingLeft();
    }

    [Fact]
    public async Task Build_NoSuchRecipe_NamesTheOnesThereAre()
    {
        CliResult result = await RunAsync("image", "build", "../tiny");
        Assert.Equal((125, ""), (result.ExitCode, result.Text));
        Assert.Matches(@"\Aopensandbox: there is no image '\.\./tiny': [^\n]*There are: tiny\n\z", result.Error);
    }

    [SkippableFact]
    public async Task Import_ListAndRemove_WorkTogether()
    {
        RequireTools();
        string file = Path.Combine(_directory, "own.raw");
        Assert.Equal(0, await ShellAsync($"truncate -s 16M {file} && mke2fs -q -F -t ext4 {file}"));
        Assert.Equal(0, (await RunAsync("image", "import", "own", file)).ExitCode);

        CliResult list = await RunAsync("image", "ls", "--json");
        using JsonDocument json = JsonDocument.Parse(list.Output);
        JsonElement row = Assert.Single(json.RootElement.EnumerateArray());
        Assert.Equal("own", row.GetProperty("name").GetString());
        Assert.Equal(64, row.GetProperty("digest").GetString()!.Length);
        Assert.Matches(@"\ANAME +DIGEST +DISK +STORED +CREATED\nown +[0-9a-f]{12} +8 GiB +", (await RunAsync("image", "ls")).Text);

        Assert.Equal((0, "", ""), await TripleAsync("image", "rm", "own"));
        Assert.Equal("[]\n", (await RunAsync("image", "ls", "--json")).Text);
        CliResult gone = await RunAsync("image", "rm", "own");
        Assert.Equal((125, "opensandbox: there is no image 'own'. See 'opensandbox image ls'\n"), (gone.ExitCode, gone.Error));
    }

    [Fact]
    public async Task Import_NotAFileSystem_SaysSo()
    {
        string file = Path.Combine(_directory, "zero.raw");
        await File.WriteAllBytesAsync(file, new byte[65_536]);
        CliResult result = await RunAsync("image", "import", "zero", file);
        Assert.Equal((125, ""), (result.ExitCode, result.Text));
        Assert.Contains("not a raw ext4 file system", result.Error, StringComparison.Ordinal);
    }

    private static void RequireTools() => Skip.IfNot(
        File.Exists("/sbin/mke2fs") || File.Exists("/usr/sbin/mke2fs"), "mke2fs is not installed (apt-get install e2fsprogs)");

    private static string Script(string setup) =>
        $"#!/bin/bash\nset -eu\nPATH=$PATH:/usr/sbin:/sbin\n{setup}\ntruncate -s 16M \"$file\"\nmke2fs -q -F -t ext4 \"$file\"\n";

    private async Task<int> ShellAsync(string script)
    {
        using System.Diagnostics.Process shell = System.Diagnostics.Process.Start("sh", ["-c", $"PATH=$PATH:/usr/sbin:/sbin; {script}"]);
        await shell.WaitForExitAsync().WaitAsync(CliProcess.Deadline);
        return shell.ExitCode;
    }

    private Task<CliResult> RunAsync(params string[] arguments) => CliProcess.RunAsync(null, _environment, null, arguments);

    private async Task<(int, string, string)> TripleAsync(params string[] arguments)
    {
        CliResult result = await RunAsync(arguments);
        return (result.ExitCode, result.Text, result.Error);
    }

    private IReadOnlyList<string> LogLines() => File.ReadAllLines(Path.Combine(_directory, "log"));

    private void AssertNothingLeft() => Assert.Empty(Directory.EnumerateDirectories(Path.Combine(_directory, "state", "build")));

    private void Write(string path, string text) =>
        File.WriteAllText(Path.Combine(_directory, path.Replace("/", Path.DirectorySeparatorChar.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)), text);
}
