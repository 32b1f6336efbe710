using OpenSandbox.Testing;
using OpenSandbox.Vmm;

namespace TestingWithSandboxes;

/// <summary>A fixture with options of its own: used as <c>ICollectionFixture&lt;SmallSandboxes&gt;</c>.</summary>
public sealed class SmallSandboxes() : SandboxFixture(new SandboxFixtureOptions
{
    Host = new SandboxHostOptions { VcpuCount = 1, BaseMemoryMib = 256 },
});
