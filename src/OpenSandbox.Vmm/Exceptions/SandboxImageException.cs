namespace OpenSandbox.Vmm;

/// <summary>A root file system image is missing, damaged or not acceptable.</summary>
public sealed class SandboxImageException : SandboxException
{
    internal SandboxImageException(string message, Exception? inner = null)
        : base(SandboxErrorCode.Image, null, message, inner)
    {
    }
}
