using System.Text.RegularExpressions;

namespace OpenSandbox.Architecture.Tests;

/// <summary>The code in documents stands in samples, which are compiled with the solution.</summary>
public sealed partial class DocumentSnippetTests
{
    [Theory]
    [InlineData("docs/processes.md", "samples/Processes/Program.cs")]
    public void Document_EverySnippet_IsPartOfItsSample(string document, string sample)
    {
        string compiled = WithoutIndentation(Repository.Read(sample));
        MatchCollection snippets = Snippet().Matches(Repository.Read(document));

        Assert.NotEmpty(snippets);
        Assert.All(snippets, snippet => Assert.Contains(WithoutIndentation(snippet.Groups["code"].Value), compiled, StringComparison.Ordinal));
    }

    private static string WithoutIndentation(string code) => string.Join('\n', code.Split('\n').Select(static line => line.Trim()));

    [GeneratedRegex("```csharp\n(?<code>.*?)```", RegexOptions.Singleline | RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Snippet();
}
