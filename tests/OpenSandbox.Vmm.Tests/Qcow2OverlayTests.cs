using System.Diagnostics;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Disks;

namespace OpenSandbox.Vmm.Tests;

public sealed class Qcow2OverlayTests
{
    private const string QemuImg = "/usr/bin/qemu-img";

    [SkippableTheory]
    [InlineData(512)]
    [InlineData(1 << 20)]
    [InlineData((8L << 30) - 512)]
    [InlineData(8L << 30)]
    [InlineData(16L << 30)]
    [InlineData(Qcow2Overlay.MaxVirtualSize)]
    public void Format_AnySize_IsCleanForQemuImg(long size)
    {
        Skip.IfNot(File.Exists(QemuImg), "qemu-img is not installed (apt-get install qemu-utils)");
        using var directory = new TemporaryDirectory();
        string path = directory.File("overlay.qcow2");
        using (SafeFileHandle file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite))
        {
            Qcow2Overlay.Format(file, size);
        }

        (int check, string checkOutput) = Run("check", "-f", "qcow2", path);
        (int info, string infoOutput) = Run("info", "-f", "qcow2", "--output=json", path);

        Assert.True(check == 0, checkOutput);
        Assert.True(info == 0, infoOutput);
        Assert.Contains($"\"virtual-size\": {size},", infoOutput, StringComparison.Ordinal);
        Assert.DoesNotContain("backing", infoOutput, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(513)]
    [InlineData(-512)]
    [InlineData(Qcow2Overlay.MaxVirtualSize + 512)]
    public void Format_ImpossibleSize_IsRefused(long size)
    {
        using var directory = new TemporaryDirectory();
        using SafeFileHandle file = UnnamedFile.Create(directory.Path);

        Assert.Throws<ArgumentOutOfRangeException>(() => Qcow2Overlay.Format(file, size));
    }

    [Fact]
    public void UnnamedFile_LeavesNoName()
    {
        using var directory = new TemporaryDirectory();
        using SafeFileHandle file = UnnamedFile.Create(directory.Path);
        Qcow2Overlay.Format(file, 1 << 30);

        Assert.Empty(Directory.EnumerateFileSystemEntries(directory.Path));
        Assert.Equal(4 * 65_536, RandomAccess.GetLength(file));
    }

    [Fact]
    public void UnnamedFile_MissingDirectory_SaysWhich()
    {
        IOException failure = Assert.Throws<IOException>(() => UnnamedFile.Create("/nonexistent/opensandbox"));

        Assert.Contains("/nonexistent/opensandbox", failure.Message, StringComparison.Ordinal);
    }

    private static (int ExitCode, string Output) Run(params string[] arguments)
    {
        var start = new ProcessStartInfo(QemuImg) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd() + process.StandardError.ReadToEnd();
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(30)));
        return (process.ExitCode, output);
    }
}
