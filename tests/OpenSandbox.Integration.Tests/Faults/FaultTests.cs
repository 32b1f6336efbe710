using System.Globalization;
using OpenSandbox.Vmm.State;
using Xunit.Abstractions;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>
/// R4: the host process is killed at each failpoint of each operation, and another one takes over. <c>OPENSANDBOX_FAULTS</c> is the number of
/// runs for each point; without it a few points are taken.
/// </summary>
[Collection(HostFixture.Collection)]
[Trait("Category", "Faults")]
public sealed class FaultTests(HostFixture fixture, FaultPointsReached points, ITestOutputHelper output) : IClassFixture<FaultPointsReached>
{
    /// <summary>One point of each operation, the one at which most is half done; the rest is for the long run.</summary>
    private static readonly (string Title, string Point)[] s_few =
    [
        ("create", FaultPoints.CreateStarted),
        ("hibernate", FaultPoints.HibernateLinked),
        ("hibernate", FaultPoints.HibernateCommitted),
        ("wake", FaultPoints.WakeStarted),
        ("wake", FaultPoints.WakeCommitted),
        ("checkpoint", FaultPoints.SwitchDone),
        ("checkpoint", FaultPoints.CheckpointLinked),
        ("fork", FaultPoints.CreateRegistered),
        ("restore", FaultPoints.RestoreStarted),
        ("restore", FaultPoints.RestoreCommitted),
        ("delete", FaultPoints.DeleteEnded),
        ("recover-hibernate", FaultPoints.SandboxCommit),
    ];

    public static TheoryData<string> Titles => [.. FaultOperations.All.Select(static operation => operation.Title)];

    public static TheoryData<string> TitlesWithMachines =>
        [.. FaultOperations.All.Where(static operation => operation.HasMachine && operation.Before.Count == 0 && operation.FailsAfter is null)
            .Select(static operation => operation.Title)];

    [SkippableTheory]
    [MemberData(nameof(Titles))]
    public async Task Operation_HostIsKilledAtAnyPoint_NothingIsLostOrLeft(string title)
    {
        _ = fixture.HostWithImage;
        FaultOperation operation = FaultOperations.All.Single(operation => operation.Title == title);
        (string also, IReadOnlyList<(string Point, int Count)> reached) = await points.CountAsync(operation);
        List<string> plans = Plans(operation, also, reached, "kill");
        Skip.If(plans.Count == 0, "in the long run only (./test.sh --faults)");
        var campaign = new FaultCampaign(operation, points, output);
        foreach (string plan in plans)
        {
            await campaign.RunAsync(plan, machineKilled: false);
        }

        campaign.Finish();
    }

    [SkippableTheory]
    [MemberData(nameof(TitlesWithMachines))]
    public async Task Operation_QemuIsKilledAtAnyPoint_NothingIsLostOrLeft(string title)
    {
        _ = fixture.HostWithImage;
        FaultOperation operation = FaultOperations.All.Single(operation => operation.Title == title);
        (_, IReadOnlyList<(string Point, int Count)> reached) = await points.CountAsync(operation);
        List<string> plans = Plans(operation, "", [.. reached.Where(static place => FaultPoints.Sandboxes.Contains(place.Point))], "qemu");
        Skip.If(plans.Count == 0, "in the long run only (./test.sh --faults)");
        var campaign = new FaultCampaign(operation, points, output);
        foreach (string plan in plans)
        {
            await campaign.RunAsync(plan, machineKilled: true);
        }

        campaign.Finish();
    }

    /// <summary>A failpoint that no operation comes to is one that nothing tests.</summary>
    [SkippableFact]
    public async Task EveryFailpoint_IsReachedByAnOperation()
    {
        _ = fixture.HostWithImage;
        Skip.If(FaultCampaign.Runs == 0, "in the long run only (./test.sh --faults): it carries every operation out once");
        foreach (FaultOperation operation in FaultOperations.All)
        {
            await points.CountAsync(operation);
        }

        string[] missing = [.. FaultPoints.All.Except(points.Reached)];
        Assert.True(missing.Length == 0, $"no operation comes to {string.Join(", ", missing)}");
    }

    /// <summary>What happens where: for each point that the operation comes to, as many runs as are wanted, at different times that it does.</summary>
    private static List<string> Plans(FaultOperation operation, string also, IReadOnlyList<(string Point, int Count)> reached, string action)
    {
        int runs = FaultCampaign.Runs;
        var plans = new List<string>();
        foreach (IGrouping<string, (string Point, int Count)> point in reached.GroupBy(static place => place.Point))
        {
            int times = point.Max(static place => place.Count);
            if (runs == 0)
            {
                if (s_few.Contains((operation.Title, point.Key)) && (action == "kill" || point.Key.EndsWith("ted", StringComparison.Ordinal)))
                {
                    Add(point.Key, times);
                }

                continue;
            }

            for (int run = 0; run < runs; run++)
            {
                int at = times == 1 || runs == 1 ? 1 : 1 + (run * (times - 1) / (runs - 1));
                Add(point.Key, at);
            }
        }

        return plans;

        void Add(string point, int at) =>
            plans.Add(string.Create(CultureInfo.InvariantCulture, $"{also}{(also.Length > 0 ? "," : "")}{point}:{at}={action}"));
    }
}
