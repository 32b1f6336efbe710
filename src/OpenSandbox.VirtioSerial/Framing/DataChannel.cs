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
}
