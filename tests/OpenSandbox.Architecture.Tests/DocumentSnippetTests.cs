using System.Text.RegularExpressions;

namespace OpenSandbox.Architecture.Tests;

/// <summary>The code in documents stands in samples, which are compiled with the solution.</summary>
public sealed partial class DocumentSnippetTests
{
    [Theory]
    [InlineData("docs/processes.md", "samples/Processes/Program.cs")]
    [InlineData("docs/testing.md", "samples/TestingWithSandboxes/SandboxCollection.cs", "samples/TestingWithSandboxes/FileTests.cs", "samples/TestingWithSandboxes/SmallSandboxes.cs")]
    public void Document_EverySnippet_IsPartOfItsSample(string document, params string[] samples)
    {
        string compiled = WithoutIndentation(string.Concat(samples.Select(Repository.Read)));
        MatchCollection snippets = Snippet().Matches(Repository.Read(document));

        Assert.NotEmpty(snippets);
        Assert.All(snippets, snippet => Assert.Contains(WithoutIndentation(snippet.Groups["code"].Value), compiled, StringComparison.Ordinal));
    }

    private static string WithoutIndentation(string code) => string.Join('\n', code.Split('\n').Select(static line => line.Trim()));

    [GeneratedRegex("```csharp\n(?<code>.*?)```", RegexOptions.Singleline | RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Snippet();
}
