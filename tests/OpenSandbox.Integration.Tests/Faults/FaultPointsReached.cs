using System.Collections.Concurrent;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>
/// Which failpoints each operation comes to, found out by letting it run through once; at which a process has been killed; and the state
/// directory in which all of that happens, a new one after a failure.
/// </summary>
public sealed class FaultPointsReached : IAsyncLifetime
{
    private FaultWorld? _world;
    private readonly ConcurrentDictionary<string, (string Steps, IReadOnlyList<(string Point, int Count)> Reached)> _operations = new(StringComparer.Ordinal);

    /// <summary>All that have been reached.</summary>
    public IReadOnlySet<string> Reached => _operations.Values.SelectMany(static operation => operation.Reached).Select(static place => place.Point).ToHashSet();

    /// <summary>Those at which a process was killed.</summary>
    public ConcurrentDictionary<string, int> Killed { get; } = new(StringComparer.Ordinal);

    /// <returns>What else must happen for them to be reached, and the points in their order.</returns>
    internal async Task<(string Steps, IReadOnlyList<(string Point, int Count)> Reached)> CountAsync(FaultOperation operation)
    {
        if (_operations.TryGetValue(operation.Title, out (string, IReadOnlyList<(string, int)>) known))
        {
            return known;
        }

        string steps = operation.FailsAfter is null ? "" : await FailingStepAsync(operation);
        FaultWorld world = await GetWorldAsync();
        FaultRun? run = null;
        try
        {
            await operation.Arrange(world);
            await world.InterruptAsync(operation.Before);
            run = await world.RunAsync(operation.Name, steps);
            Assert.True(steps.Length > 0 ? run.End?.StartsWith("failed", StringComparison.Ordinal) : run.Succeeded, $"{operation.Title}: {run.End}");
            await world.RecoverAsync();
            await operation.Verify(world, false);
        }
        catch (Exception failure)
        {
            string kept = await world.SaveAsync(operation.Title, "count", run, failure);
            await DropWorldAsync();
            throw new InvalidOperationException($"{operation.Title}: {failure.Message}{kept}", failure);
        }

        (string, IReadOnlyList<(string, int)>) counted = (steps, steps.Length == 0 ? run.Reached : [.. run.Reached.Where(static place => place.Point == FaultPoints.ReplaceUndo)]);
        return _operations.GetOrAdd(operation.Title, counted);
    }

    internal async Task<FaultWorld> GetWorldAsync() => _world ??= await FaultWorld.StartAsync();

    /// <summary>Something has failed in it: whatever follows gets another one.</summary>
    internal async Task DropWorldAsync()
    {
        if (_world is FaultWorld world)
        {
            _world = null;
            await world.DisposeAsync();
        }
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public Task DisposeAsync() => DropWorldAsync();

    /// <summary>The fsync of a directory that comes right after the point.</summary>
    private async Task<string> FailingStepAsync(FaultOperation operation)
    {
        (_, IReadOnlyList<(string Point, int Count)> reached) = await CountAsync(
            FaultOperations.All.Single(other => other.Name == operation.Name && other.Title == operation.Name));
        (string point, int count) = reached.SkipWhile(place => place.Point != operation.FailsAfter).First(static place => place.Point == FaultPoints.SyncDirectory);
        return $"{point}:{count}=eio";
    }
}
