namespace OpenSandbox.Vmm;

/// <summary>A range of a process's output, standard output and error as they came.</summary>
/// <param name="Bytes">The bytes.</param>
/// <param name="Offset">Number of the first of them: more than was asked for where that is not kept any more.</param>
/// <param name="NextOffset">Where to read on.</param>
/// <param name="FirstAvailable">Number of the oldest byte that is kept.</param>
/// <param name="IsEnd">Whether there will never be more after <paramref name="NextOffset"/>.</param>
public sealed record SandboxProcessLog(ReadOnlyMemory<byte> Bytes, long Offset, long NextOffset, long FirstAvailable, bool IsEnd);
