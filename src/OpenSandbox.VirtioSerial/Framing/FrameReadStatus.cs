namespace OpenSandbox.VirtioSerial;

/// <summary>What <see cref="FrameReader.TryRead"/> found.</summary>
public enum FrameReadStatus
{
    /// <summary>A whole, valid frame.</summary>
    Frame,

    /// <summary>A valid beginning; read on.</summary>
    NeedMoreData,

    /// <summary>The peer broke a rule.</summary>
    Invalid,
}
