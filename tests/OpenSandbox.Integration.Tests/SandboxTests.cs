using System.Text;

namespace OpenSandbox.Integration.Tests;

/// <summary>Tests that share one sandbox each, and how they read.</summary>
public abstract class SandboxTests(HostFixture fixture) : IAsyncLifetime
{
    private Sandbox? _sandbox;

    protected HostFixture Fixture { get; } = fixture;

    protected Sandbox Sandbox
    {
        get
        {
            _ = Fixture.HostWithImage; // skips where there is none
            return _sandbox!;
        }
    }

    public virtual async Task InitializeAsync()
    {
        if (HostFixture.MissingPrerequisite is null && Fixture.Host.Images.List().Count >= 2)
        {
            _sandbox = await Fixture.Host.CreateAsync(
                new SandboxSpec { EnvironmentVariables = new Dictionary<string, string> { ["FROM_SPEC"] = "spec", ["BOTH"] = "spec" } }, Deadline());
        }
    }

    public virtual async Task DisposeAsync()
    {
        if (_sandbox is not null)
        {
            await _sandbox.DisposeAsync();
        }
    }

    protected static CancellationToken Deadline(int seconds = 120) => ExecTests.Deadline(seconds);

    protected static async Task<byte[]> ReadAllAsync(SandboxProcess process)
    {
        using var all = new MemoryStream();
        byte[] buffer = new byte[65_536];
        SandboxOutput piece;
        while (!(piece = await process.ReadAsync(buffer, Deadline())).IsEnd)
        {
            Assert.NotEqual(SandboxOutputKind.Gap, piece.Kind);
            all.Write(buffer, 0, piece.Count);
        }

        return all.ToArray();
    }

    protected static async Task<string> ReadTextAsync(SandboxProcess process) => Encoding.UTF8.GetString(await ReadAllAsync(process));

    protected static async Task<(string Output, string Error)> ReadBothAsync(SandboxProcess process)
    {
        using var output = new MemoryStream();
        using var error = new MemoryStream();
        byte[] buffer = new byte[65_536];
        SandboxOutput piece;
        while (!(piece = await process.ReadAsync(buffer, Deadline())).IsEnd)
        {
            (piece.IsError ? error : output).Write(buffer, 0, piece.Count);
        }

        return (Encoding.UTF8.GetString(output.ToArray()), Encoding.UTF8.GetString(error.ToArray()));
    }

    /// <summary>Reads until the text read so far satisfies the condition.</summary>
    protected static async Task<string> ReadUntilAsync(SandboxProcess process, Func<string, bool> condition)
    {
        using var all = new MemoryStream();
        byte[] buffer = new byte[4_096];
        string text = "";
        while (!condition(text))
        {
            SandboxOutput piece = default;
            try
            {
                piece = await process.ReadAsync(buffer, Deadline(30));
            }
            catch (OperationCanceledException)
            {
                Assert.Fail("no more output after: " + text);
            }

            Assert.False(piece.IsEnd, "the output ended after: " + text);
            all.Write(buffer, 0, piece.Count);
            text = Encoding.UTF8.GetString(all.ToArray());
        }

        return text;
    }

    protected static Task<string> ReadLineAsync(SandboxProcess process) => ReadUntilAsync(process, static text => text.EndsWith('\n'));

    protected async Task<string> CountAsync(string commandLine) =>
        (await Sandbox.ExecAsync(["sh", "-c", $"pgrep -xfc '{commandLine}' || true"], cancellationToken: Deadline())).StandardOutput;
}
