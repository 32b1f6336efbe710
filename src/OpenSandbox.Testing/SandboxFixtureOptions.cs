using Microsoft.Extensions.Logging;
using OpenSandbox.Vmm;

namespace OpenSandbox.Testing;

/// <summary>How a <see cref="SandboxFixture"/> works. Immutable; every setting has a default.</summary>
public sealed record SandboxFixtureOptions
{
    /// <summary>Environment variable that makes <see cref="Required"/> the default: <c>1</c>.</summary>
    public const string RequiredVariable = "OPENSANDBOX_REQUIRED";

    /// <summary>The host that is started. Default: see <see cref="SandboxHostOptions"/>.</summary>
    public SandboxHostOptions Host { get; init; } = new();

    /// <summary>Takes the host's log. Default: nothing is logged.</summary>
    public ILoggerFactory? Loggers { get; init; }

    /// <summary>In which the host must have started; the first start on a machine makes a golden snapshot. Default: 5 minutes.</summary>
    public TimeSpan StartTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Where sandboxes cannot run, tests fail instead of being skipped: for machines that are there to run them. Default: whether
    /// <see cref="RequiredVariable"/> is <c>1</c>.
    /// </summary>
    public bool Required { get; init; } = Environment.GetEnvironmentVariable(RequiredVariable) == "1";
}
