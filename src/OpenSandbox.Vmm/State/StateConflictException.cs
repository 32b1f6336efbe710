namespace OpenSandbox.Vmm.State;

/// <summary>The state on disk is not the one that a change was made for. Nothing has been changed.</summary>
internal sealed class StateConflictException(string path, string problem)
    : StateFileException(path, problem, "Read it again and decide anew");
