namespace OpenSandbox.Vmm.Tests.State;

/// <summary>What a change that was cut short has come to.</summary>
internal enum StateOutcome
{
    /// <summary>As if it had not begun.</summary>
    Old,

    /// <summary>As if it had ended.</summary>
    New,

    /// <summary>Neither.</summary>
    Wrong,
}
