namespace OpenSandbox.Vmm;

/// <content>Telling what happens to the sandbox.</content>
public sealed partial class Sandbox
{
    /// <summary>Tells subscribers of the host's events. Neither waits nor, where there are none, allocates.</summary>
    internal void Tell(SandboxEventKind kind, in SandboxEventDetails details = default) =>
        _host.Events.Publish(kind, Id, details with { State = State });
}
