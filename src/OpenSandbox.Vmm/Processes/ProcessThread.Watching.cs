using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Processes;

/// <content>Processes that somebody else has started.</content>
internal sealed partial class ProcessThread
{
    /// <summary>Watches a process that somebody else started until it ends, however it does.</summary>
    /// <param name="pid">Its number, for messages.</param>
    /// <param name="pidfd">The process itself; owned from here on, also when this fails.</param>
    internal async Task<HostProcess> WatchAsync(int pid, SafeFileHandle pidfd)
    {
        try
        {
            return await AddAsync(() => new HostProcess(pid, pidfd, isChild: false)).ConfigureAwait(false);
        }
        catch
        {
            pidfd.Dispose();
            throw;
        }
    }
}
