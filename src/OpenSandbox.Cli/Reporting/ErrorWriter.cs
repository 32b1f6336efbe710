using System.Text;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Reporting;

/// <summary>Messages for people, on standard error, one line each: <c>opensandbox: what: why. what to do</c>.</summary>
/// <remarks>Thread-safe. A closed standard error loses messages and changes nothing else.</remarks>
internal sealed class ErrorWriter
{
    private const string Prefix = "opensandbox: ";
    private readonly Action<byte[]> _write;
    private readonly Lock _gate = new();

    /// <param name="write">Writes to standard error.</param>
    /// <param name="debug">Whether failures are shown with everything known about them.</param>
    internal ErrorWriter(Action<byte[]> write, bool debug)
    {
        _write = write;
        Debug = debug;
    }

    /// <summary>Whether stack traces are shown.</summary>
    internal bool Debug { get; set; }

    /// <summary>Writes one line.</summary>
    internal void Line(string message) => Write(Prefix + OneLine(message) + "\n");

    /// <summary>Writes lines that another process of this program has made, as they are, apart from control characters.</summary>
    internal void Relay(string text) => Write(string.Concat(text.TrimEnd().Split('\n').Select(static line => $"{OneLine(line)}\n")));

    /// <summary>Writes several lines as they are, apart from control characters.</summary>
    internal void Block(string text) => Write(string.Concat(text.TrimEnd().Split('\n').Select(static line => $"  {OneLine(line)}\n")));

    /// <summary>Writes a failure: one line, and what belongs to it where it helps or was asked for.</summary>
    internal void Failure(Exception failure)
    {
        string message = Describe(failure);
        string first = message.Split('\n', 2)[0].TrimEnd();
        bool more = first.Length < message.TrimEnd().Length;
        Line(more && !Debug ? $"{first} (-v shows more)" : first);
        if (((failure as CliException)?.Detail ?? (failure as KeptSandboxException)?.Failure.Detail) is { Length: > 0 } detail)
        {
            Block(detail);
        }

        if (Debug)
        {
            Block(failure.ToString());
        }
    }

    /// <summary>What a failure is called towards people.</summary>
    internal static string Describe(Exception failure) => failure switch
    {
        SandboxException or CliException or UsageException or KeptSandboxException => failure.Message,

        // The parameter's name is the library's, not the user's.
        ArgumentException { ParamName: not null } wrong => wrong.Message.Replace($" (Parameter '{wrong.ParamName}')", "", StringComparison.Ordinal),
        IOException or UnauthorizedAccessException or ArgumentException => failure.Message,
        _ => $"internal error: {failure.GetType().Name}: {failure.Message}. Please report it, with OPENSANDBOX_DEBUG=1",
    };

    /// <summary>Text that may come from a guest, fit for a terminal: no control characters.</summary>
    internal static string OneLine(string text) =>
        text.AsSpan().ContainsAnyInRange('\0', '\x1f') || text.AsSpan().ContainsAnyInRange('\x7f', '\x9f')
            ? string.Create(text.Length, text, static (line, source) =>
            {
                for (int i = 0; i < source.Length; i++)
                {
                    line[i] = source[i] == '\t' ? ' ' : char.IsControl(source[i]) ? '?' : source[i];
                }
            })
            : text;

    private void Write(string text)
    {
        lock (_gate)
        {
            try
            {
                _write(Encoding.UTF8.GetBytes(text));
            }
            catch (Exception closed) when (closed is IOException or BrokenPipeException)
            {
                // Nobody listens on standard error; there is no other place to say so.
                return;
            }
        }
    }
}
