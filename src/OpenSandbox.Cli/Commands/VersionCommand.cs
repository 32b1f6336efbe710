using System.CommandLine;
using System.Reflection;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox version</c>.</summary>
internal sealed class VersionCommand : Command
{
    internal VersionCommand()
        : base("version", "Print the version")
    {
        SetAction(static parsed => parsed.InvocationConfiguration.Output.WriteLine(
            typeof(VersionCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion));
    }
}
