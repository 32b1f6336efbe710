namespace OpenSandbox.Vmm;

/// <summary>What became of one file of a call for several.</summary>
/// <param name="Path">The path that was asked for.</param>
/// <param name="File">The file; <see langword="null"/> where there is an <paramref name="Error"/>, and where a replacement found nothing.</param>
/// <param name="Error">Why it failed, with the guest's error number; the other files are not concerned.</param>
public sealed record SandboxFileResult(string Path, SandboxFile? File, SandboxOperationException? Error)
{
    /// <summary>The content, where files are read.</summary>
    public ReadOnlyMemory<byte> Content { get; init; }

    /// <summary>How often bytes were replaced, where they are.</summary>
    public int Count { get; init; }

    /// <summary>Throws <see cref="Error"/>, if there is one.</summary>
    /// <returns>This.</returns>
    /// <exception cref="SandboxOperationException">The file failed.</exception>
    public SandboxFileResult EnsureSuccess() => Error is null ? this : throw Error;
}
