namespace OpenSandbox.Cli.Parsing;

/// <summary>A verb whose arguments end in a command to run: options behind the command's name belong to the command.</summary>
internal interface ITakesCommand
{
    /// <summary>How many arguments come before the command.</summary>
    int ArgumentsBefore => 0;

    /// <summary>What follows the verb's name in its help.</summary>
    string Synopsis { get; }
}
