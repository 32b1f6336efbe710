using System.Globalization;
using System.Text;

namespace OpenSandbox.Vmm.Processes;

/// <summary>What <c>/proc/PID</c> says of a process that is not a child of this one (proc(5)).</summary>
/// <param name="ParentPid">Its parent; 0 if that is in no namespace that is seen from here.</param>
/// <param name="StartTicks">When it started, clock ticks since the boot.</param>
/// <param name="HasEnded">
/// It is a zombie: it runs no more and only waits for its parent. One whose first thread alone has ended looks the same at first sight.
/// </param>
internal readonly record struct ProcessFacts(int ParentPid, long StartTicks, bool HasEnded)
{
    private const int MaxCommandLine = 65_536;

    /// <summary>Reads them.</summary>
    /// <returns>Null if there is no such process, or if <c>/proc</c> hides it from this user (<c>hidepid</c>).</returns>
    /// <exception cref="InvalidDataException">The kernel's file does not look as documented.</exception>
    internal static ProcessFacts? Read(int pid)
    {
        string text;
        try
        {
            text = File.ReadAllText(PathOf(pid, "stat"));
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return null; // it does not exist, has ceased to between open and read (ESRCH), or is hidden
        }

        // The name in parentheses may hold anything, parentheses included: what follows begins after the last one.
        string[] fields = text[(text.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        const int state = 0;
        const int parent = 1;
        const int threads = 17;
        const int start = 19; // field 22 of the whole line
        if (fields.Length <= start
            || !int.TryParse(fields[parent], NumberStyles.None, CultureInfo.InvariantCulture, out int parentPid)
            || !int.TryParse(fields[threads], NumberStyles.None, CultureInfo.InvariantCulture, out int threadCount)
            || !long.TryParse(fields[start], NumberStyles.None, CultureInfo.InvariantCulture, out long ticks))
        {
            throw new InvalidDataException($"{PathOf(pid, "stat")} is not as proc(5) has it");
        }

        return new ProcessFacts(parentPid, ticks, fields[state] is "Z" or "X" && threadCount <= 1);
    }

    /// <summary>Whether one of the process's arguments is exactly this text. A process that does not exist has none.</summary>
    internal static bool HasArgument(int pid, string argument)
    {
        byte[] wanted = Encoding.UTF8.GetBytes(argument);
        ReadOnlySpan<byte> line = ReadCommandLine(pid);
        if (line.IsEmpty)
        {
            return false; // there is no such process, or it is on its way out
        }

        foreach (Range part in line.Split((byte)0))
        {
            if (line[part].SequenceEqual(wanted))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether there is no command line: a process on its way out has given up its memory, and with that its arguments.</summary>
    internal static bool HasNoCommandLine(int pid) => ReadCommandLine(pid).IsEmpty;

    private static ReadOnlySpan<byte> ReadCommandLine(int pid)
    {
        try
        {
            using FileStream file = File.OpenRead(PathOf(pid, "cmdline"));
            byte[] buffer = new byte[MaxCommandLine];
            return buffer.AsSpan(0, file.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false));
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    private static string PathOf(int pid, string file) => string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/{file}");
}
