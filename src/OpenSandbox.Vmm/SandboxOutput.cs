namespace OpenSandbox.Vmm;

/// <summary>One piece of a process's output.</summary>
/// <param name="Kind">Which output, or its end, or a gap in it.</param>
/// <param name="Sequence">
/// Number of the first byte, counted over both outputs from the process's start; of a gap, the number of the first byte that is missing; at
/// the end, the number of bytes in all.
/// </param>
/// <param name="Count">Bytes read; 0 at the end and for a gap.</param>
/// <param name="Missing">Bytes that a gap left out; otherwise 0.</param>
public readonly record struct SandboxOutput(SandboxOutputKind Kind, long Sequence, int Count, long Missing = 0)
{
    /// <summary>Standard error rather than anything else.</summary>
    public bool IsError => Kind == SandboxOutputKind.StandardError;

    /// <summary>No more output.</summary>
    public bool IsEnd => Kind == SandboxOutputKind.End;
}
