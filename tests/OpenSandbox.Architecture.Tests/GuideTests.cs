using System.Text.RegularExpressions;

namespace OpenSandbox.Architecture.Tests;

/// <summary>The code in the guides is that of <c>samples/Guides</c>, which the compiler has seen.</summary>
public sealed partial class GuideTests
{
    [Theory]
    [InlineData("docs/expiry.md", "samples/Guides/ExpiryGuide.cs")]
    [InlineData("docs/observability.md", "samples/Guides/ObservabilityGuide.cs")]
    [InlineData("docs/files.md", "samples/Guides/FilesGuide.cs")]
    [InlineData("docs/limits-and-scaling.md", "samples/Guides/LimitsGuide.cs")]
    [InlineData("docs/pools.md", "samples/Guides/PoolsGuide.cs")]
    [InlineData("docs/snapshots.md", "samples/Guides/SnapshotsGuide.cs")]
    public void Guide_EveryExample_IsCompiledCode(string guide, string sample)
    {
        string compiled = Normalize(Repository.Read(sample));
        MatchCollection examples = Example().Matches(Repository.Read(guide));

        Assert.NotEmpty(examples);
        Assert.All(examples, example => Assert.Contains(Normalize(example.Groups["code"].Value), compiled, StringComparison.Ordinal));
    }

    private static string Normalize(string code) =>
        string.Join('\n', code.Split('\n').Select(static line => line.Trim()).Where(static line => line.Length > 0));

    [GeneratedRegex("```csharp\n(?<code>.*?)\n```", RegexOptions.ExplicitCapture | RegexOptions.Singleline | RegexOptions.NonBacktracking)]
    private static partial Regex Example();
}
