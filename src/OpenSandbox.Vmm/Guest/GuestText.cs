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

    internal static void ValidateMetadata(IReadOnlyDictionary<string, string> metadata)
    {
        const int maxEntries = 64;
        const int maxName = 128;
        const int maxValue = 1_024;
        const int maxTotal = 16_384;
        int total = 0;
        foreach ((string name, string value) in metadata)
        {
            int nameBytes = System.Text.Encoding.UTF8.GetByteCount(name);
            int valueBytes = value is null ? int.MaxValue : System.Text.Encoding.UTF8.GetByteCount(value);
            if (nameBytes is 0 or > maxName || valueBytes > maxValue)
            {
                throw new ArgumentException(
                    $"metadata '{name}': names have 1 to {maxName} bytes, values up to {maxValue}", nameof(metadata));
            }

            total += nameBytes + valueBytes;
        }

        if (metadata.Count > maxEntries || total > maxTotal)
        {
            throw new ArgumentException($"metadata: at most {maxEntries} entries and {maxTotal} bytes", nameof(metadata));
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
