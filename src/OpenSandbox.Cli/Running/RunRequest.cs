using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Running;

/// <summary>What <c>run</c> was asked to do.</summary>
internal sealed record RunRequest
{
    /// <summary>The host to make the sandbox on.</summary>
    public required SandboxHostOptions Host { get; init; }

    /// <summary>The sandbox to make.</summary>
    public required SandboxSpec Spec { get; init; }

    /// <summary>How to run the command.</summary>
    public required ExecOptions Exec { get; init; }

    /// <summary>Program and arguments.</summary>
    public required IReadOnlyList<string> Command { get; init; }

    /// <summary>Whether the command gets this program's standard input.</summary>
    public bool PassInput { get; init; } = true;

    /// <summary>Whether the sandbox outlives the command; there may then be none.</summary>
    public bool Keep { get; init; }

    /// <summary>Whether the kept sandbox is left to a process in the background.</summary>
    public bool Detach { get; init; }

    /// <summary>Whether to print one JSON object instead of the command's output.</summary>
    public bool Json { get; init; }

    /// <summary>Whether to say what is being done.</summary>
    public bool Verbose { get; init; }
}
