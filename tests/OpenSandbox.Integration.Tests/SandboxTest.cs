namespace OpenSandbox.Integration.Tests;

/// <summary>Tests of what one sandbox with the default image can do: each test has its own.</summary>
public abstract class SandboxTest(HostFixture fixture) : IAsyncLifetime
{
    private Sandbox? _sandbox;

    protected Sandbox Sandbox
    {
        get
        {
            _ = fixture.HostWithImage; // skips where there is none
            return _sandbox!;
        }
    }

    protected SandboxFiles Files => Sandbox.Files;

    /// <summary>What the sandbox is made of.</summary>
    protected virtual SandboxSpec Spec => new();

    public async Task InitializeAsync()
    {
        if (HostFixture.MissingPrerequisite is null && fixture.Host.Images.List().Count >= 2)
        {
            _sandbox = await fixture.Host.CreateAsync(Spec, ExecTests.Deadline());
        }
    }

    public async Task DisposeAsync()
    {
        if (_sandbox is not null)
        {
            await _sandbox.DisposeAsync();
        }
    }

    /// <summary>Runs a shell script as root, which must succeed, and gives its output.</summary>
    protected async Task<string> ShellAsync(string script)
    {
        ExecResult result = await Sandbox.ExecAsync(["sh", "-c", script], new ExecOptions { User = "root" }, ExecTests.Deadline(120));
        return result.EnsureSuccess().StandardOutput;
    }

    protected static async Task<List<T>> CollectAsync<T>(IAsyncEnumerable<T> items)
    {
        var all = new List<T>();
        await foreach (T item in items)
        {
            all.Add(item);
        }

        return all;
    }
}
