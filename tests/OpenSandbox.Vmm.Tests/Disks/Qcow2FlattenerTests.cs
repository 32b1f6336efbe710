using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Disks;

namespace OpenSandbox.Vmm.Tests.Disks;

public sealed class Qcow2FlattenerTests
{
    [Theory]
    [InlineData(32L << 20, 1, 1)]
    [InlineData(32L << 20, 3, 2)]
    [InlineData(32L << 20, 6, 3)]
    [InlineData((32L << 20) + 512, 3, 4)]
    [InlineData((1200L << 20) + (7 * 512), 3, 5)]
    [InlineData(65_536, 2, 6)]
    [InlineData(512, 2, 7)]
    public async Task Flatten_LayersOfRandomWrites_ShowsTheSameDisk(long virtualBytes, int layers, int seed)
    {
        using var images = new QemuImages(virtualBytes);
        var random = new Random(seed);
        for (int layer = 0; layer < layers; layer++)
        {
            await images.AddLayerAsync(images.RandomCommands(random, 30));
        }

        Qcow2Usage usage = await images.FlattenAsync();

        await images.AssertSameAsync();
        Assert.Equal(new FileInfo(images.Flattened).Length, usage.FileBytes);
        using SafeFileHandle flattened = File.OpenHandle(images.Flattened);
        Assert.Equal(usage, Qcow2Layer.Open(flattened, virtualBytes).Measure(CancellationToken.None));
    }

    [Fact]
    public async Task Flatten_TopLayerWinsAndZerosHideWhatIsBelow()
    {
        using var images = new QemuImages(8 << 20);
        await images.AddLayerAsync("write -P 1 0 1M", "write -P 2 1M 1M");
        await images.AddLayerAsync("write -P 3 64k 64k", "write -z -u 1M 512k", "write -z -u 4M 1M", "write -P 0 6M 64k");

        Qcow2Usage usage = await images.FlattenAsync();

        await images.AssertSameAsync();
        Assert.Equal(1536 << 10, usage.DataBytes);
        Assert.Equal((512 << 10) + (1 << 20) + (64 << 10), usage.ZeroBytes); // also what was written as zeros
    }

    [Fact]
    public async Task Flatten_OfAFlattenedImage_IsTheSameAgain()
    {
        using var images = new QemuImages(32 << 20);
        await images.AddLayerAsync(images.RandomCommands(new Random(8), 40));
        await images.AddLayerAsync(images.RandomCommands(new Random(9), 40));
        Qcow2Usage first = await images.FlattenAsync();
        byte[] content = await File.ReadAllBytesAsync(images.Flattened);
        File.Move(images.Flattened, images.Layers[0], overwrite: true);
        images.Layers.RemoveAt(1);

        Assert.Equal(first, await images.FlattenAsync());
        Assert.Equal(content, await File.ReadAllBytesAsync(images.Flattened));
    }

    [Fact]
    public async Task Flatten_EmptyLayers_IsAnEmptyImage()
    {
        using var images = new QemuImages(1L << 30);
        await images.AddLayerAsync();
        await images.AddLayerAsync();

        Qcow2Usage usage = await images.FlattenAsync();

        await images.AssertSameAsync();
        Assert.Equal(new Qcow2Usage(4 * 65_536, 0, 0), usage);
    }

    [Fact]
    public async Task Flatten_Progress_EndsAtTheContentOfTheLayers()
    {
        using var images = new QemuImages(32 << 20);
        await images.AddLayerAsync("write -P 1 0 20M");
        await images.AddLayerAsync("write -P 2 10M 5M");
        var progress = new Reports();

        await images.FlattenAsync(progress);

        Assert.Equal(progress.All.Order(), progress.All);
        Assert.Equal(20 << 20, progress.All[^1]);
        Assert.True(progress.All.Count >= 5);
    }

    [Fact]
    public async Task Flatten_CancelledInTheMiddle_StopsAndLeavesNoImage()
    {
        using var images = new QemuImages(32 << 20);
        await images.AddLayerAsync("write -P 1 0 30M");
        using var cancel = new CancellationTokenSource();
        var progress = new Reports { OnReport = cancel.Cancel };

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => images.FlattenAsync(progress, cancel.Token));

        Assert.Single(progress.All);
        using SafeFileHandle left = File.OpenHandle(images.Flattened);
        Assert.Throws<Qcow2FormatException>(() => Qcow2Layer.Open(left, images.VirtualBytes));
    }

    [Fact]
    public async Task Flatten_LayersOfDifferentDisksOrATargetInUse_IsRefused()
    {
        using var images = new QemuImages(8 << 20);
        using var others = new QemuImages(16 << 20);
        await images.AddLayerAsync();
        await others.AddLayerAsync();
        using SafeFileHandle one = File.OpenHandle(images.Layers[0]), other = File.OpenHandle(others.Layers[0]);
        Qcow2Layer[] layers = [Qcow2Layer.Open(one, 8 << 20), Qcow2Layer.Open(other, 16 << 20)];
        using SafeFileHandle target = UnnamedFile.Create(Path.GetTempPath());

        await Assert.ThrowsAsync<ArgumentException>(() => Qcow2Flattener.FlattenAsync(layers, target, null, CancellationToken.None));
        await Assert.ThrowsAsync<ArgumentException>(() => Qcow2Flattener.FlattenAsync(layers[..1], one, null, CancellationToken.None));
    }

    private sealed class Reports : IProgress<long>
    {
        internal List<long> All { get; } = [];

        internal Action? OnReport { get; init; }

        public void Report(long value)
        {
            All.Add(value);
            OnReport?.Invoke();
        }
    }
}
