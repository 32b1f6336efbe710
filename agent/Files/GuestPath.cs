using System.Text;

namespace OpenSandbox.Agent;

/// <summary>Paths that the host names.</summary>
internal static class GuestPath
{
    private const int MaxBytes = 4095;

    /// <summary>Checks a path: absolute, no NUL, at most 4,095 bytes.</summary>
    /// <returns>It, without slashes at its end.</returns>
    /// <exception cref="GuestException">It is none.</exception>
    internal static string Check(string? path)
    {
        if (string.IsNullOrEmpty(path) || path[0] != '/' || path.Contains('\0', StringComparison.Ordinal)
            || Encoding.UTF8.GetByteCount(path) > MaxBytes)
        {
            GuestException.ThrowInvalid($"path: absolute, without NUL, at most {MaxBytes} bytes of UTF-8");
        }

        string trimmed = path.TrimEnd('/');
        return trimmed.Length == 0 ? "/" : trimmed;
    }

    /// <summary>Splits a checked path into its directory and its last name.</summary>
    /// <exception cref="GuestException">There is no name: <c>/</c>, or <c>.</c> or <c>..</c> at the end.</exception>
    internal static (string Directory, string Name) Split(string path)
    {
        int slash = path.LastIndexOf('/');
        string name = path[(slash + 1)..];
        if (name is "" or "." or "..")
        {
            GuestException.ThrowInvalid("path: must end in a name");
        }

        return (slash == 0 ? "/" : path[..slash], name);
    }
}
