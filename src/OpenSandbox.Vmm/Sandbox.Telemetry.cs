using OpenSandbox.Vmm.Telemetry;

namespace OpenSandbox.Vmm;

/// <content>Commands as they are measured, where anybody listens.</content>
public sealed partial class Sandbox
{
    private static bool IsExecWatched => Operation.Exec.IsWatched || SandboxMetrics.ExecActive.Enabled;

    private async Task<ExecResult> ExecWatchedAsync(IReadOnlyList<string> command, ExecOptions? options, CancellationToken cancellationToken)
    {
        SandboxMetrics.ExecActive.Add(1);
        try
        {
            // The exit code is a result; what a command is called stays out, as its arguments do.
            return await Operation.Exec.RunAsync(
                Id,
                () => ExecNowAsync(command, options, cancellationToken),
                static (result, activity, _) => activity?.SetTag("process.exit.code", result.ExitCode)).ConfigureAwait(false);
        }
        finally
        {
            SandboxMetrics.ExecActive.Add(-1);
        }
    }

    private Task<SandboxHibernation> HibernateMeasuredAsync(bool expired, Func<Task<SandboxHibernation>> work) => Operation.Hibernate.RunAsync(
        Id, work, (_, _, tags) => tags.Add(SandboxMetrics.Tag("trigger", expired ? "expiry" : "call")));

    private Task<SandboxWake> WakeMeasuredAsync(bool byUse, Func<Task<SandboxWake>> work) => Operation.Wake.RunAsync(
        Id,
        work,
        (wake, activity, tags) =>
        {
            tags.Add(SandboxMetrics.Tag("trigger", byUse ? "use" : "call"));
            tags.Add(SandboxMetrics.Tag("memory", wake.MemoryRestored));
            activity?.SetTag("wake.memory_restored", wake.MemoryRestored);
        });
}
