using System.Text;

namespace OpenSandbox.Vmm;

/// <summary>What a command left. A non-zero exit code is a result, not an error.</summary>
public sealed class ExecResult
{
    internal ExecResult(SandboxProcessExit exit, byte[] standardOutput, byte[] standardError, bool truncated)
    {
        Exit = exit;
        StandardOutputBytes = standardOutput;
        StandardErrorBytes = standardError;
        Truncated = truncated;
    }

    /// <summary>How the command ended.</summary>
    public SandboxProcessExit Exit { get; }

    /// <summary>Exit code, or 128 plus the signal's number, as shells count.</summary>
    public int ExitCode => Exit.ExitCode;

    /// <summary>Standard output, byte for byte.</summary>
    public ReadOnlyMemory<byte> StandardOutputBytes { get; }

    /// <summary>Standard error, byte for byte.</summary>
    public ReadOnlyMemory<byte> StandardErrorBytes { get; }

    /// <summary>Standard output as UTF-8 text; bytes that are not UTF-8 become U+FFFD.</summary>
    public string StandardOutput => field ??= Encoding.UTF8.GetString(StandardOutputBytes.Span);

    /// <summary>Standard error as UTF-8 text; bytes that are not UTF-8 become U+FFFD.</summary>
    public string StandardError => field ??= Encoding.UTF8.GetString(StandardErrorBytes.Span);

    /// <summary>Whether output beyond <see cref="ExecOptions.MaxOutputBytes"/> was dropped.</summary>
    public bool Truncated { get; }

    /// <summary>Returns this result if the command ended with exit code 0.</summary>
    /// <returns>This.</returns>
    /// <exception cref="InvalidOperationException">It did not; the message has the end of standard error.</exception>
    public ExecResult EnsureSuccess()
    {
        if (ExitCode != 0 || Exit.TimedOut)
        {
            const int tail = 2_000;
            string error = StandardError;
            throw new InvalidOperationException($"the command ended with {Exit}: {(error.Length > tail ? error[^tail..] : error)}");
        }

        return this;
    }
}
