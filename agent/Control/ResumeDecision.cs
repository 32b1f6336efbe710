namespace OpenSandbox.Agent;

/// <summary>What has become of a session's resume.</summary>
internal enum ResumeDecision
{
    /// <summary>It has not been asked for, or is under way.</summary>
    Pending,

    /// <summary>It succeeded: commands may run.</summary>
    Resumed,

    /// <summary>It failed: everything is refused.</summary>
    Failed,
}
