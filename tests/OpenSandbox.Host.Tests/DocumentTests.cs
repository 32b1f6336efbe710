using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using OpenSandbox.Host.Errors;

namespace OpenSandbox.Host.Tests;

/// <summary>The commands in the documents are run as they stand, against a server, and say what the documents say.</summary>
[Collection(ServerFixture.Collection)]
public sealed partial class DocumentTests
{
    private const string Mark = "--- end of block ";

    private static readonly string[] s_documents =
    [
        "skills/opensandbox/SKILL.md",
        "docs/api/getting-started.md",
        "docs/api/authentication.md",
        "docs/api/errors.md",
        "docs/api/operations.md",
    ];

    [SkippableFact]
    public async Task Documents_TheirCommands_WorkAsWritten()
    {
        Skip.If(ServerDirectory.MissingPrerequisite is not null, ServerDirectory.MissingPrerequisite);
        Skip.IfNot(File.Exists("/usr/bin/curl"), "curl is not installed (apt-get install curl)");
        await using var directory = new ServerDirectory();
        await using OpenSandboxServer server = await OpenSandboxServer.StartAsync(
            new ServerOptions { Listen = ListenAddress.Parse("127.0.0.1:0"), ApiKeys = [ServerFixture.Key], Sandboxes = directory.Options },
            cancellationToken: Deadline.In(240));
        foreach (string document in s_documents)
        {
            await RunDocumentAsync(document, server);
        }
    }

    /// <summary>Runs what a document says; it leaves no sandbox.</summary>
    private static async Task RunDocumentAsync(string document, OpenSandboxServer server)
    {
        Match[] blocks = Block().Matches(await File.ReadAllTextAsync(Repository.Path(document))).ToArray();
        Assert.NotEmpty(blocks);

        // One shell for all of them: what one sets the next one uses.
        var script = new StringBuilder("set -euo pipefail\n");
        for (int i = 0; i < blocks.Length; i++)
        {
            script.Append(blocks[i].Groups["commands"].Value).Append("echo; echo '").Append(Mark).Append(i).Append("'\n");
        }

        string[] outputs = await RunAsync(script.ToString(), server.Address, blocks.Length);
        for (int i = 0; i < blocks.Length; i++)
        {
            if (blocks[i].Groups["output"] is { Success: true } expected)
            {
                string pattern = "^" + string.Join("(.|\\n)*", expected.Value.Trim('\n').Split('…').Select(Regex.Escape)) + "$";
                Assert.True(Regex.IsMatch(outputs[i].Trim('\n'), pattern, RegexOptions.NonBacktracking), $"block {i + 1} of {document} says\n{outputs[i]}\nand not\n{expected.Value}");
            }
        }

        Assert.Equal("[]", (await RawHttp.SendAsync(
            System.Net.IPEndPoint.Parse(new Uri(server.Address).Authority), RawHttp.Request("GET", "/api/sandboxes", null, $"X-API-Key: {ServerFixture.Key}"))).Text);
    }

    [Fact]
    public void Errors_TableOfCodes_IsWhatTheServerDoes()
    {
        string table = File.ReadAllText(Repository.Path("docs/api/errors.md")).Split("## Codes")[1];
        string[] told = [.. Code().Matches(table).Select(static row => $"{row.Groups["code"].Value} {row.Groups["status"].Value}").Order(StringComparer.Ordinal)];
        string[] done = [.. Enum.GetValues<SandboxErrorCode>().Select(static code => $"{ErrorMapping.CodeOf(code)} {ErrorMapping.StatusOf(code)}").Order(StringComparer.Ordinal)];

        Assert.Equal(done, told);
    }

    [Fact]
    public void Limits_Numbers_AreTheDefaults()
    {
        string limits = File.ReadAllText(Repository.Path("docs/api/limits.md"));
        var options = new ServerOptions();

        Assert.Equal((8L << 20, 2L << 30), (options.MaxBodyBytes, options.MaxFileBytes));
        Assert.Contains("| 8 MiB | 413 |", limits, StringComparison.Ordinal);
        Assert.Contains("| 2 GiB | 413 |", limits, StringComparison.Ordinal);
        foreach (int number in (int[])[options.MaxConnections, options.MaxConcurrentRequests, options.RequestsPerSecond])
        {
            Assert.Contains($"| {number.ToString("N0", System.Globalization.CultureInfo.InvariantCulture)}", limits, StringComparison.Ordinal);
        }
    }

    [GeneratedRegex("```bash\n(?<commands>(?s:.*?))```\n(```output\n(?<output>(?s:.*?))```)?", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Block();

    [GeneratedRegex(@"^\| `(?<code>[a-z_]+)` \| (?<status>\d{3}) \|$", RegexOptions.ExplicitCapture | RegexOptions.Multiline | RegexOptions.NonBacktracking)]
    private static partial Regex Code();

    private static async Task<string[]> RunAsync(string script, string address, int blocks)
    {
        var start = new ProcessStartInfo("bash", ["-c", script]) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        start.Environment["OPENSANDBOX_URL"] = address;
        start.Environment["OPENSANDBOX_API_KEY"] = ServerFixture.Key;
        start.Environment["no_proxy"] = "127.0.0.1";
        using var shell = Process.Start(start)!;
        Task<string> output = shell.StandardOutput.ReadToEndAsync(Deadline.In(180));
        Task<string> errors = shell.StandardError.ReadToEndAsync(Deadline.In(180));
        await shell.WaitForExitAsync(Deadline.In(180));
        string all = await output;
        Assert.True(shell.ExitCode == 0, $"{script}\nexit code {shell.ExitCode}\n{all}\n{await errors}");
        string[] parts = [.. Enumerable.Range(0, blocks).Select(i => all.Split($"{Mark}{i}\n")[0])];
        return [.. parts.Select((part, i) => i == 0 ? part : part[(parts[i - 1].Length + $"{Mark}{i - 1}\n".Length)..])];
    }
}
