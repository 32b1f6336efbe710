namespace OpenSandbox.VirtioSerial;

/// <summary>What <see cref="RecordReader"/> found.</summary>
public enum RecordPart
{
    /// <summary>Nothing more in the bytes that were given.</summary>
    NeedMore,

    /// <summary>A record's head: JSON, all of it.</summary>
    Head,

    /// <summary>A piece of the record's content.</summary>
    Content,

    /// <summary>The record ended.</summary>
    End,

    /// <summary>The record broke off: JSON of an <see cref="ItemError"/>, all of it. The next record follows.</summary>
    Failure,
}
