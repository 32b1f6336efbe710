namespace OpenSandbox.Vmm.State;

/// <summary>There is no such sandbox, snapshot or layer, or no longer.</summary>
internal sealed class StateNotFoundException(string path, string what)
    : StateFileException(path, $"there is no {what}", "It was never made, or has been deleted");
