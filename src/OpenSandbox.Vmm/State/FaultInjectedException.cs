namespace OpenSandbox.Vmm.State;

/// <summary>A failpoint was told to throw.</summary>
internal sealed class FaultInjectedException(string name) : Exception($"failpoint {name} was told to throw");
