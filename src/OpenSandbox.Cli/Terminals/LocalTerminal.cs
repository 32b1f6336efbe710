using System.Buffers.Binary;
using System.Runtime.InteropServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Terminals;

/// <summary>
/// This program's terminal, taken out of its line discipline so that every key goes to the sandbox, and put back whatever happens: by
/// <see cref="Dispose"/>, before a signal's own effect, and before an unhandled exception ends the program.
/// </summary>
internal sealed class LocalTerminal : IDisposable
{
    private const int Input = 0;
    private const int Output = 1;
    private const int SigStop = 19;
    private const nuint GetWindowSize = 0x5413;

    /// <summary>
    /// Undoes what a full-screen program had set and could not undo: alternate screen, hidden cursor, bracketed paste, mouse reports,
    /// application keys, colours.
    /// </summary>
    private static readonly byte[] s_reset =
        "\e[?1049l\e[?25h\e[?2004l\e[?1000l\e[?1002l\e[?1003l\e[?1006l\e[?1l\e>\e[0m\r\n"u8.ToArray();

    private readonly byte[] _original;
    private readonly byte[] _raw;
    private readonly Lock _gate = new();
    private readonly PosixSignalRegistration[] _registrations;
    private readonly UnhandledExceptionEventHandler _crash;
    private bool _restored;

    private LocalTerminal(byte[] original, Action resized)
    {
        _original = original;
        _raw = [.. original];
        Libc.CfMakeRaw(_raw);
        _crash = (_, _) => Restore();
        AppDomain.CurrentDomain.UnhandledException += _crash;
        _registrations =
        [
            .. ((PosixSignal[])[PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP, PosixSignal.SIGQUIT])
                .Select(signal => PosixSignalRegistration.Create(signal, _ => Restore())),
            PosixSignalRegistration.Create(PosixSignal.SIGTSTP, context =>
            {
                // The runtime does not stop a program that has a handler for this.
                context.Cancel = true;
                Set(_original);
                _ = Libc.KillProcess(Environment.ProcessId, SigStop);
            }),
            PosixSignalRegistration.Create(PosixSignal.SIGCONT, _ =>
            {
                Set(_raw);
                resized();
            }),
            PosixSignalRegistration.Create(PosixSignal.SIGWINCH, _ => resized()),
        ];
        Set(_raw);
    }

    /// <summary>Whether standard input is a terminal.</summary>
    internal static bool IsInput => Libc.TcGetAttr(Input, stackalloc byte[Libc.TermiosBytes]) == 0;

    /// <summary>What kind of terminal it is, for the sandbox.</summary>
    internal static string Type => Environment.GetEnvironmentVariable("TERM") is { Length: > 0 and <= 64 } type && !type.AsSpan().ContainsAnyExceptInRange('!', '~')
        ? type
        : "xterm-256color";

    /// <summary>Columns and rows; 80 and 24 where the terminal does not know.</summary>
    internal static (int Columns, int Rows) Size
    {
        get
        {
            // struct winsize: rows, columns, and two that nobody uses; two bytes each.
            Span<byte> size = stackalloc byte[8];
            foreach (int descriptor in (ReadOnlySpan<int>)[Output, Input])
            {
                if (Libc.IoCtl(descriptor, GetWindowSize, size) == 0)
                {
                    int rows = BinaryPrimitives.ReadUInt16LittleEndian(size);
                    int columns = BinaryPrimitives.ReadUInt16LittleEndian(size[2..]);
                    if (rows > 0 && columns > 0)
                    {
                        return (columns, rows);
                    }
                }
            }

            return (80, 24);
        }
    }

    /// <summary>Takes the terminal.</summary>
    /// <param name="resized">Called, on any thread, when its size may have changed.</param>
    /// <exception cref="UsageException">Standard input is none.</exception>
    internal static LocalTerminal Take(Action resized)
    {
        byte[] original = new byte[Libc.TermiosBytes];
        return Libc.TcGetAttr(Input, original) == 0
            ? new LocalTerminal(original, resized)
            : throw new UsageException("option --tty: standard input is not a terminal");
    }

    /// <summary>After an end that the program in the sandbox did not see coming: leaves the screen as people expect it.</summary>
    internal static void ResetScreen()
    {
        try
        {
            Running.StandardStreams.Write(Output, s_reset);
        }
        catch (Exception gone) when (gone is IOException or Running.BrokenPipeException)
        {
            // The terminal has gone, and nobody sees it.
            return;
        }
    }

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }

        AppDomain.CurrentDomain.UnhandledException -= _crash;
        Restore();
    }

    private void Restore()
    {
        lock (_gate)
        {
            if (!_restored)
            {
                _restored = true;

                // It fails only if the terminal has gone, which needs no restoring.
                _ = Libc.TcSetAttr(Input, Libc.TCSANOW, _original);
            }
        }
    }

    private void Set(byte[] attributes)
    {
        lock (_gate)
        {
            if (!_restored)
            {
                _ = Libc.TcSetAttr(Input, Libc.TCSANOW, attributes);
            }
        }
    }
}
