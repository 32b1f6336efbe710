using System.CommandLine;
using System.CommandLine.Parsing;
using OpenSandbox.Cli.Parsing;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary>The options of every verb that runs something in a sandbox.</summary>
internal sealed class ProcessOptions
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

    private readonly Option<TimeSpan?>? _timeout;

    /// <param name="timeout">Name of the option for a timeout and its aliases; none where there is no such option.</param>
    internal ProcessOptions(params string[] timeout)
    {
        if (timeout is [string name, .. string[] aliases])
        {
            _timeout = new Option<TimeSpan?>(name, aliases)
            {
                Description = "Kill the command after this time, such as 30 (seconds), 1.5s, 500ms or 5m; the exit code is then 124",
                HelpName = "TIME",
                CustomParser = ParseTimeout,
            };
        }
    }

    /// <summary>Adds the options to a verb.</summary>
    internal void AddTo(Command verb)
    {
        verb.Options.Add(_environment);
        verb.Options.Add(_directory);
        verb.Options.Add(_user);
        if (_timeout is not null)
        {
            verb.Options.Add(_timeout);
        }
    }

    /// <summary>What the user asked for.</summary>
    /// <exception cref="UsageException">It makes no sense.</exception>
    internal ExecOptions Read(ParseResult parsed)
    {
        string? directory = parsed.GetValue(_directory);
        return directory is null || directory.StartsWith('/')
            ? new ExecOptions
            {
                EnvironmentVariables = EnvironmentAssignments.Parse(parsed.GetValue(_environment) ?? [], Environment.GetEnvironmentVariable),
                WorkingDirectory = directory,
                User = parsed.GetValue(_user),
                Timeout = _timeout is null ? null : parsed.GetValue(_timeout),
            }
            : throw new UsageException($"option --cwd: '{directory}' is not an absolute path");
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
}
