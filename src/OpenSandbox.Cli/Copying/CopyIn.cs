using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Copying;

/// <summary>Copies from this machine into a sandbox.</summary>
internal sealed class CopyIn(KeptSandbox kept, KeeperDirectory keepers, string? user, LeftOut leftOut, CancellationToken cancellationToken)
{
    private const UnixFileMode AllBits = (UnixFileMode)0xFFF;

    /// <summary>Links that one command makes: their names fit on a command line.</summary>
    private const int LinksAtOnce = 64;

    /// <summary>Makes links from pairs of target and path; one that is there is replaced, a directory is not.</summary>
    private const string MakeLinks = "while [ $# -gt 1 ]; do ln -sfnT -- \"$1\" \"$2\" || exit; shift 2; done";

    private readonly List<string> _links = [];

    /// <summary>Copies a file, or a directory with everything in it.</summary>
    /// <param name="source">What is to be copied; a symbolic link is followed.</param>
    /// <param name="destination">Where it goes; into it where that is a directory.</param>
    internal async Task CopyAsync(string source, string destination)
    {
        bool into = await IsDirectoryAsync(destination).ConfigureAwait(false);
        string? name = CopyPath.NameOf(source);
        string target = into && name is not null ? CopyPath.Join(destination, name) : destination;
        if (Directory.Exists(source))
        {
            await CopyDirectoryAsync(new DirectoryInfo(source.EndsWith('/') ? source : source + "/"), target.TrimEnd('/') is { Length: > 0 } path ? path : "/")
                .ConfigureAwait(false);
            await MakeLinksAsync(atLeast: 1).ConfigureAwait(false);
        }
        else if (File.Exists(source))
        {
            if (!into && destination.EndsWith('/'))
            {
                throw new CliException($"{destination} in sandbox {kept.Id} is not a directory");
            }

            await CopyFileAsync(source, target).ConfigureAwait(false);
        }
        else
        {
            throw new CliException($"{source}: no such file or directory");
        }
    }

    /// <summary>Copies standard input into a file.</summary>
    internal async Task CopyFromInputAsync(string destination)
    {
        var input = new InputStream();
        await using (input.ConfigureAwait(false))
        {
            await kept.WriteFileAsync(destination, input, mode: null, user, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task CopyDirectoryAsync(DirectoryInfo source, string destination)
    {
        await kept.MakeDirectoryAsync(destination, (int)(File.GetUnixFileMode(source.FullName) & AllBits), user, cancellationToken).ConfigureAwait(false);
        foreach (FileSystemInfo entry in source.EnumerateFileSystemInfos())
        {
            string target = CopyPath.Join(destination, entry.Name);
            if (entry.LinkTarget is string link)
            {
                _links.Add(link);
                _links.Add(target);
                await MakeLinksAsync(LinksAtOnce).ConfigureAwait(false);
            }
            else if (entry is DirectoryInfo directory)
            {
                await CopyDirectoryAsync(directory, target).ConfigureAwait(false);
            }
            else if (!LocalFile.IsRegular(entry.FullName))
            {
                leftOut.Add(entry.FullName, "a device, FIFO or socket");
            }
            else
            {
                await CopyFileAsync(entry.FullName, target).ConfigureAwait(false);
            }
        }
    }

    private async Task CopyFileAsync(string source, string target)
    {
        var content = new FileStream(source, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        await using (content.ConfigureAwait(false))
        {
            int mode = (int)(File.GetUnixFileMode(content.SafeFileHandle) & AllBits);
            await kept.WriteFileAsync(target, content, mode, user, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Links are made by the sandbox's own tools, several at once.</summary>
    private async Task MakeLinksAsync(int atLeast)
    {
        if (_links.Count / 2 < atLeast)
        {
            return;
        }

        var output = new CapturingSink(limit: 4_096);
        using KeptSandbox another = await KeptSandbox.ConnectAsync(keepers, kept.Id, cancellationToken).ConfigureAwait(false);
        var command = new ControlCommand { Arguments = ["sh", "-c", MakeLinks, "sh", .. _links], WorkingDirectory = "/", User = user };
        ControlExit exit = await another.ExecuteAsync(command, output, input: null, cancellationToken).ConfigureAwait(false);
        _links.Clear();
        if (exit.ExitCode != 0)
        {
            throw new CliException($"symbolic links could not be made in sandbox {kept.Id}: {System.Text.Encoding.UTF8.GetString(output.Error.Span).Trim()}");
        }
    }

    private async Task<bool> IsDirectoryAsync(string path)
    {
        try
        {
            return (await kept.DescribeAsync(CopyPath.Join(path, "."), cancellationToken).ConfigureAwait(false)).Kind == SandboxFileKind.Directory;
        }
        catch (KeptSandboxException missing) when (missing.Code is not SandboxErrorCode.Lost)
        {
            return false;
        }
    }
}
