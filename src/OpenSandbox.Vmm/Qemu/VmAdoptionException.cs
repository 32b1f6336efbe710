namespace OpenSandbox.Vmm.Qemu;

/// <summary>A detached VM cannot be adopted.</summary>
internal sealed class VmAdoptionException : IOException
{
    /// <param name="failure">Why.</param>
    /// <param name="message">The same for people.</param>
    /// <param name="innerException">What came before.</param>
    internal VmAdoptionException(VmAdoptionFailure failure, string message, Exception? innerException = null)
        : base(message, innerException) => Failure = failure;

    /// <summary>Why, and with it whether anything of the VM still runs.</summary>
    internal VmAdoptionFailure Failure { get; }
}
