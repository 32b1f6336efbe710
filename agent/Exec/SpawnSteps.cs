namespace OpenSandbox.Agent;

/// <summary>Names of the steps of a start, for messages.</summary>
internal static class SpawnSteps
{
    /// <summary>The system call that the step is about.</summary>
    internal static string Name(SpawnStep step) => step switch
    {
        SpawnStep.Clone => "clone",
        SpawnStep.Session => "setsid",
        SpawnStep.StandardDescriptors => "dup",
        SpawnStep.Groups => "setgroups",
        SpawnStep.Gid => "setgid",
        SpawnStep.Uid => "setuid",
        SpawnStep.WorkingDirectory => "chdir",
        _ => "exec",
    };
}
