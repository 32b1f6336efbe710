using System.Diagnostics;
using Xunit;

namespace OpenSandbox.Architecture.Tests;

/// <summary>The systemd unit in the documents: systemd itself reads it where that is installed; what isolation depends on is checked anyhow.</summary>
public sealed class SystemdUnitTests
{
    private const string Analyze = "/usr/bin/systemd-analyze";

    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData("Delegate", "yes")]
    [InlineData("KillMode", "process")]
    [InlineData("LimitNOFILE", "65536")]
    [InlineData("RuntimeDirectoryPreserve", "yes")]
    public void Unit_HasWhatIsolationAndDetachedSandboxesDependOn(string key, string value) =>
        Assert.Equal(value, Assert.Single(Settings("Service"), setting => setting.Key == key).Value);

    [Theory]
    [InlineData("NoNewPrivileges")]
    [InlineData("PrivateUsers")]
    [InlineData("RestrictNamespaces")]
    public void Unit_HasNothingThatTheJailCannotBeMadeUnder(string key) => Assert.DoesNotContain(Settings("Service"), setting => setting.Key == key);

    [Fact]
    public async Task Unit_IsAcceptedBySystemd()
    {
        if (!File.Exists(Analyze))
        {
            // Then its form is all that can be checked: sections with settings, each of the form KEY=VALUE.
            Assert.All((string[])["Unit", "Service", "Install"], static section => Assert.NotEmpty(Settings(section)));
            return;
        }

        string directory = Directory.CreateTempSubdirectory("opensandbox-unit-").FullName;
        try
        {
            // The program is the reader's; that it is not installed here is not the unit's fault.
            string file = Path.Combine(directory, "opensandbox.service");
            await File.WriteAllTextAsync(file, Unit().Replace("/usr/bin/dotnet", "/bin/true", StringComparison.Ordinal));
            var start = new ProcessStartInfo(Analyze, ["verify", "--man=no", "--recursive-errors=no", file]) { RedirectStandardError = true, RedirectStandardOutput = true };
            using Process process = Process.Start(start)!;
            using var deadline = new CancellationTokenSource(s_limit);
            Task<string> output = process.StandardOutput.ReadToEndAsync(deadline.Token);
            string error = await process.StandardError.ReadToEndAsync(deadline.Token);
            await process.WaitForExitAsync(deadline.Token);

            Assert.True(process.ExitCode == 0, error + await output);
            Assert.DoesNotContain("opensandbox.service", error, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static string Unit()
    {
        string document = File.ReadAllText(Path.Combine(Repository.Root, "docs", "isolation.md"));
        const string begin = "```ini\n", end = "```";
        int from = document.IndexOf(begin, StringComparison.Ordinal) + begin.Length;
        return document[from..document.IndexOf(end, from, StringComparison.Ordinal)];
    }

    private static List<KeyValuePair<string, string>> Settings(string section)
    {
        var settings = new List<KeyValuePair<string, string>>();
        string current = "";
        foreach (string line in Unit().Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (line.StartsWith('['))
            {
                current = line.Trim('[', ']');
                continue;
            }

            string[] parts = line.Split('=', 2);
            Assert.Equal(2, parts.Length);
            if (current == section)
            {
                settings.Add(new KeyValuePair<string, string>(parts[0], parts[1]));
            }
        }

        return settings;
    }
}
