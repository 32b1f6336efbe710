using System.Text.Json;

namespace OpenSandbox.Cli.Tests.Support;

/// <summary>A sandbox kept by a process in the background, which ends with the test.</summary>
internal sealed class Kept : IAsyncDisposable
{
    private Kept(string id) => Id = id;

    internal string Id { get; }

    /// <summary>The state directory of the tests.</summary>
    internal static string StateDirectory => Path.GetFullPath(new Vmm.SandboxHostOptions().StateDirectory);

    /// <summary>Where kept sandboxes have their sockets.</summary>
    internal static string RunDirectory => Path.Combine(StateDirectory, "run");

    internal static async Task<Kept> StartAsync(params string[] options)
    {
        CliResult result = await CliProcess.RunAsync(["run", "--keep", "--detach", .. options]);
        Assert.True(result.ExitCode == 0, result.Error);
        return new Kept(result.Text.TrimEnd('\n').Split('\n')[^1]);
    }

    /// <summary>A sandbox that is there, to be ended with the test.</summary>
    internal static Kept Of(string id) => new(id);

    /// <summary>The state that <c>ls</c> shows; nothing if it does not show the sandbox.</summary>
    internal async Task<string?> StateAsync()
    {
        CliResult list = await CliProcess.RunAsync("ls", "--json");
        Assert.True(list.ExitCode == 0, list.Error);
        using JsonDocument json = JsonDocument.Parse(list.Output);
        return json.RootElement.EnumerateArray().Where(one => one.GetProperty("id").GetString() == Id)
            .Select(static one => one.GetProperty("state").GetString()!.ToLowerInvariant()).SingleOrDefault();
    }

    /// <summary>Ids and keepers of all sandboxes that <c>ls</c> shows; 0 where nobody keeps one.</summary>
    internal static async Task<Dictionary<string, int>> ListAsync()
    {
        CliResult list = await CliProcess.RunAsync("ls", "--json");
        Assert.Equal(0, list.ExitCode);
        using JsonDocument json = JsonDocument.Parse(list.Output);
        return json.RootElement.EnumerateArray().ToDictionary(static one => one.GetProperty("id").GetString()!, static one => one.TryGetProperty("pid", out JsonElement pid) ? pid.GetInt32() : 0);
    }

    /// <summary>Runs <c>exec</c> with options before the sandbox.</summary>
    internal Task<CliResult> ExecAsync(byte[]? input, string[] options, params string[] command) =>
        CliProcess.RunAsync(input, null, null, ["exec", .. options, Id, "--", .. command]);

    internal Task<CliResult> ExecAsync(params string[] command) => ExecAsync(null, [], command);

    public async ValueTask DisposeAsync()
    {
        CliResult result = await CliProcess.RunAsync("rm", Id);
        Assert.True(result.ExitCode == 0 || result.Error.Contains("there is no sandbox", StringComparison.Ordinal) || result.Error.Contains("is gone", StringComparison.Ordinal), result.Error);
    }
}
