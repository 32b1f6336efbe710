namespace OpenSandbox.Vmm;

/// <summary>A deadline of this library passed (not a command's own timeout, which is a result).</summary>
public sealed class SandboxTimeoutException : SandboxException
{
    internal SandboxTimeoutException(string? sandboxId, string phase, TimeSpan limit, Exception? inner = null)
        : base(SandboxErrorCode.Timeout, sandboxId, $"{phase} took longer than {limit.TotalSeconds:0.###} s", inner)
    {
        Phase = phase;
        Limit = limit;
    }

    /// <summary>What was waited for.</summary>
    public string Phase { get; }

    /// <summary>The deadline.</summary>
    public TimeSpan Limit { get; }

    /// <inheritdoc/>
    public override bool IsTransient => true;
}
