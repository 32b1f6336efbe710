using OpenSandbox.Host.Errors;

namespace OpenSandbox.Host.Json;

/// <summary>Rules that requests share.</summary>
internal static class Checks
{
    private const int MaxMetadata = 64;
    private const int MaxMetadataKey = 128;
    private const int MaxMetadataValue = 1_024;
    private const int MaxMetadataBytes = 16 << 10;
    private const int MaxEnvironment = 128 << 10;

    /// <summary>A text is of bounded length.</summary>
    /// <exception cref="ApiException">400.</exception>
    internal static void Text(string? text, int longest, string name)
    {
        if (text?.Length > longest)
        {
            throw ApiException.Bad($"{name}: at most {longest} characters");
        }

        if (text?.Contains('\0', StringComparison.Ordinal) == true)
        {
            throw ApiException.Bad($"{name}: NUL is in it");
        }
    }

    /// <summary>Nothing in a list is null.</summary>
    /// <exception cref="ApiException">400.</exception>
    internal static void List(string?[]? values, string name)
    {
        if (values?.Contains(null) == true)
        {
            throw ApiException.Bad($"{name}: null is in it");
        }
    }

    /// <summary>No value of a map is null.</summary>
    /// <exception cref="ApiException">400.</exception>
    internal static void Map(IReadOnlyDictionary<string, string>? values, string name)
    {
        foreach ((string key, string? value) in values ?? System.Collections.ObjectModel.ReadOnlyDictionary<string, string>.Empty)
        {
            if (value is null)
            {
                throw ApiException.Bad($"{name}: the value of '{key}' is null");
            }
        }
    }

    /// <summary>A sandbox's environment is kept with it: there is only so much of it.</summary>
    /// <exception cref="ApiException">400.</exception>
    internal static void Environment(IReadOnlyDictionary<string, string>? values)
    {
        Map(values, "envs");
        if (values?.Sum(static pair => (long)pair.Key.Length + pair.Value.Length + 2) > MaxEnvironment)
        {
            throw ApiException.Bad($"envs: an environment of more than {MaxEnvironment} characters");
        }
    }

    /// <summary>Metadata is kept for as long as the sandbox is: there is only so much of it.</summary>
    /// <exception cref="ApiException">400.</exception>
    internal static void Metadata(IReadOnlyDictionary<string, string>? values)
    {
        Map(values, "metadata");
        if (values is not null
            && (values.Count > MaxMetadata
                || values.Any(static pair => pair.Key.Length is 0 or > MaxMetadataKey || pair.Value.Length > MaxMetadataValue)
                || values.Sum(static pair => pair.Key.Length + pair.Value.Length) > MaxMetadataBytes))
        {
            throw ApiException.Bad(
                $"metadata: at most {MaxMetadata} names of 1 to {MaxMetadataKey} characters with values of up to {MaxMetadataValue}, {MaxMetadataBytes} in all");
        }
    }
}
