using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Cli.Images;

/// <summary>Sees to it that the images which a sandbox needs are in the store: builds those that have a recipe, each once.</summary>
/// <remarks>Safe against other processes that do the same at the same time: one builds, the others wait for it.</remarks>
internal sealed class ImagePreparation
{
    /// <summary>Size of the disk at <c>/workspace</c>; the store refuses any other.</summary>
    private const long WorkspaceBytes = 16L << 30;

    private const string TemporaryEnding = ".tmp";

    private readonly SandboxImages _images;
    private readonly Steps _steps;
    private readonly string _buildDirectory;
    private readonly string? _recipes;

    internal ImagePreparation(SandboxHostOptions options, SandboxImages images, Steps steps)
        : this(options, images, steps, Environment.GetEnvironmentVariable("OPENSANDBOX_ROOT"))
    {
    }

    internal ImagePreparation(SandboxHostOptions options, SandboxImages images, Steps steps, string? root)
    {
        _images = images;
        _steps = steps;
        _buildDirectory = Path.Combine(options.StateDirectory, "build");
        _recipes = ImageRecipe.FolderOf(root);
    }

    /// <summary>Sees to it that a sandbox with an image can be made.</summary>
    /// <exception cref="CliException">There is no such image and no recipe, or the build failed.</exception>
    internal static async Task EnsureAllAsync(SandboxHost host, string? image, Steps steps, CancellationToken cancellationToken)
    {
        if (image is not null)
        {
            var preparation = new ImagePreparation(host.Options, host.Images, steps);
            await preparation.EnsureAsync(image, cancellationToken).ConfigureAwait(false);
            await preparation.EnsureWorkspaceAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Builds an image if it is not in the store but has a recipe. One that is there is used as it is.</summary>
    /// <exception cref="CliException">There is no such image and no recipe, or the build failed.</exception>
    internal async Task EnsureAsync(string nameOrDigest, CancellationToken cancellationToken)
    {
        if (Exists(nameOrDigest))
        {
            return;
        }

        await BuildLockedAsync(FindRecipe(nameOrDigest), force: false, onlyIfAbsent: true, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Builds an image if it is not in the store, or its recipe has changed since.</summary>
    /// <param name="name">Name of a recipe.</param>
    /// <param name="force">Builds it anyway.</param>
    /// <param name="cancellationToken">Ends the build; nothing is left of it.</param>
    /// <returns>Whether anything had to be done.</returns>
    /// <exception cref="CliException">There is no such recipe, or the build failed.</exception>
    internal Task<bool> BuildAsync(string name, bool force, CancellationToken cancellationToken) =>
        BuildLockedAsync(FindRecipe(name), force, onlyIfAbsent: false, cancellationToken);

    /// <summary>Makes the file system that every workspace starts from, unless it is there.</summary>
    /// <exception cref="CliException">It could not be made.</exception>
    internal async Task EnsureWorkspaceAsync(CancellationToken cancellationToken)
    {
        if (Exists(SandboxImages.WorkspaceName))
        {
            return;
        }

        string script = Script("workspace.sh");
        using FileLock held = await LockAsync(SandboxImages.WorkspaceName, cancellationToken).ConfigureAwait(false);
        if (Exists(SandboxImages.WorkspaceName))
        {
            return;
        }

        string digest = ImageRecipe.DigestOf($"{WorkspaceBytes}", script, Script("ext4.sh"));
        await MakeAsync(
            SandboxImages.WorkspaceName,
            "making the empty workspace disk, once",
            file => [script, file, $"{WorkspaceBytes}"],
            digest,
            cancellationToken).ConfigureAwait(false);
    }

    private bool Exists(string nameOrDigest) => _images.List().Any(image => image.Name == nameOrDigest || image.Digest == nameOrDigest);

    private ImageRecipe FindRecipe(string name)
    {
        if (ImageRecipe.Find(_recipes, name) is ImageRecipe recipe)
        {
            return recipe;
        }

        string known = string.Join(", ", ImageRecipe.Names(_recipes).Concat(_images.List().Select(static image => image.Name))
            .Where(static known => known != SandboxImages.WorkspaceName).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal));
        string why = _recipes is null
            ? "it is not in the store, and no recipes are at hand (OPENSANDBOX_ROOT does not name a checkout)"
            : $"it is not in the store, and {_recipes} has no recipe for it";
        throw new CliException(
            $"there is no image '{name}': {why}. {(known.Length > 0 ? $"There are: {known}" : "Start ./opensandbox of a checkout, or import one: opensandbox image import")}");
    }

    private string Script(string name) => _recipes is not null && File.Exists(Path.Combine(_recipes, name))
        ? Path.Combine(_recipes, name)
        : throw new CliException(
            $"images cannot be built: there is no images/{name} (OPENSANDBOX_ROOT does not name a checkout). Start ./opensandbox of a checkout");

    private async Task<bool> BuildLockedAsync(ImageRecipe recipe, bool force, bool onlyIfAbsent, CancellationToken cancellationToken)
    {
        string script = Script("build.sh");
        string digest = recipe.Digest(script, Script("ext4.sh"));
        using FileLock held = await LockAsync(recipe.Name, cancellationToken).ConfigureAwait(false);
        if (onlyIfAbsent ? Exists(recipe.Name) : !force && _images.IsCurrent(recipe.Name, digest))
        {
            return false;
        }

        await MakeAsync(
            recipe.Name,
            $"building image '{recipe.Name}' from {recipe.Directory}{(onlyIfAbsent ? ", once" : "")}",
            file => [script, recipe.Directory, file],
            digest,
            cancellationToken).ConfigureAwait(false);
        return true;
    }

    private async Task<FileLock> LockAsync(string name, CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(_buildDirectory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        Task<FileLock> taking = FileLock.AcquireAsync(Path.Combine(_buildDirectory, $"{name}.lock"), cancellationToken);
        if (taking.IsCompleted)
        {
            return await taking.ConfigureAwait(false);
        }

        _steps.Begin($"waiting for another opensandbox that builds image '{name}'");
        FileLock held = await taking.ConfigureAwait(false);
        _steps.End();
        return held;
    }

    /// <summary>Runs a script that makes a raw file, and imports that file. The lock of the name is held.</summary>
    private async Task MakeAsync(string name, string what, Func<string, string[]> command, string digest, CancellationToken cancellationToken)
    {
        // Whoever holds the lock is the only one who builds this name: what is left of others is of runs that were killed.
        foreach (string left in Directory.EnumerateDirectories(_buildDirectory, $"{name}.*{TemporaryEnding}"))
        {
            Directory.Delete(left, recursive: true);
        }

        string scratch = Path.Combine(_buildDirectory, $"{name}.{Guid.NewGuid():N}{TemporaryEnding}");
        Directory.CreateDirectory(scratch, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        try
        {
            _steps.Begin(what);
            string file = Path.Combine(scratch, "image.raw");
            await BuildScript.RunAsync(command(file), what, _steps, cancellationToken).ConfigureAwait(false);
            await _images.ImportAsync(name, file, digest, cancellationToken).ConfigureAwait(false);
            _steps.End();
        }
        finally
        {
            _steps.End(succeeded: false);
            Directory.Delete(scratch, recursive: true);
        }
    }
}
