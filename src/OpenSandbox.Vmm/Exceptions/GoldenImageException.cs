namespace OpenSandbox.Vmm;

/// <summary>A golden snapshot is missing, damaged or does not fit this host.</summary>
public sealed class GoldenImageException : SandboxException
{
    internal GoldenImageException(string message, IReadOnlyList<string> mismatches, Exception? inner = null)
        : base(
            SandboxErrorCode.GoldenImage,
            null,
            mismatches.Count == 0 ? message : $"{message}: {string.Join("; ", mismatches)}",
            inner) => Mismatches = mismatches;

    /// <summary>Everything that does not fit, each as one sentence; never only the first.</summary>
    public IReadOnlyList<string> Mismatches { get; }
}
