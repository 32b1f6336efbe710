namespace OpenSandbox.VirtioSerial;

/// <summary>What a <see cref="FrameType.Data"/> frame carries; stands in the frame's flags.</summary>
public enum DataChannel : byte
{
    /// <summary>Standard input of a command, or the content of a file, in either direction.</summary>
    Content = 0,

    /// <summary>Standard output of a command.</summary>
    StandardOutput = 1,

    /// <summary>Standard error of a command.</summary>
    StandardError = 2,

    /// <summary>
    /// Of a managed process, instead of output: a u64, the sequence number at which output goes on. What lies between was overwritten.
    /// </summary>
    Gap = 3,

    /// <summary>What a managed process wrote to its report descriptor.</summary>
    Report = 4,
}
