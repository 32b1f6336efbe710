using System.CommandLine;

namespace OpenSandbox.Cli.Parsing;

/// <summary>
/// Prepares the arguments for the parser, which on its own takes an unknown option for an ordinary argument, and options behind a
/// command to run for its own: unknown options are named, and what follows the command is left to it.
/// </summary>
internal static class ArgumentLine
{
    private const string EndOfOptions = "--";

    /// <summary>Checks the options and marks where they end.</summary>
    /// <param name="root">All verbs.</param>
    /// <param name="args">As the program got them.</param>
    /// <returns>The same, with a <c>--</c> before the command to run where the user wrote none.</returns>
    /// <exception cref="UsageException">There is an option that the verb does not have.</exception>
    internal static string[] Prepare(RootCommand root, string[] args)
    {
        Command command = root;
        string path = root.Name;
        int arguments = 0;
        for (int i = 0; i < args.Length; i++)
        {
            string token = args[i];
            if (token == EndOfOptions)
            {
                return args;
            }

            // A single hyphen stands for standard input with many programs: an argument like any other.
            if (token.Length > 1 && token[0] == '-')
            {
                if (FlagsOf(command, root, token) is string[] flags)
                {
                    args = [.. args[..i], .. flags, .. args[(i + 1)..]];
                    token = args[i];
                }

                int assignment = token.IndexOf('=', StringComparison.Ordinal);
                Option option = Find(command, root, assignment < 0 ? token : token[..assignment])
                    ?? throw new UsageException($"unknown option '{token}'. See '{path} --help'");
                if (assignment < 0 && option.Arity.MinimumNumberOfValues > 0)
                {
                    i++;
                }
            }
            else if (FindSubcommand(command, token) is Command verb)
            {
                command = verb;
                path = $"{path} {verb.Name}";
            }
            else if (command is ITakesCommand { ArgumentsBefore: int before } && arguments++ == before)
            {
                return [.. args[..i], EndOfOptions, .. args[i..]];
            }
            else if (command.Subcommands.Count > 0)
            {
                throw new UsageException($"unknown command '{token}'. See '{path} --help'");
            }
        }

        return args;
    }

    /// <summary><c>-it</c> as <c>-i -t</c>, where all are flags: what takes a value is always written by itself.</summary>
    private static string[]? FlagsOf(Command command, RootCommand root, string token)
    {
        if (token.Length < 3 || token[1] == '-' || token.Contains('=', StringComparison.Ordinal) || Find(command, root, token) is not null)
        {
            return null;
        }

        string[] flags = [.. token[1..].Select(static letter => $"-{letter}")];
        return Array.TrueForAll(flags, flag => Find(command, root, flag) is Option { ValueType: Type type } && type == typeof(bool)) ? flags : null;
    }

    private static Option? Find(Command command, RootCommand root, string name)
    {
        foreach (Option option in command.Options)
        {
            if (option.Name == name || option.Aliases.Contains(name))
            {
                return option;
            }
        }

        foreach (Option option in root.Options)
        {
            if (option.Recursive && (option.Name == name || option.Aliases.Contains(name)))
            {
                return option;
            }
        }

        return null;
    }

    private static Command? FindSubcommand(Command command, string name)
    {
        foreach (Command verb in command.Subcommands)
        {
            if (verb.Name == name || verb.Aliases.Contains(name))
            {
                return verb;
            }
        }

        return null;
    }
}
