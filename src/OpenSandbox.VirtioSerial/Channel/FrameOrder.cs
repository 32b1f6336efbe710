namespace OpenSandbox.VirtioSerial;

/// <summary>How a frame stands to a hold of its port's writer.</summary>
internal enum FrameOrder
{
    /// <summary>It waits while there is a hold.</summary>
    Ordinary,

    /// <summary>It leaves, and begins a hold: nothing ordinary follows it until <see cref="PortWriter.Release"/>.</summary>
    Last,

    /// <summary>It leaves in spite of a hold.</summary>
    Urgent,
}
