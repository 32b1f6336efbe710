using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Names of the steps of a start, as they stand in messages and in <see cref="AgentError.Step"/>.</summary>
internal static class SpawnSteps
{
    /// <summary>One of <see cref="StartSteps"/>.</summary>
    internal static string Name(SpawnStep step) => step switch
    {
        SpawnStep.Clone => StartSteps.Clone,
        SpawnStep.Session or SpawnStep.Terminal => StartSteps.Session,
        SpawnStep.StandardDescriptors => StartSteps.StandardDescriptors,
        SpawnStep.Groups => StartSteps.Groups,
        SpawnStep.Gid => StartSteps.Gid,
        SpawnStep.Uid => StartSteps.Uid,
        SpawnStep.WorkingDirectory => StartSteps.WorkingDirectory,
        SpawnStep.Limits => StartSteps.Limits,
        _ => StartSteps.Exec,
    };
}
