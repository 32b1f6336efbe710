using System.Security.Cryptography;
using System.Text;

namespace OpenSandbox.Cli.Images;

/// <summary>What an image is built from: a folder <c>images/NAME</c> of a checkout with a <c>packages.txt</c>.</summary>
/// <param name="Name">The image's name.</param>
/// <param name="Directory">The folder.</param>
internal sealed record ImageRecipe(string Name, string Directory)
{
    private const string PackageList = "packages.txt";

    /// <summary>The checkout's folder of recipes and of the scripts that build them.</summary>
    /// <param name="root">The checkout, or <see langword="null"/> where there is none.</param>
    internal static string? FolderOf(string? root) =>
        root is { Length: > 0 } && System.IO.Directory.Exists(Path.Combine(root, "images")) ? Path.Combine(root, "images") : null;

    /// <summary>Finds a recipe by name.</summary>
    internal static ImageRecipe? Find(string? folder, string name)
    {
        // The name becomes part of a path: nothing that could lead elsewhere.
        if (folder is null || name.Length == 0 || name[0] == '.' || !name.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_'))
        {
            return null;
        }

        string directory = Path.Combine(folder, name);
        return File.Exists(Path.Combine(directory, PackageList)) ? new ImageRecipe(name, directory) : null;
    }

    /// <summary>The names of all recipes, sorted.</summary>
    internal static IReadOnlyList<string> Names(string? folder) => folder is null
        ? []
        : [.. System.IO.Directory.EnumerateDirectories(folder)
            .Where(static directory => File.Exists(Path.Combine(directory, PackageList)))
            .Select(static directory => Path.GetFileName(directory))
            .Order(StringComparer.Ordinal)];

    /// <summary>A digest over names, contents and executability of the recipe's files and of the scripts that build it.</summary>
    /// <param name="scripts">Files outside the recipe that decide what comes out.</param>
    internal string Digest(params ReadOnlySpan<string> scripts)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string file in System.IO.Directory.EnumerateFiles(Directory, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            Append(hash, Path.GetRelativePath(Directory, file), file);
        }

        foreach (string file in scripts)
        {
            Append(hash, Path.GetFileName(file), file);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>The digest of things that are built by scripts alone.</summary>
    internal static string DigestOf(string parameters, params ReadOnlySpan<string> scripts)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(parameters));
        foreach (string file in scripts)
        {
            Append(hash, Path.GetFileName(file), file);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void Append(IncrementalHash hash, string name, string file)
    {
        byte[] content = File.ReadAllBytes(file);
        bool executable = (File.GetUnixFileMode(file) & UnixFileMode.UserExecute) != UnixFileMode.None;

        // Lengths keep two different sets of files from giving the same bytes.
        hash.AppendData(Encoding.UTF8.GetBytes($"{name.Length}:{name}:{(executable ? 'x' : '-')}:{content.Length}:"));
        hash.AppendData(content);
    }
}
