using System.Runtime.InteropServices;
using OpenSandbox.Vmm;

namespace OpenSandbox.PerfHarness.Measuring;

/// <summary>Where the figures were measured: without it they mean nothing.</summary>
internal sealed record MachineFacts(
    string Accelerator, string Qemu, string Cpu, int Cores, long MemoryMib, string Kernel, string Runtime, DateTimeOffset MeasuredAt)
{
    internal static MachineFacts Of(SandboxHost host) => new(
        host.Accelerator,
        host.Golden.Manifest.Identity.QemuVersion,
        Field("/proc/cpuinfo", "model name"),
        Environment.ProcessorCount,
        long.Parse(Field("/proc/meminfo", "MemTotal").Split(' ')[0]) / 1024,
        File.ReadAllText("/proc/sys/kernel/osrelease").Trim(),
        RuntimeInformation.FrameworkDescription,
        DateTimeOffset.UtcNow);

    public override string ToString() =>
        $"{Accelerator}, QEMU {Qemu}; {Cpu}, {Cores} cores, {MemoryMib} MiB; Linux {Kernel}; {Runtime}";

    private static string Field(string file, string name) =>
        File.ReadLines(file).FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal)) is string line
            ? line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim()
            : "unknown";
}
