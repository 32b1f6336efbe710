namespace OpenSandbox.Cli.Running;

/// <summary>Part of <see cref="RunReport"/>: milliseconds, with one decimal.</summary>
internal sealed record RunReportTimings
{
    /// <summary>Loading the golden snapshot, or making it.</summary>
    public double HostMs { get; init; }

    /// <summary>Looking for the images, or building them.</summary>
    public double ImagesMs { get; init; }

    /// <summary>From there to a sandbox that is ready.</summary>
    public double CreateMs { get; init; }

    /// <summary>From there to the command's end, as seen from here.</summary>
    public double ExecuteMs { get; init; }

    /// <summary>From the command's start to its end, measured in the guest.</summary>
    public double CommandMs { get; init; }

    /// <summary>CPU time of the command and its descendants, where the guest knows it.</summary>
    public double? CommandCpuMs { get; init; }
}
