namespace OpenSandbox.VirtioSerial;

/// <summary>Payload of Thaw: a guest that was quiesced for a snapshot goes on in the same session.</summary>
public sealed record ThawRequest
{
    /// <summary>The host's wall clock when it wrote this, nanoseconds since the Unix epoch.</summary>
    public required long WallClockNanoseconds { get; init; }

    /// <summary>Fresh random bytes from the host for the kernel's generator, so that parent and copy differ; 32 to 256.</summary>
    public required byte[] EntropySeed { get; init; }
}
