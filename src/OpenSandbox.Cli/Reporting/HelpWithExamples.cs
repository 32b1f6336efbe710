using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using OpenSandbox.Cli.Parsing;

namespace OpenSandbox.Cli.Reporting;

/// <summary>Adds examples, and what else belongs there, to the end of a verb's help.</summary>
internal sealed class HelpWithExamples(HelpAction help) : SynchronousCommandLineAction
{
    /// <inheritdoc/>
    public override bool ClearsParseErrors => true;

    /// <summary>Replaces the help of all verbs.</summary>
    internal static void Install(RootCommand root)
    {
        HelpOption option = root.Options.OfType<HelpOption>().First();
        option.Action = new HelpWithExamples((HelpAction)option.Action!);
    }

    /// <inheritdoc/>
    public override int Invoke(ParseResult parseResult)
    {
        InvocationConfiguration configuration = parseResult.InvocationConfiguration;
        TextWriter output = configuration.Output;
        using var text = new StringWriter();
        configuration.Output = text;
        int result = help.Invoke(parseResult);
        configuration.Output = output;
        Command verb = parseResult.CommandResult.Command;

        // The library puts options last everywhere; behind a command to run they would be the command's.
        string written = text.ToString();
        if (verb is ITakesCommand { Synopsis: string synopsis })
        {
            int name = written.IndexOf($" {verb.Name} ", written.IndexOf("Usage:", StringComparison.Ordinal), StringComparison.Ordinal);
            int end = written.IndexOf('\n', name);
            written = $"{written[..name]} {verb.Name} {synopsis}{written[end..]}";
        }

        output.Write(written);
        if (verb is IHasExamples { Examples: string examples })
        {
            output.WriteLine(examples.TrimEnd());
        }

        return result;
    }
}
