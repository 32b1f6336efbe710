namespace OpenSandbox.Vmm;

/// <summary>A sandbox never came up. Nothing of it is left.</summary>
public sealed class SandboxStartException : SandboxException
{
    internal SandboxStartException(string? sandboxId, string phase, string reason, string standardErrorTail, Exception? inner = null)
        : base(
            SandboxErrorCode.StartFailed,
            sandboxId,
            standardErrorTail.Length == 0 ? $"{phase}: {reason}" : $"{phase}: {reason}{Environment.NewLine}QEMU said: {standardErrorTail}",
            inner)
    {
        Phase = phase;
        StandardErrorTail = standardErrorTail;
    }

    /// <summary>How far it came.</summary>
    public string Phase { get; }

    /// <summary>The end of what QEMU and its launcher printed.</summary>
    public string StandardErrorTail { get; }
}
