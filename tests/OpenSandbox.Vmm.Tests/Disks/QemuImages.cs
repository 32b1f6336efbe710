using System.Diagnostics;
using System.Globalization;
using OpenSandbox.Vmm.Disks;

namespace OpenSandbox.Vmm.Tests.Disks;

/// <summary>Disks of several layers above a raw one, in a directory of their own, written and compared by QEMU's own tools.</summary>
internal sealed class QemuImages : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("opensandbox-qcow2-").FullName;

    internal QemuImages(long virtualBytes)
    {
        VirtualBytes = virtualBytes;
        using FileStream raw = File.Create(Base);
        raw.SetLength(virtualBytes);
        byte[] filler = new byte[1 << 20];
        filler.AsSpan().Fill(0xBB);
        for (long at = 0; at < virtualBytes; at += 16 << 20)
        {
            raw.Position = at; // a zero cluster that gets lost shows itself
            raw.Write(filler.AsSpan(0, (int)Math.Min(filler.Length, virtualBytes - at)));
        }
    }

    internal long VirtualBytes { get; }

    internal List<string> Layers { get; } = [];

    internal string Flattened => Path.Combine(_directory, "flattened.qcow2");

    private string Base => Path.Combine(_directory, "base.raw");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    /// <summary>Puts a new layer on top and has QEMU write to the disk.</summary>
    internal async Task AddLayerAsync(params string[] commands)
    {
        string path = Path.Combine(_directory, string.Create(CultureInfo.InvariantCulture, $"layer{Layers.Count}.qcow2"));
        using (var file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite))
        {
            Qcow2Overlay.Format(file, VirtualBytes);
        }

        Layers.Add(path);
        if (commands.Length > 0)
        {
            await RunAsync("qemu-io", ["--image-opts", "-d", "unmap", .. commands.SelectMany(static command => (string[])["-c", command]), Options([.. Layers])]);
        }
    }

    /// <summary>Writes, zeroes and discards at random, with sizes from a sector to some megabytes.</summary>
    internal string[] RandomCommands(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ =>
    {
        long length = Math.Min(VirtualBytes, random.Next(3) switch { 0 => 512L << random.Next(8), 1 => 65_536L << random.Next(3), _ => 65_536L * random.Next(1, 60) });
        long offset = random.NextInt64((VirtualBytes - length) / 512 + 1) * 512;
        if (random.Next(2) == 0)
        {
            offset = offset / 65_536 * 65_536;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{random.Next(6) switch { 0 => "write -z", 1 => "write -z -u", 2 => "discard", 3 => "write -P 0", _ => $"write -P {random.Next(1, 256)}" }} {offset} {length}");
    })];

    internal async Task<Qcow2Usage> FlattenAsync(IProgress<long>? progress = null, CancellationToken cancellationToken = default)
    {
        File.Delete(Flattened);
        List<Microsoft.Win32.SafeHandles.SafeFileHandle> files = [.. Layers.Select(static path => File.OpenHandle(path))];
        try
        {
            using var target = File.OpenHandle(Flattened, FileMode.CreateNew, FileAccess.ReadWrite);
            Qcow2Layer[] layers = [.. files.Select(file => Qcow2Layer.Open(file, VirtualBytes))];
            return await Qcow2Flattener.FlattenAsync(layers, target, progress, cancellationToken);
        }
        finally
        {
            files.ForEach(static file => file.Dispose());
        }
    }

    /// <summary>The flattened image is sound, and shows what the layers show, above the same raw disk.</summary>
    internal async Task AssertSameAsync()
    {
        await RunAsync("qemu-img", ["check", "-q", "-f", "qcow2", Flattened]);
        await RunAsync("qemu-img", ["compare", "--image-opts", Options([.. Layers]), Options([Flattened])]);
    }

    /// <summary>The layers above each other above the raw disk, in QEMU's option syntax: no file of them names another.</summary>
    private string Options(string[] bottomToTop)
    {
        var options = new System.Text.StringBuilder();
        string prefix = "";
        foreach (string layer in bottomToTop.Reverse())
        {
            options.Append(CultureInfo.InvariantCulture, $"{prefix}driver=qcow2,{prefix}file.driver=file,{prefix}file.filename={layer},");
            prefix = $"{prefix}backing.";
        }

        return $"{options}{prefix}driver=raw,{prefix}file.driver=file,{prefix}file.filename={Base}";
    }

    internal static async Task<string> RunAsync(string program, string[] arguments)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        using Process tool = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> errors = tool.StandardError.ReadToEndAsync(deadline.Token);
        string output = await tool.StandardOutput.ReadToEndAsync(deadline.Token);
        await tool.WaitForExitAsync(deadline.Token);
        Assert.True(tool.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {await errors}{output}");
        return output;
    }
}
