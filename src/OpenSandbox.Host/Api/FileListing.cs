using OpenSandbox.Host.Errors;

namespace OpenSandbox.Host.Api;

/// <summary>The entries of a directory, as the guest tells them: as many and as long as they may be.</summary>
/// <param name="path">The directory.</param>
internal sealed class FileListing(string path)
{
    private const int MaxEntries = 100_000;
    private const int MaxCharacters = 16 << 20;
    private const int MaxPath = FileEndpoints.MaxPath + 1 + 255; // an absolute one, a slash and a name

    private readonly List<FileReply> _files = [];
    private long _characters;

    /// <summary>What has been added.</summary>
    internal FileReply[] Files => [.. _files];

    /// <summary>Adds an entry.</summary>
    /// <param name="entry">Its path.</param>
    /// <param name="size">Its size; nothing: it is a directory.</param>
    /// <exception cref="ApiException">413: there are too many; 502: it can be none.</exception>
    internal void Add(string entry, long? size)
    {
        if (entry.Length > MaxPath)
        {
            throw new ApiException(StatusCodes.Status502BadGateway, $"the guest named an entry of {path} that is longer than a path can be");
        }

        string full = entry.StartsWith('/') ? entry : $"{path.TrimEnd('/')}/{entry}";
        string name = full[(full.LastIndexOf('/') + 1)..];
        _characters += full.Length + name.Length;
        if (_files.Count == MaxEntries || _characters > MaxCharacters)
        {
            throw new ApiException(
                StatusCodes.Status413PayloadTooLarge, $"{path} has more than {MaxEntries} entries, or their names have more than {MaxCharacters} characters");
        }

        _files.Add(new FileReply(name, size is null, size, full));
    }
}
