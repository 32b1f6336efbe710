using OpenSandbox.PerfHarness.Measuring;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>One row of docs/specification.md.</summary>
/// <param name="id">As in the specification.</param>
/// <param name="title">What is measured.</param>
/// <param name="goal">As in the specification.</param>
internal abstract class Row(string id, string title, string goal)
{
    internal string Id { get; } = id;

    internal string Title { get; } = title;

    internal string Goal { get; } = goal;

    /// <summary>Whether there is anything to measure yet.</summary>
    internal virtual bool IsPending => false;

    /// <summary>Measures, floor and ours by turns.</summary>
    internal abstract Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken);
}
