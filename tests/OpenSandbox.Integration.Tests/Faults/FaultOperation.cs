namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>One operation in the table of those that are interrupted.</summary>
/// <param name="Name">As the helper process knows it.</param>
/// <param name="Arrange">What there is before.</param>
/// <param name="Verify">
/// What there may be afterwards: the old state or the new one, nothing acknowledged lost; and the operation can be done (again). It may be
/// told that a VM was killed: then memory may be lost, and nothing else.
/// </param>
internal sealed record FaultOperation(string Name, Func<FaultWorld, Task> Arrange, Func<FaultWorld, bool, Task> Verify)
{
    /// <summary>What happens in another process first, to have something that this operation finds.</summary>
    internal IReadOnlyList<(string Operation, string Steps)> Before { get; init; } = [];

    /// <summary>Each directory's fsync fails that comes right after this point; the operation is then stopped while it undoes it.</summary>
    internal string? FailsAfter { get; init; }

    /// <summary>The name that stands in reports.</summary>
    internal string Title { get; init; } = Name;

    /// <summary>Whether there is a running VM, or one comes to be, that can be killed meanwhile.</summary>
    internal bool HasMachine { get; init; } = true;

    public override string ToString() => Title;
}
