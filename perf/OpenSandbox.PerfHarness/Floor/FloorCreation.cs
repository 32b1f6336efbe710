namespace OpenSandbox.PerfHarness.Floor;

/// <summary>What the floor program says about one machine that it made.</summary>
/// <param name="TotalMilliseconds">From the start to the first command's result, or to the resume's where there was no command.</param>
/// <param name="SpawnedMilliseconds">Until posix_spawn had returned.</param>
/// <param name="HelloMilliseconds">Until the agent's Hello was there.</param>
/// <param name="ResumedMilliseconds">Until the agent had resumed.</param>
/// <param name="AgentMountMilliseconds">Mounting, as the agent reports it.</param>
/// <param name="AgentResumeMilliseconds">The whole resume, as the agent reports it.</param>
/// <param name="AgentExecMilliseconds">The command, as the agent reports it.</param>
/// <param name="LauncherPid">The launcher.</param>
internal sealed record FloorCreation(
    double TotalMilliseconds,
    double SpawnedMilliseconds,
    double HelloMilliseconds,
    double ResumedMilliseconds,
    double AgentMountMilliseconds,
    double AgentResumeMilliseconds,
    double AgentExecMilliseconds,
    int LauncherPid);
