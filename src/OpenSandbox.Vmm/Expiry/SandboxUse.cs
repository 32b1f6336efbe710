namespace OpenSandbox.Vmm.Expiry;

/// <summary>A call that uses a sandbox: as long as it lasts, the sandbox is not idle. To be disposed of once.</summary>
internal readonly struct SandboxUse(Sandbox sandbox) : IDisposable
{
    public void Dispose() => sandbox.LeaveUse();
}
