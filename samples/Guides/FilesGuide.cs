using OpenSandbox.Vmm;

namespace Guides;

internal static class FilesGuide
{
    internal static async Task ContentAsync(Sandbox sandbox, CancellationToken stop)
    {
        await sandbox.Files.WriteTextAsync("/workspace/app/main.py", "print(6 * 7)", cancellationToken: stop);

        using FileStream upload = File.OpenRead("model.bin");
        await sandbox.Files.WriteAsync("/workspace/model.bin", upload, new FileWriteOptions { Mode = 0x1A4, User = "sandbox" }, stop);

        using FileStream download = File.Create("head.bin");
        await sandbox.Files.ReadAsync("/workspace/model.bin", download, offset: 0, length: 1 << 20, stop);
    }

    internal static async Task ManyAsync(Sandbox sandbox)
    {
        IReadOnlyList<SandboxFileResult> written = await sandbox.Files.WriteManyAsync(
        [
            new FileContent("/workspace/a.txt", "a"u8.ToArray()),
            new FileContent("/workspace/b.txt", "b"u8.ToArray()),
        ]);
        foreach (SandboxFileResult result in written.Where(result => result.Error is not null))
        {
            Console.WriteLine($"{result.Path}: {result.Error!.Message}");
        }

        await foreach (SandboxFileResult file in sandbox.Files.ReadManyAsync(["/workspace/a.txt", "/workspace/b.txt"]))
        {
            Console.WriteLine($"{file.Path}: {file.EnsureSuccess().Content.Length} bytes");
        }
    }

    internal static async Task FindAsync(Sandbox sandbox)
    {
        var options = new FileSearchOptions { MaxCount = 100, IncludeHidden = false };
        await foreach (SandboxFile file in sandbox.Files.SearchAsync("/workspace", "src/**/*.py", options))
        {
            Console.WriteLine($"{file.Path} {file.Size} {file.User}:{file.Group} {file.ModifiedAt:O}");
        }
    }

    internal static async Task ChangeAsync(Sandbox sandbox)
    {
        await sandbox.Files.MoveAsync("/opt/build", "/workspace/build", new FileMoveOptions { Overwrite = true });
        await sandbox.Files.SetAttributesAsync("/workspace/build", new FileAttributeChanges { User = "sandbox", Group = "sandbox", Recursive = true });
        IReadOnlyList<SandboxFileResult> replaced = await sandbox.Files.ReplaceAsync(
        [
            new FileReplacement("/workspace/app/settings.ini", "debug = true", "debug = false"),
        ]);
        Console.WriteLine($"{replaced[0].EnsureSuccess().Count} replaced");
    }

    internal static async Task WatchAsync(Sandbox sandbox, CancellationToken stop)
    {
        await using SandboxFileWatch watch = await sandbox.Files.WatchAsync("/workspace", new FileWatchOptions { Recursive = true }, stop);
        await foreach (SandboxFileEvent happened in watch.WithCancellation(stop))
        {
            Console.WriteLine($"{happened.Kind} {happened.Path}");
        }
    }
}
