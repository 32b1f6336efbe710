using System.Text.RegularExpressions;

namespace OpenSandbox.Architecture.Tests;

/// <summary>Event ids are unique and in their project's range, so that a number in a log names one message for ever.</summary>
public sealed partial class LogEventTests
{
    private static readonly (string Folder, int First, int Last)[] s_ranges =
    [
        ("src/OpenSandbox.Qmp", 1_000, 1_999),
        ("src/OpenSandbox.VirtioSerial", 2_000, 2_999),
        ("src/OpenSandbox.Cgroups", 3_000, 3_999),
        ("src/OpenSandbox.Vmm", 4_000, 5_999),
        ("src/OpenSandbox.Host", 6_000, 6_099),
    ];

    [Fact]
    public void EventIds_AreUniqueAndInRange()
    {
        var seen = new HashSet<int>();
        foreach ((string folder, int first, int last) in s_ranges)
        {
            foreach (string path in Directory.EnumerateFiles(Path.Combine(Repository.Root, folder), "*.cs", SearchOption.AllDirectories))
            {
                foreach (Match match in EventId().Matches(File.ReadAllText(path)))
                {
                    int id = int.Parse(match.Groups["id"].Value, System.Globalization.CultureInfo.InvariantCulture);
                    Assert.InRange(id, first, last);
                    Assert.True(seen.Add(id), $"event id {id} stands twice ({path})");
                }
            }
        }

        Assert.True(seen.Count > 10, "the pattern no longer finds the log messages");
    }

    [GeneratedRegex(@"LoggerMessage\(\s*(EventId\s*=\s*)?(?<id>\d+)", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex EventId();
}
