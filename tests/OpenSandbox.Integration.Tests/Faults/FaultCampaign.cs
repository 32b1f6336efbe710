using System.Globalization;
using Xunit.Abstractions;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>One operation, interrupted again and again in one state directory.</summary>
internal sealed class FaultCampaign
{
    private readonly FaultOperation _operation;
    private readonly FaultPointsReached _points;
    private readonly ITestOutputHelper _output;
    private readonly List<double> _recoveries = [];
    private int _kills;
    private int _missed;
    private int _acknowledged;

    internal FaultCampaign(FaultOperation operation, FaultPointsReached points, ITestOutputHelper output)
    {
        _points = points;
        _operation = operation;
        _output = output;
    }

    /// <summary>How often each point is taken; 0: only a few points are, once.</summary>
    internal static int Runs { get; } =
        int.TryParse(Environment.GetEnvironmentVariable("OPENSANDBOX_FAULTS"), CultureInfo.InvariantCulture, out int runs) ? runs : 0;

    /// <summary>Once: the state before, the operation with a fault, the next host, and all that must hold.</summary>
    internal async Task RunAsync(string plan, bool machineKilled)
    {
        FaultWorld world = await _points.GetWorldAsync();
        int acknowledged = world.Acknowledged;
        FaultRun? run = null;
        try
        {
            await _operation.Arrange(world);
            await world.InterruptAsync(_operation.Before);
            run = await world.RunAsync(_operation.Name, plan);
            if (machineKilled)
            {
                // What the caller is told is one of the library's errors, or that it was done.
                Assert.True(
                    run.Succeeded || (run.End is string said && said.StartsWith("failed Sandbox", StringComparison.Ordinal)), $"it ended with {run.End}");
                _kills++;
            }
            else if (run.WasKilled)
            {
                _kills++;
                _points.Killed.AddOrUpdate(plan.Split(',')[^1].Split(':')[0], 1, static (_, before) => before + 1);
            }
            else
            {
                // What goes on in the background comes to a point more or less often. Then nothing was interrupted.
                Assert.True(run.Succeeded, $"it ended with {run.ExitCode}, {run.End}");
                _missed++;
            }

            await world.RecoverAsync();
            _recoveries.Add(world.RecoveryMilliseconds);
            _acknowledged += world.Acknowledged - acknowledged;
            await _operation.Verify(world, machineKilled);
        }
        catch (Exception failure)
        {
            string kept = await world.SaveAsync(_operation.Title, plan, run, failure);
            await _points.DropWorldAsync();
            throw new InvalidOperationException($"{_operation.Title} with {plan}: {failure.Message}{kept}", failure);
        }
    }

    /// <summary>The figures, in one line.</summary>
    internal void Finish()
    {
        _recoveries.Sort();
        _output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{_operation.Title}: {_kills} kills ({_missed} points not reached again), {_acknowledged} files acknowledged meanwhile, lost 0, leaks 0, recovery p50 {At(0.5):0} ms, p99 {At(0.99):0} ms"));

        double At(double part) => _recoveries.Count == 0 ? 0 : _recoveries[(int)Math.Ceiling((part * _recoveries.Count) - 1)];
    }
}
