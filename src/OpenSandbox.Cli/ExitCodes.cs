namespace OpenSandbox.Cli;

/// <summary>
/// What the program ends with when the number is not the guest's: as timeout(1), env(1) and the shells count, so that scripts which know
/// those can tell who failed.
/// </summary>
internal static class ExitCodes
{
    /// <summary>All went well.</summary>
    internal const int Success = 0;

    /// <summary><c>doctor</c>: something that is needed is missing.</summary>
    internal const int NotReady = 1;

    /// <summary><c>cp</c>: something was left out.</summary>
    internal const int Incomplete = 1;

    /// <summary>The command line itself is wrong; nothing was started.</summary>
    internal const int Usage = 2;

    /// <summary>The command's time was up.</summary>
    internal const int TimedOut = 124;

    /// <summary>This program failed, not the command; one line on standard error says why.</summary>
    internal const int Failed = 125;

    /// <summary>The command exists in the sandbox but cannot be executed.</summary>
    internal const int CannotExecute = 126;

    /// <summary>There is no such command in the sandbox.</summary>
    internal const int CommandNotFound = 127;

    /// <summary>Ended by a signal, as shells count.</summary>
    internal static int OfSignal(int signal) => 128 + signal;
}
