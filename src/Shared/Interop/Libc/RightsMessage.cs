using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

/// <summary>struct cmsghdr with one file descriptor behind it, padded to CMSG_SPACE(sizeof(int)) on 64-bit Linux.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RightsMessage
{
    internal const int SOL_SOCKET = 1;
    internal const int SCM_RIGHTS = 1;

    /// <summary>CMSG_LEN(sizeof(int)): the header and the descriptor, without the padding.</summary>
    internal const int UnpaddedLength = 20;

    /// <summary>cmsg_len.</summary>
    internal nuint Length;

    /// <summary>cmsg_level.</summary>
    internal int Level;

    /// <summary>cmsg_type.</summary>
    internal int Type;

    /// <summary>The descriptor: the sender's number in a message that is sent, the receiver's own in one that was received.</summary>
    internal int Descriptor;

    /// <summary>Padding up to the alignment of the header.</summary>
    internal int Padding;
}
