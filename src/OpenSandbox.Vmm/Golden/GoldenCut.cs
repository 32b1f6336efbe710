using Microsoft.Win32.SafeHandles;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm.Golden;

/// <summary>What a golden build leaves: owned by whoever receives it.</summary>
internal sealed record GoldenCut(RamTemplate Ram, SafeFileHandle DeviceState, AgentHello Hello);
