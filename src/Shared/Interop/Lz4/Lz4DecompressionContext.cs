using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Interop;

/// <summary>LZ4F_dctx: the state of one frame that is being read.</summary>
internal sealed class Lz4DecompressionContext : SafeHandleZeroOrMinusOneIsInvalid
{
    public Lz4DecompressionContext()
        : base(ownsHandle: true)
    {
    }

    protected override bool ReleaseHandle() => Lz4.IsError(Lz4.FreeDecompressionContext(handle)) == 0;
}
