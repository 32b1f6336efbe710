namespace OpenSandbox.Cli.Control;

/// <summary>A result that says no more than that there is one.</summary>
internal sealed record ControlNothing
{
    internal static ControlNothing Instance { get; } = new();
}
