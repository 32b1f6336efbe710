using System.Text;

namespace OpenSandbox.Agent.Tests;

public sealed class ImageEnvironmentTests
{
    [Fact]
    public void Parse_LinesOfEveryKind_KeepsWhatMakesSense()
    {
        var variables = new Dictionary<string, string>(StringComparer.Ordinal);

        ImageEnvironment.Parse(
            "A=1\n B = no\nC=\"x y\"\nexport D='z'\n#E=1\n=F\nG\nH=a=b\nI=\nbroken name=1\nJ=\"\nA=2\0\nK=\u20ac\r\nlast=1"u8, variables);

        Assert.Equal(
            ["A=1", "C=x y", "D=z", "H=a=b", "I=", "J=\"", "K=€", "last=1"],
            variables.Select(static v => $"{v.Key}={v.Value}").Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Read_FileThatChanges_IsReadAgain()
    {
        string path = Path.Combine(Path.GetTempPath(), $"environment-{Guid.NewGuid():n}");
        var environment = new ImageEnvironment(path);
        try
        {
            Assert.Empty(environment.Read());
            File.WriteAllText(path, "A=1\n");
            Assert.Equal("1", environment.Read()["A"]);
            File.WriteAllText(path, "A=22\n");
            Assert.Equal("22", environment.Read()["A"]);
            File.WriteAllText(path, string.Concat(Enumerable.Range(0, 20_000).Select(static i => $"V{i}=x\n")));
            Assert.InRange(environment.Read().Count, 1, 1_024);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Shortened_LongCommands_AreCut()
    {
        string[] shown = ProcessEntries.Shortened(["python3", "-c", new string('x', 10_000), "more"]);

        Assert.Equal(3, shown.Length);
        Assert.EndsWith("…", shown[2], StringComparison.Ordinal);
        Assert.InRange(Encoding.UTF8.GetByteCount(string.Concat(shown)), 100, 600);
        Assert.Equal(["a", "b"], ProcessEntries.Shortened(["a", "b"]));
    }
}
