using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using OpenSandbox.Cli.Parsing;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary>The options of every verb that makes a sandbox.</summary>
internal sealed class SandboxOptions
{
    private readonly Option<int?> _memory = new("--memory", "-m")
    {
        Description = "Memory, such as 1024 (MiB), 512m or 2g; a multiple of 128 MiB (default: 512m)",
        HelpName = "SIZE",
        CustomParser = ParseMemory,
    };

    private readonly Option<string?> _image = new("--image")
    {
        Description = "Root file system, by name or digest; see 'opensandbox image ls' (default: default)",
        HelpName = "NAME",
    };

    private readonly Option<int?> _pids = new("--pids-max")
    {
        Description = "Largest number of processes and threads, 8 to 65536 (default: 128)",
        HelpName = "N",
        CustomParser = ParsePids,
    };

    private readonly HostOptions _host = new();

    /// <summary>Adds the options to a verb.</summary>
    internal void AddTo(Command verb)
    {
        verb.Options.Add(_memory);
        verb.Options.Add(_image);
        verb.Options.Add(_pids);
        _host.AddTo(verb);
    }

    /// <summary>Whether any of the options was given.</summary>
    internal bool AnyGiven(ParseResult parsed) =>
        parsed.GetResult(_memory) is { Implicit: false }
        || parsed.GetResult(_image) is { Implicit: false }
        || parsed.GetResult(_pids) is { Implicit: false }
        || _host.AnyGiven(parsed);

    /// <summary>The host that was asked for.</summary>
    internal SandboxHostOptions ReadHost(ParseResult parsed) => _host.Read(parsed);

    /// <summary>The sandbox that was asked for.</summary>
    internal SandboxSpec ReadSpec(ParseResult parsed)
    {
        var spec = new SandboxSpec { MemoryMib = parsed.GetValue(_memory) };
        if (parsed.GetValue(_image) is string image)
        {
            spec = spec with { Image = image };
        }

        return parsed.GetValue(_pids) is int pids ? spec with { PidsMax = pids } : spec;
    }

    private static int? ParseMemory(ArgumentResult result)
    {
        if (MemorySize.TryParse(result.Tokens[0].Value, new SandboxHostOptions().MaxMemoryMib, out int mib, out string problem))
        {
            return mib;
        }

        result.AddError($"option --memory: {problem}");
        return null;
    }

    private static int? ParsePids(ArgumentResult result)
    {
        const int least = 8, most = 65_536;
        string text = result.Tokens[0].Value;
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int pids) && pids is >= least and <= most)
        {
            return pids;
        }

        result.AddError($"option --pids-max: '{text}' is not a number from {least} to {most}");
        return null;
    }
}
