namespace OpenSandbox.Vmm;

/// <summary>How a sandbox is paused. Immutable.</summary>
public sealed record PauseOptions
{
    internal static PauseOptions Default { get; } = new();

    /// <summary>
    /// Whether the host is asked to move the guest's memory to its swap at once (madvise(2), MADV_PAGEOUT). Without swap, or without the right
    /// to (kernel 5.10, CAP_SYS_NICE), nothing is moved: <see cref="SandboxPause.PagedOutBytes"/> says how much was. Default: no.
    /// </summary>
    public bool PageOut { get; init; }
}
