namespace OpenSandbox.Vmm.Processes;

/// <summary>Which boot of the machine this is. Process numbers and start times mean nothing in another.</summary>
internal static class BootId
{
    private static readonly Lazy<string> s_current = new(static () => File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim());

    /// <summary>This boot's id.</summary>
    internal static string Current => s_current.Value;
}
