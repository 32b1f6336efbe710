using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox image ls</c>.</summary>
internal sealed class ImageListCommand : Command
{
    private readonly Option<bool> _json = new("--json") { Description = "Print an array of JSON objects" };

    internal ImageListCommand()
        : base("ls", "List the images in the store")
    {
        Aliases.Add("list");
        Options.Add(_json);
        SetAction(parsed => List(parsed.InvocationConfiguration.Output, SandboxImages.Open(new SandboxHostOptions()), parsed.GetValue(_json)));
    }

    internal static int List(TextWriter output, SandboxImages images, bool json)
    {
        ImageRow[] rows = [.. images.List().Select(static image => new ImageRow(image.Name, image.Digest, image.VirtualBytes, image.StoredBytes, image.CreatedAt))];
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(rows, CliJsonContext.Readable.ImageRowArray));
            return ExitCodes.Success;
        }

        const int digestLength = 12;
        TextTable.Write(
            output,
            ["NAME", "DIGEST", "DISK", "STORED", "CREATED"],
            [.. rows.Select(static row => (string[])
            [
                row.Name,
                row.Digest[..digestLength],
                TextTable.Bytes(row.DiskBytes),
                TextTable.Bytes(row.StoredBytes),
                row.CreatedAt.ToLocalTime().ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture),
            ])]);
        return ExitCodes.Success;
    }
}
