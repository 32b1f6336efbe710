using System.CommandLine;
using System.CommandLine.Parsing;
using OpenSandbox.Cli.Parsing;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox run</c>.</summary>
internal sealed class RunCommand : Command, ITakesCommand, IHasExamples
{
    private readonly Option<string[]> _environment = new("--env", "-e")
    {
        Description = "Environment variable of the command; NAME alone passes this shell's on",
        HelpName = "NAME=VALUE",
        Arity = ArgumentArity.OneOrMore,
        DefaultValueFactory = static _ => [],
    };

    private readonly Option<string?> _directory = new("--cwd", "-w")
    {
        Description = "Working directory, an absolute path (default: /workspace)",
        HelpName = "DIR",
    };

    private readonly Option<string?> _user = new("--user", "-u")
    {
        Description = "User name in the sandbox, or UID[:GID] (default: sandbox)",
        HelpName = "USER",
    };

    private readonly Option<int?> _memory = new("--memory", "-m")
    {
        Description = "Memory, such as 1024 (MiB), 512m or 2g; a multiple of 128 MiB (default: 512m)",
        HelpName = "SIZE",
        CustomParser = ParseMemory,
    };

    private readonly Option<TimeSpan?> _timeout = new("--timeout", "-t")
    {
        Description = "Kill the command after this time, such as 30 (seconds), 1.5s, 500ms or 5m; the exit code is then 124",
        HelpName = "TIME",
        CustomParser = ParseTimeout,
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

    private readonly Option<AcceleratorChoice> _accelerator = new("--accelerator")
    {
        Description = "auto (KVM if a guest boots under it here, else TCG), kvm or tcg (default: auto)",
        HelpName = "auto|kvm|tcg",
        CustomParser = ParseAccelerator,
    };

    private readonly Option<IsolationLevel> _isolation = new("--isolation")
    {
        Description = "full (QEMU in a jail of its own; needs root) or none, only for code that you trust (default: full)",
        HelpName = "full|none",
        CustomParser = ParseIsolation,
    };

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object with exit code, output and timings" };

    private readonly Option<bool> _noInput = new("--no-stdin", "-n")
    {
        Description = "Do not read standard input; the command's is empty. For loops that read it themselves",
    };

    private readonly Option<bool> _verbose;

    private readonly Argument<string[]> _command = new("COMMAND")
    {
        Description = "Program and arguments, without a shell; options behind it are its own",
        Arity = ArgumentArity.OneOrMore,
    };

    internal RunCommand(CommandContext context, Option<bool> verbose)
        : base("run", "Run a command in a new sandbox, and exit as it does")
    {
        _verbose = verbose;
        Options.Add(_environment);
        Options.Add(_directory);
        Options.Add(_user);
        Options.Add(_memory);
        Options.Add(_timeout);
        Options.Add(_image);
        Options.Add(_pids);
        Options.Add(_accelerator);
        Options.Add(_isolation);
        Options.Add(_json);
        Options.Add(_noInput);
        Arguments.Add(_command);
        SetAction((parsed, _) =>
        {
            RunRequest request = Read(parsed);
            context.Errors.Debug |= request.Verbose;
            return CommandRun.ExecuteAsync(request, context);
        });
    }

    /// <inheritdoc/>
    public string Examples => """
        Standard input, output and error are the command's, byte for byte. The sandbox is gone when the command ends. The first run on a
        machine builds what is missing, which takes minutes; after that a sandbox starts in a fraction of a second.

        Examples:
          opensandbox run -- python3 -c 'print(6*7)'
          tar c . | opensandbox run --memory 1g --timeout 5m -- sh -c 'tar x && make test'
          opensandbox run --json --timeout 10s -- sh -c 'echo out; echo err >&2; exit 3'
          opensandbox run -e LANG=C.UTF-8 -u root -w / -- id

        Exit codes:
          the command's own; 128+N if signal N ended it
          124      the command's time was up (--timeout)
          125      opensandbox failed; one line on standard error says why
          126      the command cannot be executed
          127      there is no such command in the sandbox
          129/130/143   ended by SIGHUP, SIGINT (Ctrl-C) or SIGTERM, and the sandbox with it
          141      whoever read the output has gone
          2        the options are wrong; nothing was started
        A command may use these numbers itself; with --json, opensandbox's own failures have an "error".
        """;

    /// <summary>What the user asked for.</summary>
    /// <exception cref="UsageException">It makes no sense.</exception>
    internal RunRequest Read(ParseResult parsed)
    {
        string? directory = parsed.GetValue(_directory);
        if (directory is not null && !directory.StartsWith('/'))
        {
            throw new UsageException($"option --cwd: '{directory}' is not an absolute path");
        }

        var spec = new SandboxSpec { MemoryMib = parsed.GetValue(_memory) };
        if (parsed.GetValue(_image) is string image)
        {
            spec = spec with { Image = image };
        }

        return new RunRequest
        {
            Host = new SandboxHostOptions
            {
                Accelerator = parsed.GetValue(_accelerator),
                Isolation = parsed.GetValue(_isolation),
                MaxSandboxes = 1,
            },
            Spec = parsed.GetValue(_pids) is int pids ? spec with { PidsMax = pids } : spec,
            Exec = new ExecOptions
            {
                EnvironmentVariables = EnvironmentAssignments.Parse(parsed.GetValue(_environment) ?? [], Environment.GetEnvironmentVariable),
                WorkingDirectory = directory,
                User = parsed.GetValue(_user),
                Timeout = parsed.GetValue(_timeout),
            },
            Command = parsed.GetValue(_command) ?? [],
            PassInput = !parsed.GetValue(_noInput),
            Json = parsed.GetValue(_json),
            Verbose = parsed.GetValue(_verbose),
        };
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

    private static TimeSpan? ParseTimeout(ArgumentResult result)
    {
        if (Duration.TryParse(result.Tokens[0].Value, out TimeSpan duration, out string problem))
        {
            return duration;
        }

        result.AddError($"option --timeout: {problem}");
        return null;
    }

    private static int? ParsePids(ArgumentResult result)
    {
        const int least = 8, most = 65_536;
        string text = result.Tokens[0].Value;
        if (int.TryParse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out int pids)
            && pids is >= least and <= most)
        {
            return pids;
        }

        result.AddError($"option --pids-max: '{text}' is not a number from {least} to {most}");
        return null;
    }

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

    private static IsolationLevel ParseIsolation(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        switch (text)
        {
            case "full": return IsolationLevel.Full;
            case "none": return IsolationLevel.None;
            default:
                result.AddError($"option --isolation: '{text}' is none of full, none");
                return default;
        }
    }
}
