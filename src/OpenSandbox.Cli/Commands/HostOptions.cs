using System.CommandLine;
using System.CommandLine.Parsing;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary>The options of every verb that starts a machine.</summary>
internal sealed class HostOptions
{
    private readonly Option<AcceleratorChoice> _accelerator = new("--accelerator")
    {
        Description = "auto (KVM if a guest boots under it here, else TCG), kvm or tcg (default: auto)",
        HelpName = "auto|kvm|tcg",
        CustomParser = ParseAccelerator,
    };

    private readonly Option<IsolationRequirement?> _isolation = new("--isolation")
    {
        Description = "full (QEMU in a jail of its own; needs root), rootless (through a user namespace), best (what can be had) or none, only for code that you trust (default: full)",
        HelpName = "full|rootless|best|none",
        CustomParser = ParseIsolation,
    };

    /// <summary>Adds the options to a verb.</summary>
    internal void AddTo(Command verb)
    {
        verb.Options.Add(_accelerator);
        verb.Options.Add(_isolation);
    }

    /// <summary>Whether any of the options was given.</summary>
    internal bool AnyGiven(ParseResult parsed) =>
        parsed.GetResult(_accelerator) is { Implicit: false } || parsed.GetResult(_isolation) is { Implicit: false };

    /// <summary>The host that was asked for.</summary>
    internal SandboxHostOptions Read(ParseResult parsed) => new()
    {
        Accelerator = parsed.GetValue(_accelerator),
        Isolation = parsed.GetValue(_isolation) ?? IsolationLevel.Full,
    };

    private static AcceleratorChoice ParseAccelerator(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        switch (text)
        {
            case "auto": return AcceleratorChoice.Auto;
            case "kvm": return AcceleratorChoice.Kvm;
            case "tcg": return AcceleratorChoice.Tcg;
            default:
                result.AddError($"option --accelerator: '{text}' is none of auto, kvm, tcg");
                return default;
        }
    }

    private static IsolationRequirement? ParseIsolation(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        switch (text)
        {
            case "full": return IsolationLevel.Full;
            case "rootless": return IsolationLevel.Rootless;
            case "best": return IsolationRequirement.BestEffort;
            case "none": return IsolationLevel.None;
            default:
                result.AddError($"option --isolation: '{text}' is none of full, rootless, best, none");
                return null;
        }
    }
}
