namespace OpenSandbox.Cli.Control;

/// <summary>Sandboxes that go on from another one's state, as <c>fork --json</c> prints them.</summary>
internal sealed record ForkRow
{
    /// <summary>Their ids.</summary>
    public required string[] Ids { get; init; }
}
