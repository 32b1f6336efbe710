using System.CommandLine;

namespace OpenSandbox.Cli.Commands;

/// <summary>The options of every verb that brings back something saved.</summary>
internal sealed class WakeChoice
{
    private readonly Option<bool> _requireMemory = new("--require-memory")
    {
        Description = "Fail if its memory cannot be used, rather than to boot it from its disks",
    };

    private readonly Option<bool> _fromDisk = new("--from-disk") { Description = "Boot it from its disks although its memory could be used" };

    /// <summary>Adds the options to a verb.</summary>
    internal void AddTo(Command verb)
    {
        verb.Options.Add(_requireMemory);
        verb.Options.Add(_fromDisk);
    }

    /// <summary>What the user asked for.</summary>
    /// <exception cref="UsageException">It makes no sense.</exception>
    internal (bool RequireMemory, bool FromDisk) Read(ParseResult parsed)
    {
        (bool requireMemory, bool fromDisk) = (parsed.GetValue(_requireMemory), parsed.GetValue(_fromDisk));
        return requireMemory && fromDisk ? throw new UsageException("option --from-disk: it contradicts --require-memory") : (requireMemory, fromDisk);
    }
}
