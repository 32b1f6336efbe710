using OpenSandbox.Host.Records;
using OpenSandbox.Host.Usage;
using OpenSandbox.Vmm.Events;

namespace OpenSandbox.Host.Tests;

public sealed class UsageMeterTests
{
    private static readonly SandboxEvent s_created =
        new(1, SandboxEventKind.Created, "sb-00000001", DateTimeOffset.UnixEpoch, new SandboxEventDetails { State = SandboxState.Running });

    [Fact]
    public void SizeOf_GoneBeforeItsEventIsRead_IsThatOfItsEntry() =>
        Assert.Equal(512, UsageMeter.SizeOf(s_created, null, new SandboxEntry { Id = "sb-00000001", StartedAt = DateTimeOffset.UnixEpoch, MemoryMib = 512 }));

    [Fact]
    public void SizeOf_GoneAndOfNobody_IsNotCounted() => Assert.Null(UsageMeter.SizeOf(s_created, null, null));
}
