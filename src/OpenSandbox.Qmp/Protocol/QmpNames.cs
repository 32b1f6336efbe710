namespace OpenSandbox.Qmp.Protocol;

/// <summary>The names that QMP uses, and text from QEMU made fit for messages and logs.</summary>
internal static class QmpNames
{
    /// <summary>Longest command name that is sent.</summary>
    internal const int MaxCommandLength = 128;

    /// <summary>Longest text of QEMU's that is kept.</summary>
    internal const int MaxTextLength = 4096;

    /// <summary>Whether <paramref name="name"/> has only characters that names of commands and events have.</summary>
    internal static bool IsName(ReadOnlySpan<char> name)
    {
        foreach (char c in name)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('_' or '-' or '.'))
            {
                return false;
            }
        }

        return !name.IsEmpty;
    }

    /// <summary>Text that QEMU wrote, cut to a length and without control characters: it ends up in exceptions and logs.</summary>
    internal static string Clean(string text, int maxLength)
    {
        if (text.Length <= maxLength && !text.AsSpan().ContainsAnyInRange('\0', '\u001f') && !text.Contains('\u007f'))
        {
            return text;
        }

        return string.Create(Math.Min(text.Length, maxLength), text, static (span, source) =>
        {
            for (int i = 0; i < span.Length; i++)
            {
                span[i] = char.IsControl(source[i]) ? ' ' : source[i];
            }
        });
    }
}
