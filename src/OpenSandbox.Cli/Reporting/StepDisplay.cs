namespace OpenSandbox.Cli.Reporting;

/// <summary>How <see cref="Steps"/> are shown. Called by one thread at a time.</summary>
internal abstract class StepDisplay
{
    /// <summary>Starts a step; one that is under way counts as finished.</summary>
    internal abstract void Begin(string what);

    /// <summary>Says what the step is doing now.</summary>
    internal abstract void Detail(string text);

    /// <summary>Ends the step, if there is one.</summary>
    internal abstract void End(bool succeeded);

    /// <summary>Completes when nothing is drawn any more. Steps have been ended before.</summary>
    internal abstract Task DrainAsync();

    /// <summary>The line that stays when a step has succeeded.</summary>
    protected static string Done(string what, TimeSpan elapsed) => $"{what}: done ({elapsed.TotalSeconds:0.0} s)";
}
