namespace OpenSandbox.Agent;

/// <summary>What <see cref="FrameSource.Next"/> found.</summary>
internal enum FrameSourceStatus
{
    /// <summary>Nothing whole: read on.</summary>
    NeedMoreData,

    /// <summary>A preamble: a new session begins.</summary>
    Preamble,

    /// <summary>A frame of the session.</summary>
    Frame,

    /// <summary>The peer broke a rule: the session is over, and the source looks for a preamble.</summary>
    Broken,
}
