using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Copying;

/// <summary>Copies from a sandbox to this machine. Everything that the guest says about its files is taken for hostile.</summary>
internal sealed class CopyOut(KeptSandbox kept, LeftOut leftOut, CancellationToken cancellationToken)
{
    /// <summary>Each level holds an open directory.</summary>
    private const int MaxDepth = 256;

    /// <summary>As many as a kernel follows.</summary>
    private const int MaxLinks = 40;

    private readonly ListingRoom _room = new();

    /// <summary>Copies a file, or a directory with everything in it.</summary>
    /// <param name="source">Absolute path in the guest.</param>
    /// <param name="destination">Where it goes; into it where that is a directory.</param>
    internal async Task CopyAsync(string source, string destination)
    {
        (string path, ControlFileEntry entry) = await FollowAsync(source).ConfigureAwait(false);
        bool into = Directory.Exists(destination);
        string? name = CopyPath.NameOf(source);
        if (entry.Kind == SandboxFileKind.Directory)
        {
            // Into a directory that exists under the source's name; else under the name that the user gave.
            string target = into && name is not null ? Path.Combine(destination, name) : destination;
            bool existed = Directory.Exists(target);
            Directory.CreateDirectory(target);
            using HostDirectory directory = HostDirectory.Open(target);
            await CopyDirectoryAsync(path, directory, depth: 0).ConfigureAwait(false);
            if (!existed)
            {
                directory.SetMode(entry.Mode);
            }

            return;
        }

        if (entry.Kind == SandboxFileKind.Other)
        {
            throw new CliException($"{source} in sandbox {kept.Id} is a device, FIFO or socket, which cannot be copied");
        }

        if (!into && destination.EndsWith('/'))
        {
            throw new CliException($"{destination} is not a directory");
        }

        string folder = into ? destination : Path.GetDirectoryName(Path.GetFullPath(destination)) ?? "/";
        using HostDirectory parent = HostDirectory.Open(folder);
        string fileName = into ? name ?? throw new CliException($"{source} is not a file") : Path.GetFileName(destination);
        await parent.WriteFileAsync(fileName, entry.Mode, stream => kept.ReadFileAsync(path, stream, cancellationToken)).ConfigureAwait(false);
    }

    /// <summary>Copies a file's content to standard output.</summary>
    internal async Task CopyToOutputAsync(string source)
    {
        (string path, ControlFileEntry _) = await FollowAsync(source).ConfigureAwait(false);
        var output = new OutputStream();
        await using (output.ConfigureAwait(false))
        {
            await kept.ReadFileAsync(path, output, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Finds what the user has named: unlike a link in a directory, one that is named is followed, as cp does.</summary>
    /// <returns>Its path without links at the end, and what it is.</returns>
    private async Task<(string Path, ControlFileEntry Entry)> FollowAsync(string source)
    {
        string path = source;
        for (int links = 0; links < MaxLinks; links++)
        {
            ControlFileEntry entry = await kept.DescribeAsync(path, cancellationToken).ConfigureAwait(false);
            if (entry.Kind != SandboxFileKind.SymbolicLink || entry.Target is not string target)
            {
                return (path, entry);
            }

            string trimmed = path.TrimEnd('/');
            path = target.StartsWith('/') ? target : trimmed[..(trimmed.LastIndexOf('/') + 1)] + target;
        }

        throw new CliException($"{source} in sandbox {kept.Id} is a symbolic link with too many links behind it");
    }

    private async Task CopyDirectoryAsync(string source, HostDirectory destination, int depth)
    {
        if (depth == MaxDepth)
        {
            throw new CliException($"{source} in sandbox {kept.Id} is nested deeper than {MaxDepth} directories");
        }

        List<ListedFile> entries = await kept.ListAsync(source, _room, cancellationToken).ConfigureAwait(false);
        foreach (ListedFile entry in entries)
        {
            string path = CopyPath.Join(source, entry.Name);
            if (!HostDirectory.IsName(entry.Name))
            {
                leftOut.Add(path, "the guest gives it a name that no file can have");
                continue;
            }

            try
            {
                await CopyEntryAsync(entry, path, destination, depth).ConfigureAwait(false);
            }
            catch (KeptSandboxException failure) when (failure.Code is SandboxErrorCode.NotFound or SandboxErrorCode.PermissionDenied or SandboxErrorCode.OperationFailed)
            {
                leftOut.Add(path, failure.Message);
            }
        }

        _room.Return(entries);
    }

    private async Task CopyEntryAsync(ListedFile entry, string path, HostDirectory destination, int depth)
    {
        switch (entry.Kind)
        {
            case SandboxFileKind.Directory:
                using (HostDirectory directory = destination.OpenOrMake(entry.Name))
                {
                    await CopyDirectoryAsync(path, directory, depth + 1).ConfigureAwait(false);
                    if (directory.IsNew)
                    {
                        directory.SetMode(entry.Mode);
                    }
                }

                break;
            case SandboxFileKind.File:
                await destination.WriteFileAsync(entry.Name, entry.Mode, stream => kept.ReadFileAsync(path, stream, cancellationToken)).ConfigureAwait(false);
                break;
            case SandboxFileKind.SymbolicLink when entry.Target is string target && LinkTargets.StayInside(target, depth):
                destination.MakeLink(entry.Name, target);
                break;
            case SandboxFileKind.SymbolicLink:
                leftOut.Add(path, $"a symbolic link that leads out of what is copied: {entry.Target}");
                break;
            default:
                leftOut.Add(path, "a device, FIFO or socket");
                break;
        }
    }
}
