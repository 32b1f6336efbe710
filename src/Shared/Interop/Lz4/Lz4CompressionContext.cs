using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Interop;

/// <summary>LZ4F_cctx: the state of one frame that is being written.</summary>
internal sealed class Lz4CompressionContext : SafeHandleZeroOrMinusOneIsInvalid
{
    public Lz4CompressionContext()
        : base(ownsHandle: true)
    {
    }

    protected override bool ReleaseHandle() => Lz4.IsError(Lz4.FreeCompressionContext(handle)) == 0;
}
