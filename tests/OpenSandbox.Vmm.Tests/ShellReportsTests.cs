using System.Text;

namespace OpenSandbox.Vmm.Tests;

public sealed class ShellReportsTests
{
    private const string Token = "0123456789abcdef0123456789abcdef";

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(1_000)]
    public void Add_InAnyPieces_FindsStateAndStatus(int piece)
    {
        var reports = new ShellReports(10_000);
        byte[] said = Encoding.UTF8.GetBytes($"declare x='\n{Token}x state\n'\n\n{Token} state\nnoise\n\n{Token} 7\n");
        string? status = null;
        for (int i = 0; i < said.Length; i += piece)
        {
            Assert.Null(status);
            status = reports.Add(said.AsSpan(i, Math.Min(piece, said.Length - i)), Token);
        }

        Assert.Equal("7", status);
        Assert.Equal($"declare x='\n{Token}x state\n'\n\n", reports.State);
    }

    [Fact]
    public void Add_TokenWithinALineOrOfAnotherRun_IsNoReport()
    {
        var reports = new ShellReports(10_000);

        Assert.Null(reports.Add(Encoding.UTF8.GetBytes($"x{Token} 0\n{Token}\n{new string('f', 32)} 0\n {Token} 0\n"), Token));
        Assert.Equal("1", reports.Add(Encoding.UTF8.GetBytes($"\n{Token} 1\n"), Token));
    }

    [Fact]
    public void Add_MoreThanTheLimit_LosesTheStateButNotTheStatus()
    {
        var reports = new ShellReports(1_000);

        Assert.Null(reports.Add(Encoding.UTF8.GetBytes($"small\n\n{Token} state\n"), Token));
        Assert.NotNull(reports.State);
        reports.Clear();
        Assert.Null(reports.Add(Encoding.UTF8.GetBytes($"{new string('\n', 500_000)}{new string('x', 5_000)}\n\n{Token} state\n"), Token));
        Assert.Null(reports.State);
        Assert.Equal("0", reports.Add(Encoding.UTF8.GetBytes($"\n{Token} 0\n"), Token));
    }
}
