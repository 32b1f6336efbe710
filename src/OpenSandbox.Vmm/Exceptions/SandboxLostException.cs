namespace OpenSandbox.Vmm;

/// <summary>The sandbox is gone: its VM ended, its guest broke the rules and was ended, or its time was up (<see cref="SandboxExit.Reason"/> says which). Every later call reports the same cause.</summary>
public sealed class SandboxLostException : SandboxException
{
    internal SandboxLostException(string sandboxId, SandboxExit exit, Exception? inner = null)
        : base(SandboxErrorCode.Lost, sandboxId, Describe(sandboxId, exit), inner) => Exit = exit;

    /// <summary>Why it ended, with the ends of QEMU's messages and of the guest's console.</summary>
    public SandboxExit Exit { get; }

    private static string Describe(string sandboxId, SandboxExit exit)
    {
        if (exit.Reason == SandboxExitReason.Expired)
        {
            return $"sandbox {sandboxId} has expired: {exit.Description}";
        }

        string text = $"sandbox {sandboxId} is lost: {exit.Description}";
        if (exit.StandardErrorTail.Length > 0)
        {
            text += $"{Environment.NewLine}QEMU said: {exit.StandardErrorTail}";
        }

        return exit.ConsoleTail.Length > 0 ? $"{text}{Environment.NewLine}the guest's console ends: {exit.ConsoleTail}" : text;
    }
}
