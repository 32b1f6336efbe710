using System.CommandLine;
using OpenSandbox.Cli.Keeping;

namespace OpenSandbox.Cli.Commands;

/// <summary>The argument of every verb that needs a kept sandbox.</summary>
internal static class KeptArgument
{
    /// <summary>Where kept sandboxes are found.</summary>
    internal static KeeperDirectory Directory => new(new Vmm.SandboxHostOptions().StateDirectory);

    /// <summary>One sandbox.</summary>
    internal static Argument<string> One() => new("SANDBOX") { Description = "The id of a kept sandbox; see 'opensandbox ls'" };
}
