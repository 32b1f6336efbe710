using System.Text;
using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent.Tests;

public sealed class GlobPatternTests
{
    [Theory]
    [InlineData("*", "a", true)]
    [InlineData("*", "", true)]
    [InlineData("*.py", "a.py", true)]
    [InlineData("*.py", ".py", true)]
    [InlineData("*.py", "a.pyc", false)]
    [InlineData("a*b*c", "aXbXbYc", true)]
    [InlineData("a*b*c", "acb", false)]
    [InlineData("?", "\ud83d\ude00", true)] // one character, whatever it takes to store it
    [InlineData("??", "\u00e4", false)]
    [InlineData("[a-c]x", "bx", true)]
    [InlineData("[a-c]x", "dx", false)]
    [InlineData("[!a-c]x", "dx", true)]
    [InlineData("[^a-c]x", "ax", false)]
    [InlineData("[]]", "]", true)]
    [InlineData("[!]]", "]", false)]
    [InlineData("[a-]", "-", true)]
    [InlineData("[", "[", true)]
    [InlineData("a[b", "a[b", true)]
    [InlineData("\\*", "*", true)]
    [InlineData("\\*", "a", false)]
    [InlineData("\\", "\\", true)]
    [InlineData("**", "abc", true)]
    [InlineData("A", "a", false)]
    [InlineData("src/*.py", "src/a.py", true)]
    [InlineData("src/*.py", "src/b/a.py", false)]
    [InlineData("src/**/*.py", "src/a.py", true)]
    [InlineData("src/**/*.py", "src/x/y/a.py", true)]
    [InlineData("src/**/*.py", "lib/x/a.py", false)]
    [InlineData("**/x/*", "a/b/x/c", true)]
    [InlineData("**/x/*", "x/c", true)]
    [InlineData("**/x/*", "x", false)]
    [InlineData("/a", "a", true)]
    [InlineData("a/", "a", true)]
    [InlineData("a/**", "a/b/c", true)]
    [InlineData("a/**", "a", true)]
    [InlineData("a/**/b/**/c", "a/b/x/b/c", true)]
    [InlineData("a/**/b/**/c", "a/c", false)]
    public void IsMatch_Pattern_MeansWhatItSays(string pattern, string text, bool matches) =>
        Assert.Equal(matches, GlobPattern.Parse(pattern).IsMatch(text));

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("a\0")]
    public void Parse_NoPattern_IsRefused(string? pattern) =>
        Assert.Equal(AgentErrorCodes.InvalidRequest, Assert.Throws<GuestException>(() => GlobPattern.Parse(pattern)).Code);

    [Fact]
    public void Parse_Length_IsBounded()
    {
        Assert.NotNull(GlobPattern.Parse(new string('a', GlobPattern.MaxLength)));
        Assert.Throws<GuestException>(() => GlobPattern.Parse(new string('a', GlobPattern.MaxLength + 1)));
    }

    [Fact]
    public void IsMatch_WorstCase_EndsSoon()
    {
        string pattern = string.Concat(Enumerable.Repeat("*a", 400)) + "b";
        string paths = string.Concat(Enumerable.Repeat("**/a/", 200)) + "b";

        Assert.False(GlobPattern.Parse(pattern).IsMatch(new string('a', 255)));
        Assert.False(GlobPattern.Parse(paths).IsMatch(string.Join('/', Enumerable.Repeat("a", 2_000))));
    }

    [Fact]
    public void IsMatch_AnyPatternWithoutSets_AgreesWithARegularExpression()
    {
        Gen<string> pattern = Gen.Elements("*", "?", "a", "b", "/", "**/", "**").ArrayOf(8).Select(string.Concat).Where(static text => text.Trim('/').Length > 0);
        Gen<string> text = Gen.Elements("a", "b", "/").ArrayOf(8).Select(string.Concat)
            .Where(static path => path.Length > 0 && path[0] != '/' && path[^1] != '/' && !path.Contains("//", StringComparison.Ordinal));
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(20_000),
            Prop.ForAll(
                (from one in pattern from other in text select (one, other)).ToArbitrary(),
                test =>
                {
                    GlobPattern glob = GlobPattern.Parse(test.one);
                    return (!glob.MatchesPaths && test.other.Contains('/', StringComparison.Ordinal))
                        || glob.IsMatch(test.other) == Regex.IsMatch(test.other + "/", Translate(test.one, glob.MatchesPaths), RegexOptions.NonBacktracking);
                }));
    }

    /// <summary>An expression for paths with a slash at their end, so that every name has one.</summary>
    private static string Translate(string pattern, bool paths)
    {
        var expression = new StringBuilder("^");
        foreach (string name in pattern.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            expression.Append(paths && name == "**" ? "(?:[^/]+/)*" : string.Concat(name.Select(static c => c switch
            {
                '*' => "[^/]*",
                '?' => "[^/]",
                _ => c.ToString(),
            })) + "/");
        }

        return expression.Append('$').ToString();
    }
}
