using OpenSandbox.Testing;
using OpenSandbox.Vmm;

namespace TestingWithSandboxes;

/// <summary>The other way: the test owns its sandbox.</summary>
[Collection("sandboxes")]
public sealed class ScriptTests(SandboxFixture sandboxes)
{
    [SkippableFact]
    public async Task Script_ThatEatsMemory_IsKilledAndTheSandboxGoesOn()
    {
        await using Sandbox sandbox = await sandboxes.CreateAsync(new SandboxSpec { MemoryMib = 256 });
        ExecResult result = await sandbox.ExecAsync(["python3", "-c", "x = bytearray(1 << 30)\nfor i in range(0, 1 << 30, 4096): x[i] = 1"]);
        Assert.NotEqual(0, result.ExitCode);
        Assert.Equal("still here\n", (await sandbox.ExecAsync(["echo", "still here"])).StandardOutput);
    }

    [SkippableTheory]
    [InlineData("print(6 * 7)", "42\n")]
    [InlineData("import os; print(os.getuid() != 0)", "True\n")]
    public async Task Script_Runs_PrintsWhatItShould(string script, string expected)
    {
        await using Sandbox sandbox = await sandboxes.CreateAsync();
        Assert.Equal(expected, (await sandbox.ExecAsync(["python3", "-c", script])).EnsureSuccess().StandardOutput);
    }
}
