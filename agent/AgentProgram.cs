using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>The agent: PID 1 of the guest.</summary>
internal static class AgentProgram
{
    /// <summary>Boots the guest and serves its ports. Returns only if the guest cannot be served at all, which ends the machine.</summary>
    internal static int Run()
    {
        try
        {
            GuestBoot.MountKernelFileSystems();
            GuestBoot.OpenStandardDescriptors();
            NativeSpawn.GuardSignals();
            GuestMemory.Open();
            GuestBoot.ConfigureKernel();
            (string control, string bulk, string network) = FindPorts();
            GuestNetwork.Configure();
            Serve(OpenPort(control, 0), OpenPort(bulk, Linux.O_NONBLOCK), OpenPort(network, Linux.O_NONBLOCK));
            return 0;
        }
        catch (Exception exception)
        {
            // PID 1 has nobody to report to but the console; its end is a kernel panic, which the host sees.
            KernelConsole.WriteLine("opensandbox-agent: boot failed: " + exception);
            return 1;
        }
    }

    private static (string Control, string Bulk, string Network) FindPorts()
    {
        using var finder = new PortFinder();
        KernelModules.LoadAll();
        return finder.WaitForPorts();
    }

    private static int OpenPort(string path, int flags) =>
        GuestException.Check(Libc.Open(CString.From(path), Linux.O_RDWR | Linux.O_CLOEXEC | Linux.O_NOCTTY | flags, 0), "open " + path);

    private static void Serve(int controlPort, int bulkPort, int networkPort)
    {
        var state = new GuestState();
        var cgroups = new SandboxCgroup();
        var resumeThread = new AgentWorker("resume");
        var mountThread = new AgentWorker("mount");
        PluggedMemory.NoteBoot();
        WarmUp.Run(cgroups, resumeThread, mountThread);
        var bulk = new BulkLoop(bulkPort, state, new CommandTable(cgroups));
        var network = new NetworkLoop(networkPort, state);
        var disks = new DiskFreezer();
        var standStill = new StandStill(cgroups, disks, [bulk.Parking, network.Parking]);
        standStill.StartWatchdog();
        var control = new ControlLoop(
            controlPort, state, bulk, network, new Resumer(cgroups, mountThread, disks, standStill), standStill, resumeThread);
        bulk.Files.StartFirstWorker();
        MetadataService.Start(state, cgroups, network.Traffic)?.Attach(network);
        AgentThread.Start("network", network.Run);
        NetworkWarmUp.Run();
        KernelConsole.WriteLine("opensandbox-agent: ready");
        AgentThread.Start("control", () => control.Run(static () => false));
        bulk.Run(static () => false);
    }
}
