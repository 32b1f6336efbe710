namespace OpenSandbox.Vmm;

/// <content>Shell sessions.</content>
public sealed partial class Sandbox
{
    /// <summary>Opens a shell session, in which directory, variables and functions last from run to run.</summary>
    /// <param name="options">Default: see <see cref="ShellOptions"/>.</param>
    /// <param name="cancellationToken">Stops opening; nothing is left of it.</param>
    /// <returns>The session; dispose it.</returns>
    /// <exception cref="SandboxOperationException">The shell could not be started; the sandbox is still usable.</exception>
    /// <exception cref="SandboxTimeoutException">It was not ready within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<SandboxShell> OpenShellAsync(ShellOptions? options = null, CancellationToken cancellationToken = default) =>
        SandboxShell.OpenAsync(this, options ?? ShellOptions.Default, cancellationToken);
}
