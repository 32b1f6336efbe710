using OpenSandbox.PerfHarness.Measuring;

namespace OpenSandbox.PerfHarness.Rows;

/// <summary>A row whose subject the library does not have yet.</summary>
internal sealed class PendingRow(string id, string title, string goal) : Row(id, title, goal)
{
    internal override bool IsPending => true;

    internal override Task<IReadOnlyList<Figure>> RunAsync(Bench bench, CancellationToken cancellationToken) =>
        throw new InvalidOperationException($"{Id} is pending");
}
