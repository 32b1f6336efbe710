using System.Text.RegularExpressions;

namespace OpenSandbox.Architecture.Tests;

/// <summary>What the documents say compiles and is there.</summary>
public sealed partial class DocumentationTests
{
    [Fact]
    public void Readme_EmbeddedExample_IsTheCompiledSample()
    {
        string sample = Repository.Read("samples/Embedded/Program.cs").Trim();

        Assert.Contains($"```csharp\n{sample}\n```", Repository.Read("README.md"), StringComparison.Ordinal);
        Assert.InRange(sample.Split('\n').Length, 1, 8);
    }

    [Fact]
    public void Documents_RelativeLinks_PointToFiles()
    {
        var broken = new List<string>();
        foreach (string path in Directory.EnumerateFiles(Repository.Root, "*.md")
            .Concat(Directory.EnumerateFiles(Path.Combine(Repository.Root, "docs"), "*.md", SearchOption.AllDirectories)))
        {
            foreach (Match match in Link().Matches(File.ReadAllText(path)))
            {
                string target = match.Groups["target"].Value.Split('#')[0];
                if (target.Length > 0 && !target.Contains("://", StringComparison.Ordinal)
                    && !Path.Exists(Path.Combine(Path.GetDirectoryName(path)!, target)))
                {
                    broken.Add($"{Path.GetRelativePath(Repository.Root, path)}: {target}");
                }
            }
        }

        Assert.Empty(broken);
    }

    [Fact]
    public void NetworkExamples_AreCompiledAndRun()
    {
        string compiled = Lines(Repository.Read("tests/OpenSandbox.Vmm.Tests/Network/NetworkSnippets.cs"));
        string[] examples = [.. Example().Matches(Repository.Read("docs/network.md")).Select(static match => Lines(match.Groups["code"].Value))];

        Assert.NotEmpty(examples);
        Assert.All(examples, example => Assert.Contains(example, compiled, StringComparison.Ordinal));
    }

    [Fact]
    public void Sources_NoCSharpFile_IsTooLongToRead()
    {
        IEnumerable<string> tooLong = Directory
            .EnumerateFiles(Path.Combine(Repository.Root, "src"), "*.cs", SearchOption.AllDirectories)
            .Concat(Directory.EnumerateFiles(Path.Combine(Repository.Root, "agent"), "*.cs", SearchOption.AllDirectories))
            .Where(static path => File.ReadLines(path).Count() > 800)
            .Select(path => Path.GetRelativePath(Repository.Root, path));

        Assert.Empty(tooLong);
    }

    /// <summary>Code without its indentation.</summary>
    private static string Lines(string code) => string.Join('\n', code.Trim().Split('\n').Select(static line => line.Trim()));

    [GeneratedRegex(@"```csharp\n(?<code>[^`]*)```", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Example();

    [GeneratedRegex(@"\]\((?<target>[^)\s]+)\)", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Link();
}
