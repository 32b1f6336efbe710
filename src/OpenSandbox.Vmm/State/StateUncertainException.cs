namespace OpenSandbox.Vmm.State;

/// <summary>
/// A change became visible, could not be made durable, and could not be taken back either: the new state is the one to see now, and which of
/// the two a crash of the machine would leave is not known. The storage is broken; what went before the change must not be carried on, a
/// hibernated VM for instance not be continued.
/// </summary>
internal sealed class StateUncertainException(string path, Exception inner) : StateFileException(
    path,
    $"a change of it could neither be made durable nor be undone ({inner.Message})",
    "The storage below fails: check the kernel's log, move the state directory to sound storage, then read the state again",
    inner);
