using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Tests;

[Collection(State.LocksCollection.Name)]
public sealed class UidPoolTests
{
    [Fact]
    public void Take_TwoPoolsOfOneMachine_NeverShareAUid()
    {
        using var directory = new TemporaryDirectory();
        var first = new UidPool(directory.Path, 200_000, 8);
        var second = new UidPool(directory.Path, 200_000, 8);

        UidPool.Lease[] leases = [.. Enumerable.Range(0, 8).Select(i => (i % 2 == 0 ? first : second).Take())];

        Assert.Equal(8, leases.Select(static lease => lease.Uid).Distinct().Count());
        Assert.All(leases, static lease => Assert.InRange(lease.Uid, 200_000, 200_007));
        Assert.Throws<SandboxCapacityException>(() => first.Take());
        leases[3].Dispose();
        using UidPool.Lease again = first.Take();
        Assert.Equal(leases[3].Uid, again.Uid);
        foreach (UidPool.Lease lease in leases)
        {
            lease.Dispose();
        }
    }
}
