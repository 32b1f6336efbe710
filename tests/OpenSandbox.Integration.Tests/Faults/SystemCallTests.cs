using System.Globalization;
using Xunit.Abstractions;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>
/// Errors of the kernel, of a broken disk and of a full one, at each system call with which a real sandbox is saved and deleted. What is
/// reported as done is done, and what is reported as failed has changed nothing.
/// </summary>
[Collection(HostFixture.Collection)]
[Trait("Category", "Faults")]
public sealed class SystemCallTests(HostFixture fixture, FaultPointsReached points, ITestOutputHelper output) : IClassFixture<FaultPointsReached>
{
    private const int MostOfACall = 40;

    private static readonly (string Call, string Error)[] s_errors =
    [
        ("fsync", "EIO"), ("pwrite64", "ENOSPC"), ("ftruncate", "ENOSPC"), ("fallocate", "ENOSPC"), ("rename", "EIO"), ("rename", "ENOSPC"),
        ("linkat", "ENOSPC"), ("mkdir", "ENOSPC"),
    ];

    [SkippableTheory]
    [InlineData("hibernate")]
    [InlineData("hibernate-attached")]
    [InlineData("checkpoint")]
    [InlineData("delete")]
    public async Task Operation_WithAFailingSystemCall_IsNoSilentSuccess(string name)
    {
        _ = fixture.HostWithImage;
        Skip.If(SystemCallTrace.FindProblem() is not null, SystemCallTrace.FindProblem());
        Skip.If(FaultCampaign.Runs == 0 && name is not "hibernate", "in the long run only (./test.sh --faults)");
        FaultOperation operation = FaultOperations.All.Single(operation => operation.Title == name);
        string calls = string.Join(',', s_errors.Select(static error => error.Call).Distinct());
        (_, Dictionary<string, int> most, _) = await RunAsync(operation, calls, null);
        Assert.True(most.ContainsKey("fsync") && most.ContainsKey("rename"), $"only {string.Join(", ", most.Keys)}");
        int failed = 0, succeeded = 0;
        foreach ((string call, string error) in s_errors)
        {
            int count = Math.Min(most.GetValueOrDefault(call), FaultCampaign.Runs == 0 ? call == "fsync" ? 2 : 1 : MostOfACall);
            for (int k = 1; k <= count; k++)
            {
                (FaultRun run, _, int injected) = await RunAsync(
                    operation, calls, string.Create(CultureInfo.InvariantCulture, $"{call}:error={error}:when={k}"));
                (failed, succeeded) = injected == 0 ? (failed, succeeded) : run.Succeeded ? (failed, succeeded + 1) : (failed + 1, succeeded);
            }
        }

        output.WriteLine($"{name}: {failed} reported errors and {succeeded} successes that hold, with one failing system call each");
        Assert.True(failed > 0, "no error was reported at all");
    }

    private async Task<(FaultRun Run, Dictionary<string, int> Most, int Injected)> RunAsync(FaultOperation operation, string calls, string? injection)
    {
        FaultWorld world = await points.GetWorldAsync();
        FaultRun? run = null;
        try
        {
            await operation.Arrange(world);
            (Dictionary<string, int> Most, int Injected) seen = ([], 0);
            run = await world.RunAsync(operation.Name, "", async (process, go) =>
            {
                using SystemCallTrace trace = await SystemCallTrace.AttachAsync(process, calls, injection);
                FaultRun done = await go();
                seen = await trace.FinishAsync();
                return done;
            });
            Assert.True(
                run.Succeeded || (run.ExitCode == 3 && run.End!.StartsWith("failed Sandbox", StringComparison.Ordinal)), $"it ended with {run.ExitCode}, {run.End}");
            await world.RecoverAsync();
            CheckOutcome(operation.Name, world, run.Succeeded);
            await operation.Verify(world, operation.Name == "delete"); // whose VM is gone before anything on disk is
            return (run, seen.Most, seen.Injected);
        }
        catch (Exception failure)
        {
            string kept = await world.SaveAsync(operation.Title, injection ?? "count", run, failure);
            await points.DropWorldAsync();
            throw new InvalidOperationException($"{operation.Title} with {injection}: {run?.End}: {failure.Message}{kept}", failure);
        }
    }

    private static void CheckOutcome(string operation, FaultWorld world, bool succeeded)
    {
        switch (operation)
        {
            case "hibernate":
                Assert.Equal(succeeded ? SandboxState.Hibernated : SandboxState.Running, world.Subject!.State);
                break;
            case "hibernate-attached":
                Assert.Equal(succeeded ? 1 : 0, world.Others.Count);
                break;
            case "checkpoint":
                Assert.Equal(succeeded ? 1 : 0, world.Host.ListCheckpoints().Count(checkpoint => !world.CheckpointsBefore.Contains(checkpoint.Id)));
                break;
            case "delete":
                Assert.True(!succeeded || world.Subject is null, "it was reported as deleted");
                break;
            default:
                throw new ArgumentException($"what '{operation}' leaves is not known", nameof(operation));
        }
    }
}
