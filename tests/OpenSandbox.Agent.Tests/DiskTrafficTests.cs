using OpenSandbox.Agent;

namespace OpenSandbox.Agent.Tests;

public sealed class DiskTrafficTests
{
    [Fact]
    public void Sum_OfDiskstats_CountsVirtioDisksOnly()
    {
        ReadOnlySpan<byte> text =
            " 254       0 vda 10 0 100 5 20 0 40 6 0 0 0 0 0 0 0 0 0\n 254      16 vdb 1 0 8 5 2 0 16 6 0 0 0\n   7       0 loop0 9 0 999 5 9 0 999 6 0\nbroken\n"u8;

        Assert.Equal((108L * 512, 56L * 512), DiskTraffic.Sum(text));
    }
}
