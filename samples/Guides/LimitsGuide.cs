using OpenSandbox.Vmm;

namespace Guides;

internal static class LimitsGuide
{
    internal static async Task ResizeAsync(Sandbox sandbox)
    {
        SandboxLimits large = await sandbox.ResizeAsync(4096);
        Console.WriteLine($"{large.MemoryMib} MiB, {large.CpuPercent} % CPU");

        try
        {
            await sandbox.ResizeAsync(1024);
        }
        catch (SandboxMemoryInUseException inUse)
        {
            Console.WriteLine($"{inUse.InUseMib} MiB are in use, {inUse.ShortfallMib} MiB too many; {inUse.NeededMib} MiB would do");
        }
    }

    internal static async Task OtherLimitsAsync(Sandbox sandbox)
    {
        SandboxLimits limits = await sandbox.ResizeAsync(new SandboxResize { CpuPercent = 150, PidsMax = 512 });
        SandboxLimits now = await sandbox.GetLimitsAsync();
        Console.WriteLine($"{limits.PidsMax} processes; {now.MemoryInUseBytes >> 20} MiB in use");
    }

    internal static async Task FromInsideAsync(SandboxHost host)
    {
        await using Sandbox sandbox = await host.CreateAsync(new SandboxSpec
        {
            MaxGuestScaleMib = 4096,
            Metadata = new Dictionary<string, string> { ["team"] = "search" },
        });
        ExecResult status = await sandbox.ExecAsync(["curl", "-s", "http://169.254.169.254/v1/status"]);
        Console.WriteLine(status.StandardOutput);
    }
}
