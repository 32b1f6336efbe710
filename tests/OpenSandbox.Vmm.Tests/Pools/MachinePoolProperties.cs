using FsCheck;
using FsCheck.Fluent;
using OpenSandbox.Vmm.Pools;
using OpenSandbox.Vmm.Tests.Network;

namespace OpenSandbox.Vmm.Tests.Pools;

/// <summary>What must hold whatever happens to a pool, in any order.</summary>
public sealed class MachinePoolProperties
{
    private const long Margin = 512L << 20;

    private enum Event
    {
        Create,
        FailClaim,
        Kill,
        Pass,
        Age,
        OtherImage,
        NoImage,
        LittleMemory,
        SomeMemory,
        MuchMemory,
        StartsFail,
        StartsSucceed,
    }

    [Fact]
    public void Pool_AnyEvents_KeepsItsSizeHandsEachMachineOutOnceAndLeaksNone() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(Math.Max(1, Cases.Count / 50)).WithEndSize(60),
        Prop.ForAll(
            (from hot in Gen.Choose(0, 3)
             from parked in Gen.Choose(0, 3)
             from adaptive in Gen.Elements(true, false)
             from events in Gen.Elements(Enum.GetValues<Event>()).ArrayOf()
             select (new SandboxPoolOptions { HotTarget = hot, ParkedTarget = parked, Adaptive = adaptive }, events)).ToArbitrary(),
            static c => RunAsync(c.Item1, c.events)));

    private static async Task<bool> RunAsync(SandboxPoolOptions options, Event[] events)
    {
        var test = new PoolUnderTest(options);
        var taken = new List<FakeMachine>();
        await test.RestAsync();
        foreach (Event one in events)
        {
            await ApplyAsync(test, one, taken);
            await test.RestAsync();
            SandboxPoolStatistics now = test.Statistics;
            bool bounded = now.Hot <= now.HotTarget && now.Parked <= now.ParkedTarget;
            bool current = test.Source.Kind is not null || one != Event.NoImage || now.Hot + now.Parked == 0;
            if (!bounded || !current)
            {
                return false;
            }
        }

        // With nothing wrong any more it comes back to its size.
        test.Source.Kind ??= new PoolKind("back", null);
        test.Source.Spare = long.MaxValue;
        test.Source.Failure = null;
        await test.PassAsync(PoolBackOff.Longest);
        SandboxPoolStatistics last = test.Statistics;
        bool whole = last.Hot == last.HotTarget && last.Parked == last.ParkedTarget
            && last.Refills == test.Source.Started.Count
            && last.HotClaims + last.ParkedClaims + last.FailedClaims == taken.Count;
        await test.DisposeAsync();
        return whole
            && taken.Distinct().Count() == taken.Count
            && taken.TrueForAll(static machine => machine.Disposals == 0)
            && test.Source.Started.Except(taken).All(static machine => machine.Disposals == 1);
    }

    private static async Task ApplyAsync(PoolUnderTest test, Event one, List<FakeMachine> taken)
    {
        switch (one)
        {
            case Event.Create or Event.FailClaim:
                if (test.Create() is FakeMachine machine)
                {
                    taken.Add(machine);
                    test.Pool.Report(machine.Tier, one == Event.FailClaim ? new IOException("claim") : null);
                }

                break;
            case Event.Kill:
                if (test.Pool.Ready is [FakeMachine oldest, ..])
                {
                    oldest.Die();
                }

                await test.PassAsync(TimeSpan.Zero);
                break;
            case Event.Pass:
                await test.PassAsync(MachinePool<FakeMachine>.CheckInterval);
                break;
            case Event.Age:
                await test.PassAsync(test.Pool.Options.MaxAge);
                break;
            case Event.OtherImage:
                test.Source.Kind = new PoolKind(test.Source.Kind?.Rootfs + "+", null);
                await test.PassAsync(MachinePool<FakeMachine>.CheckInterval);
                break;
            case Event.NoImage:
                test.Source.Kind = null;
                await test.PassAsync(MachinePool<FakeMachine>.CheckInterval);
                break;
            case Event.LittleMemory:
                test.Source.Spare = 0;
                break;
            case Event.SomeMemory:
                test.Source.Spare = Margin - 1;
                break;
            case Event.MuchMemory:
                test.Source.Spare = long.MaxValue;
                break;
            case Event.StartsFail:
                test.Source.Failure = new IOException("start");
                break;
            case Event.StartsSucceed:
                test.Source.Failure = null;
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(one), one, null);
        }
    }
}
