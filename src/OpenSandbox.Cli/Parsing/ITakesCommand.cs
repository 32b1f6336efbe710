namespace OpenSandbox.Cli.Parsing;

/// <summary>A verb whose arguments are a command to run: options behind the command's name belong to the command.</summary>
internal interface ITakesCommand;
