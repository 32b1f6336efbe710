using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;

namespace OpenSandbox.Cli;

/// <summary>What every verb is given.</summary>
/// <param name="Signals">Tells when the program is to end.</param>
/// <param name="Errors">Where messages for people go.</param>
internal sealed record CommandContext(TerminationSignals Signals, ErrorWriter Errors);
