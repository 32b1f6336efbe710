using System.Text;

namespace OpenSandbox.Vmm;

/// <summary>What a line that was run in a shell session left. A non-zero exit code is a result, not an error.</summary>
public sealed class ShellResult
{
    internal ShellResult(int exitCode, bool timedOut, bool shellEnded, byte[] standardOutput, byte[] standardError, bool truncated)
    {
        ExitCode = exitCode;
        TimedOut = timedOut;
        ShellEnded = shellEnded;
        StandardOutputBytes = standardOutput;
        StandardErrorBytes = standardError;
        Truncated = truncated;
    }

    /// <summary>The line's <c>$?</c>; of a line that ended the shell, the shell's exit code; 137 of one whose time was up.</summary>
    public int ExitCode { get; }

    /// <summary>The run's time was up, and it was killed with everything it had started.</summary>
    public bool TimedOut { get; }

    /// <summary>The shell is over, by <c>exit</c> or because it was killed: nothing more can be run in it.</summary>
    public bool ShellEnded { get; }

    /// <summary>Standard output, byte for byte.</summary>
    public ReadOnlyMemory<byte> StandardOutputBytes { get; }

    /// <summary>Standard error, byte for byte.</summary>
    public ReadOnlyMemory<byte> StandardErrorBytes { get; }

    /// <summary>Standard output as UTF-8 text; bytes that are not UTF-8 become U+FFFD.</summary>
    public string StandardOutput => field ??= Encoding.UTF8.GetString(StandardOutputBytes.Span);

    /// <summary>Standard error as UTF-8 text; bytes that are not UTF-8 become U+FFFD.</summary>
    public string StandardError => field ??= Encoding.UTF8.GetString(StandardErrorBytes.Span);

    /// <summary>Whether output beyond <see cref="ShellRunOptions.MaxOutputBytes"/> was dropped.</summary>
    public bool Truncated { get; }
}
