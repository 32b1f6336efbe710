using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

/// <summary>struct msghdr as 64-bit Linux lays it out: what sendmsg(2) sends and recvmsg(2) fills in.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct MsgHdr
{
    /// <summary>Peer address; null on a connected socket.</summary>
    internal void* Name;

    /// <summary>Length of <see cref="Name"/> in bytes.</summary>
    internal uint NameLength;

    /// <summary>The message's bytes.</summary>
    internal IoVec* Vectors;

    /// <summary>Number of <see cref="Vectors"/>.</summary>
    internal nuint VectorCount;

    /// <summary>Control data: one or more struct cmsghdr.</summary>
    internal void* Control;

    /// <summary>Length of <see cref="Control"/> in bytes.</summary>
    internal nuint ControlLength;

    /// <summary>MSG_* bits of a received message.</summary>
    internal int Flags;
}
