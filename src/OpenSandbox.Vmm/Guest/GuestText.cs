namespace OpenSandbox.Vmm;

/// <summary>Checks of strings that go into the guest, made before anything is sent.</summary>
internal static class GuestText
{
    private const int MaxPathBytes = 4_095;

    internal static void ValidateEnvironment(IReadOnlyDictionary<string, string>? environment)
    {
        if (environment is null)
        {
            return;
        }

        foreach ((string name, string value) in environment)
        {
            if (name.Length == 0 || name.AsSpan().ContainsAny('=', '\0'))
            {
                throw new ArgumentException($"environment variable '{name}': the name must not be empty and not have '=' or NUL");
            }

            if (value is null || value.Contains('\0', StringComparison.Ordinal))
            {
                throw new ArgumentException($"environment variable '{name}': the value must not be null and not have NUL");
            }
        }
    }

    internal static void ValidatePath(string path, string parameter)
    {
        ArgumentNullException.ThrowIfNull(path, parameter);
        if (path.Length == 0 || path[0] != '/')
        {
            throw new ArgumentException($"path '{path}': it must be absolute", parameter);
        }

        if (path.Contains('\0', StringComparison.Ordinal) || System.Text.Encoding.UTF8.GetByteCount(path) > MaxPathBytes)
        {
            throw new ArgumentException($"path of {path.Length} characters: no NUL and at most {MaxPathBytes} bytes", parameter);
        }
    }

    internal static void ValidateArguments(IReadOnlyList<string> arguments, string parameter)
    {
        ArgumentNullException.ThrowIfNull(arguments, parameter);
        if (arguments.Count == 0 || string.IsNullOrEmpty(arguments[0]))
        {
            throw new ArgumentException("a command needs at least a program", parameter);
        }

        foreach (string argument in arguments)
        {
            if (argument is null || argument.Contains('\0', StringComparison.Ordinal))
            {
                throw new ArgumentException("arguments must not be null and not have NUL", parameter);
            }
        }
    }
}
