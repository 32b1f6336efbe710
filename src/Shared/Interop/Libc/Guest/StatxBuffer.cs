using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

/// <summary>struct statx (linux/stat.h): 256 bytes, of which the fields in use are named.</summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
internal struct StatxBuffer
{
    [FieldOffset(0)] internal uint Mask;
    [FieldOffset(16)] internal uint LinkCount;
    [FieldOffset(20)] internal uint Uid;
    [FieldOffset(24)] internal uint Gid;
    [FieldOffset(28)] internal ushort Mode;
    [FieldOffset(32)] internal ulong Inode;
    [FieldOffset(40)] internal ulong Size;
    [FieldOffset(48)] internal ulong Blocks;
    [FieldOffset(64)] internal long AccessedSeconds;
    [FieldOffset(72)] internal uint AccessedNanoseconds;
    [FieldOffset(80)] internal long CreatedSeconds;
    [FieldOffset(88)] internal uint CreatedNanoseconds;
    [FieldOffset(96)] internal long ChangedSeconds;
    [FieldOffset(104)] internal uint ChangedNanoseconds;
    [FieldOffset(112)] internal long ModifiedSeconds;
    [FieldOffset(120)] internal uint ModifiedNanoseconds;
    [FieldOffset(128)] internal uint SpecialMajor;
    [FieldOffset(132)] internal uint SpecialMinor;
    [FieldOffset(136)] internal uint DeviceMajor;
    [FieldOffset(140)] internal uint DeviceMinor;
    [FieldOffset(144)] internal ulong MountId;
}
