namespace OpenSandbox.Vmm;

/// <summary>What happens when a reader of a process's output is slower than the process.</summary>
public enum OutputDelivery
{
    /// <summary>The process waits, as on a full pipe, once the scrollback is full of bytes that this reader has not got.</summary>
    Lossless,

    /// <summary>The process goes on; the reader gets a <see cref="SandboxOutputKind.Gap"/> for what was overwritten meanwhile.</summary>
    Lossy,
}
