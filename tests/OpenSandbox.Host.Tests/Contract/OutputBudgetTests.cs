using OpenSandbox.Host.Api;

namespace OpenSandbox.Host.Tests.Contract;

public sealed class OutputBudgetTests
{
    [Fact]
    public void Take_MoreThanThereIs_GivesTheRestAndALittleOfEach()
    {
        var budget = new OutputBudget(1_000);
        using OutputBudget.Share first = budget.Open();
        Assert.Equal(OutputBudget.Free + 1_000, first.Take(1 << 20));
        Assert.Equal(0, first.Take(1));
        using OutputBudget.Share second = budget.Open();
        Assert.Equal(OutputBudget.Free, second.Take(1 << 20));
    }

    [Fact]
    public void Dispose_GivesBackOnceAndTakesNoMore()
    {
        var budget = new OutputBudget(1_000);
        OutputBudget.Share share = budget.Open();
        share.Take(OutputBudget.Free + 600);
        Assert.Equal(400, budget.Left);
        share.Dispose();
        share.Dispose();
        Assert.Equal(1_000, budget.Left);
        Assert.Equal(0, share.Take(100));
        Assert.Equal(1_000, budget.Left);
    }

    [Fact]
    public void OutputBuffer_RoomThatComesBack_LeavesNoHole()
    {
        int room = 3;
        var buffer = new OutputBuffer(100, wanted => Math.Min(wanted, room));
        buffer.Append("abcdef"u8);
        room = 100;
        buffer.Append("ghi"u8);
        Assert.True(buffer.Truncated);
        Assert.Equal("abc"u8.ToArray(), buffer.Take());
    }
}
