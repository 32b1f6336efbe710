using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Expiry;

namespace OpenSandbox.Vmm;

/// <content>Moving, copying and attributes.</content>
public sealed partial class SandboxFiles
{
    /// <summary>
    /// Moves a file or a tree. Within one of the guest's file systems it is renamed; from one to another (<c>/</c> and <c>/workspace</c> are
    /// different disks) it is copied with modes, owners, times and symbolic links, made durable, and then removed. Either way the target
    /// appears whole or not at all.
    /// </summary>
    /// <param name="from">Absolute path; a symbolic link is moved itself.</param>
    /// <param name="to">Absolute path that it gets; not a directory to put it in.</param>
    /// <param name="options">Default: see <see cref="FileMoveOptions"/>.</param>
    /// <param name="cancellationToken">Everything stays where it was, unless the copy is complete already.</param>
    /// <returns>What is at the target now.</returns>
    public Task<SandboxFile> MoveAsync(string from, string to, FileMoveOptions? options = null, CancellationToken cancellationToken = default) =>
        MoveAsync(Operations.Move, "moving", from, to, options, cancellationToken);

    /// <summary>
    /// Copies a file or a tree with modes, owners, times and symbolic links. The copy appears whole or not at all. Hard links become files of
    /// their own; extended attributes are not copied.
    /// </summary>
    /// <param name="from">Absolute path; a symbolic link is copied itself.</param>
    /// <param name="to">Absolute path of the copy; not a directory to put it in.</param>
    /// <param name="options">Default: see <see cref="FileMoveOptions"/>.</param>
    /// <param name="cancellationToken">What was copied is removed.</param>
    /// <returns>The copy.</returns>
    public Task<SandboxFile> CopyAsync(string from, string to, FileMoveOptions? options = null, CancellationToken cancellationToken = default) =>
        MoveAsync(Operations.Copy, "copying", from, to, options, cancellationToken);

    /// <summary>Changes permission bits, owner and group of a path, or of everything below it as well.</summary>
    /// <param name="path">Absolute path; a symbolic link is not followed unless asked for, and has no mode of its own (EOPNOTSUPP).</param>
    /// <param name="changes">At least one change.</param>
    /// <param name="cancellationToken">Stops; part of a tree may have been changed.</param>
    /// <returns>The path afterwards.</returns>
    public async Task<SandboxFile> SetAttributesAsync(string path, FileAttributeChanges changes, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(changes);
        GuestText.ValidatePath(path, nameof(path));
        if (changes.Mode is null && changes.User is null && changes.Group is null)
        {
            throw new ArgumentException("nothing to change: set Mode, User or Group", nameof(changes));
        }

        var request = new AttributesRequest
        {
            Path = path,
            Mode = CheckMode(changes.Mode),
            User = changes.User,
            Group = changes.Group,
            Recursive = changes.Recursive,
            FollowLink = changes.FollowLink,
        };
        FileResult result = await RunAsync(
            new OpenRequest { Op = Operations.Attributes, Attributes = request }, $"changing {path}", cancellationToken).ConfigureAwait(false);
        return SandboxFile.From(Require(result, path));
    }

    private async Task<SandboxFile> MoveAsync(
        string operation, string what, string from, string to, FileMoveOptions? options, CancellationToken cancellationToken)
    {
        options ??= FileMoveOptions.Default;
        GuestText.ValidatePath(from, nameof(from));
        GuestText.ValidatePath(to, nameof(to));
        var request = new MoveRequest { From = from, To = to, Overwrite = options.Overwrite, Parents = options.CreateParents };
        FileResult result = await RunAsync(
            new OpenRequest { Op = operation, Move = request }, $"{what} {from} to {to}", cancellationToken).ConfigureAwait(false);
        return SandboxFile.From(Require(result, to));
    }

    /// <summary>Carries out a request that may take as long as there are files: it ends with the caller's token.</summary>
    private async Task<FileResult> RunAsync(OpenRequest request, string what, CancellationToken cancellationToken)
    {
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await _sandbox.OpenStreamAsync(request).ConfigureAwait(false);
        try
        {
            return await stream.GetResultAsync(ProtocolJsonContext.Default.FileResult, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, what, failure).ConfigureAwait(false);
        }
        finally
        {
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }
}
