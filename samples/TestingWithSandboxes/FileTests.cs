using OpenSandbox.Testing;
using OpenSandbox.Vmm;

namespace TestingWithSandboxes;

[Collection("sandboxes")]
public sealed class FileTests(SandboxFixture sandboxes) : SandboxTest(sandboxes)
{
    [SkippableFact]
    public async Task File_Written_IsThere()
    {
        Sandbox sandbox = await CreateSandboxAsync();
        await sandbox.Files.WriteTextAsync("/tmp/a", "b");
        Assert.True(await sandbox.Files.ExistsAsync("/tmp/a"));
    }
}
